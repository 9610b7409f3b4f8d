import packageJson from "../../package.json";
import type { Statement } from "../base/entry.ts";

/** What a build brings that an older one could not read or would do differently, in the log, the state or its hash. */
interface Level {
  readonly text: string;
  /** What the entry that raises the cluster to this level runs on every box. */
  readonly migration: readonly Statement[];
}

/**
 * The feature levels that this build knows, from 1 on. A build with a new one still does as the level in force says,
 * until every member's build knows it and the level is raised; then there is no way back to an older build.
 */
const LEVELS: readonly Level[] = [{ text: "the first release: founded clusters begin here", migration: [] }];

/** The largest level that this build knows. */
export const FEATURE_LEVEL = LEVELS.length;

/** Version of this software, for people. */
export const BUILD: string = packageJson.version;

/** What raising the cluster to `level` runs. */
export function migrationTo(level: number): readonly Statement[] {
  return LEVELS[level - 1]?.migration ?? [];
}
