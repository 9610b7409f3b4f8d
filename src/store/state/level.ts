import type { Entry } from "../../base/entry.ts";
import { CodedError } from "../../base/error.ts";

/** This build is too old for what the cluster uses. Nothing of it was applied: a newer build goes on from here. */
export function levelTooHigh(level: number, known: number, where: string): CodedError {
  return new CodedError(
    "feature-level",
    `${where} needs feature level ${level}, and this build knows ${known}: install a build that knows level ${level}; raising a level cannot be undone`,
  );
}

/**
 * Why an entry that raises the feature level changes nothing, the same on every box; undefined when it may be applied.
 * Levels rise one by one, because each brings its own migration. Throws "feature-level" when this build does not know it.
 */
export function levelObstacle({ level, kind }: Entry, inForce: number, known: number): string | undefined {
  if (level === undefined) return undefined;
  if (level > known) throw levelTooHigh(level, known, `Entry ${kind}`);
  return level === inForce + 1 ? undefined : `feature level ${inForce} is in force, it cannot become ${level}`;
}
