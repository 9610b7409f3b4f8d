/** What is written down about a rack that is up. How its nodes are at this moment is asked from the kernel instead. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";
import type { Place } from "./place.ts";

/** What guests are: a boot sector, or Debian's kernel with busybox. */
export const tiers = ["fast", "linux"] as const;
export type Tier = (typeof tiers)[number];
/** The boxes' raft timing. */
export const profiles = ["default", "fast"] as const;
export type Profile = (typeof profiles)[number];

/** How large and of which kind a rack is; fixed while it is up. */
export interface RackSize {
  readonly boxes: number;
  readonly hosts: number;
  readonly tier: Tier;
  readonly profile: Profile;
  /** Boxes that run nothing: for tests that stand in for the product. */
  readonly bare: boolean;
  /** The appliance's image: boxes are emulated machines that start from it. Empty: they run the checkout's sources. */
  readonly image: string;
  /** With an image: so many boxes, the last ones, are such machines; all unless given. Each takes half a processor when it idles. */
  readonly emulated: number;
}

/** state.json. Written before anything is made, so that `down` finds all of a rack that was broken off half-made. */
export interface RackState extends RackSize {
  readonly version: 1;
  /** The checkout that the boxes run. */
  readonly repository: string;
}

/** The state of the rack at `place`; undefined when it is down. */
export function readState(place: Place): RackState | undefined {
  const path = statePath(place);
  if (!existsSync(path)) return undefined;
  const state = JSON.parse(readFileSync(path, "utf8")) as RackState;
  if (state.version !== 1) {
    throw new CodedError(
      "RACK_STATE",
      `Cannot read ${path}: version ${String(state.version)} is not 1; use the checkout that made it`,
    );
  }
  return state;
}

/** Replaces the state in one step: a reader in another terminal sees the old or the new one. */
export function writeState(place: Place, state: RackState): void {
  mkdirSync(place.runDirectory, { recursive: true });
  const path = statePath(place);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

function statePath(place: Place): string {
  return `${place.runDirectory}/state.json`;
}
