import { contentBytes, type Release } from "../release.ts";

/** The footer's place at the end of a slot, bytes. */
const FOOTER_BYTES = 4096;

/** What is known when a bundle asks to be installed. */
export interface Admission {
  readonly bundle: Release;
  readonly running: Release;
  /** False: the image that runs is on trial itself, and the other slot is its way back. */
  readonly isRunningGood: boolean;
  readonly slotBytes: number;
  /** In force in the cluster; undefined when the box's program does not say, 0 on a box of no cluster. */
  readonly levelInForce: number | undefined;
  /** Whose signatures the boot loader demands, as in a boot report. */
  readonly bootKey: string | undefined;
  readonly allowsDowngrade: boolean;
}

/** Why a bundle must not be installed on this box; undefined when it may be. */
export function updateObstacle(ask: Admission): string | undefined {
  const { bundle, running, levelInForce } = ask;
  if (bundle.architecture !== running.architecture)
    return `the bundle is for ${bundle.architecture}, this box is ${running.architecture}`;
  if (contentBytes(bundle) + FOOTER_BYTES > ask.slotBytes)
    return `the bundle needs ${contentBytes(bundle) + FOOTER_BYTES} bytes, a slot of this box has ${ask.slotBytes}`;
  if (!ask.isRunningGood)
    return `version ${running.version} runs on trial: an update would overwrite what the box goes back to. Wait until it is marked good, or until it has gone back`;
  const tooOld = switchObstacle(bundle, levelInForce, ask.bootKey);
  if (tooOld !== undefined) return tooOld;
  if (levelInForce !== undefined && levelInForce > 0 && bundle.featureLevelMin > levelInForce)
    return `version ${bundle.version} needs feature level ${bundle.featureLevelMin}, and the cluster is at ${levelInForce}: update to a version between the two first`;
  if (!isOlder(bundle, running)) return undefined;
  if (!ask.allowsDowngrade)
    return `version ${bundle.version} is older than ${running.version}, which runs here: --downgrade installs it all the same`;
  if (levelInForce === undefined)
    return "the cluster's feature level is not known, as the box's program does not answer: an older version is not installed now";
  return undefined;
}

/** Why the other slot must not be started; undefined when it may. `levelInForce` and `bootKey` as in {@link Admission}. */
export function switchObstacle(
  release: Release,
  levelInForce: number | undefined,
  bootKey: string | undefined,
): string | undefined {
  if (bootKey !== undefined && release.bootKey !== bootKey) {
    const signed = release.bootKey === undefined ? "is not signed for it" : `is signed by ${release.bootKey}`;
    return `this box is secure: its boot loader starts only what the OpenPGP key ${bootKey} has signed, and version ${release.version} ${signed}`;
  }
  if (levelInForce === undefined || release.featureLevel >= levelInForce) return undefined;
  return `version ${release.version} knows feature level ${release.featureLevel}, and the cluster is at ${levelInForce}: there is no way back`;
}

/** By version, and among equals by the time of the commit: a replayed bundle is no update. */
export function isOlder(one: Release, than: Release): boolean {
  const order = compareVersions(one.version, than.version);
  return order < 0 || (order === 0 && one.builtAt < than.builtAt);
}

/** Semantic versioning's order (semver.org §11): negative when `a` is before `b`. */
export function compareVersions(a: string, b: string): number {
  const [[numbersA, endA], [numbersB, endB]] = [partsOf(a), partsOf(b)];
  for (let index = 0; index < Math.max(numbersA.length, numbersB.length); index++) {
    const difference = (numbersA[index] ?? 0) - (numbersB[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (endA.length === 0 || endB.length === 0) return endB.length - endA.length;
  for (let index = 0; index < Math.max(endA.length, endB.length); index++) {
    const difference = compareWords(endA[index], endB[index]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function partsOf(version: string): readonly [readonly number[], readonly string[]] {
  const [core = "", ...rest] = (version.split("+")[0] ?? "").split("-");
  const end = rest.join("-");
  return [core.split(".").map((word) => Number(word) || 0), end === "" ? [] : end.split(".")];
}

function compareWords(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (isNumberA && isNumberB) return Number(a) - Number(b);
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What works on a box, before an update and after it. */
export interface Health {
  /** It has an identity; a box without one waits for its token, and that is all it can do. */
  readonly isMember: boolean;
  readonly hasLeader: boolean;
  /** Entries applied. */
  readonly applied: number;
  /** Of those committed as far as this box knows, what it must have applied by now. */
  readonly commit: number;
  /** The VIP is where the role says: with the leader, and with nobody else; true where none is configured. */
  readonly isVipConsistent: boolean;
  /** The front-end answers. */
  readonly isAnswering: boolean;
  /** Hypervisors that it is connected with, by number. */
  readonly hosts: readonly number[];
  /** Hypervisors that it could power off, by number. */
  readonly fenceable: readonly number[];
}

/** A box that has nothing yet. */
export const NO_HEALTH: Health = {
  ...{ isMember: false, hasLeader: false, applied: 0, commit: 0, isVipConsistent: true, isAnswering: false },
  ...{ hosts: [], fenceable: [] },
};

/**
 * What is missing before a slot on trial is good; empty: nothing. What did not work before the update is not asked for:
 * going back would not mend it. Of hypervisors one of those that were reached is enough: a build that cannot speak to
 * hosts reaches none, and a host that died meanwhile is not its fault.
 */
export function missingHealth(before: Health, now: Health): readonly string[] {
  if (!now.isMember) return before.isMember ? ["its identity is gone"] : [];
  const lacks = (was: readonly number[], is: readonly number[]): boolean =>
    was.length > 0 && !was.some((id) => is.includes(id));
  return [
    ...(now.isAnswering ? [] : ["its front-end does not answer"]),
    ...(now.hasLeader || !before.hasLeader ? [] : ["it has not rejoined: it knows no leader"]),
    ...(now.applied >= now.commit && now.applied >= before.commit
      ? []
      : [`it has not caught up: ${now.applied} of ${Math.max(now.commit, before.commit)} entries are applied`]),
    ...(now.isVipConsistent ? [] : ["the VIP is not where it should be"]),
    ...(lacks(before.hosts, now.hosts) ? ["no hypervisor is connected that was before"] : []),
    ...(lacks(before.fenceable, now.fenceable) ? ["no hypervisor's BMC answers that did before"] : []),
  ];
}

/** A box must be healthy for so long before its slot is marked good: one good look may be luck, ms. */
export const STEADY_MS = 10_000;
/**
 * A slot that is not marked good by then is left, ms since the supervisor's start. Longer than the watchdog's own chain (a
 * main that hangs is reset after 3 minutes), so that a slow start, or a snapshot that is being received, has its time.
 */
export const TRIAL_MS = 10 * 60_000;

export interface Trial {
  /** Since when nothing was missing; undefined while something is. */
  readonly healthySince: number | undefined;
  /** What is missing, as of the last look. */
  readonly missing: readonly string[];
}

export const NEW_TRIAL: Trial = { healthySince: undefined, missing: ["it was not looked at yet"] };

/** One look at a slot on trial. `isGood`: it may be marked now. */
export function lookAtTrial(
  trial: Trial,
  missing: readonly string[],
  now: number,
): { readonly trial: Trial; readonly isGood: boolean } {
  const healthySince = missing.length > 0 ? undefined : (trial.healthySince ?? now);
  return { trial: { healthySince, missing }, isGood: healthySince !== undefined && now - healthySince >= STEADY_MS };
}
