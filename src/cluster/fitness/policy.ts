import type { RaftId } from "../../raft/types.ts";

/**
 * Whether this box is fit to lead and the cluster to write, by what the boxes tell of their disks. PURE.
 *
 * A leader without room, or without its state, hands over to a voter that has both; so does one whose own disk is the slow one. Writes are refused
 * in words only when no quorum has room: then nobody could take them.
 */
export interface Fitness {
  readonly room: "enough" | "low" | "full";
  readonly freeBytes: number;
  /** From the append of a group to its durability, lately, ms; 0 when nothing was written. */
  readonly durableMs: number;
  /** False: its state is lost, and its log does not go back far enough; it waits for a snapshot. */
  readonly hasState: boolean;
}

export interface FitVoter {
  readonly raftId: RaftId;
  /** As people know it. */
  readonly name: string;
  /** What it told lately; undefined for a box that is silent. */
  readonly fitness: Fitness | undefined;
}

export interface FitnessView {
  readonly leads: boolean;
  readonly self: FitVoter & { readonly fitness: Fitness };
  /** The other voters. */
  readonly others: readonly FitVoter[];
}

export interface FitnessState {
  /** Since when this box leads; undefined while it does not. */
  readonly leadsSince: number | undefined;
  /** Since when its disk is the slow one. */
  readonly slowSince: number | undefined;
  /** When a hand-over was last asked for. */
  readonly askedAt: number | undefined;
}

export interface FitnessVerdict {
  readonly state: FitnessState;
  /** Ask these in order to take over, because of `why`. */
  readonly handOver: { readonly to: readonly RaftId[]; readonly why: string } | undefined;
  /** What a client's write is told; `elsewhere`: the next leader will take it. */
  readonly objection: { readonly kind: "elsewhere" } | { readonly kind: "no-room"; readonly text: string } | undefined;
}

export const FITNESS_AT_START: FitnessState = { leadsSince: undefined, slowSince: undefined, askedAt: undefined };

/** A hand-over that came to nothing is asked for again after this, ms. */
const ASK_AGAIN_MS = 1_000;
/** A disk faster than this is not slow, whatever the others are, ms: ten times a healthy flash, half a heartbeat. */
export const SLOW_MS = 50;
/** So many times slower than what the others' quorum takes: two disks of one kind never differ that much for long. */
export const SLOW_RATIO = 4;
/** So long it must be the slow one, ms: a flash that collects its garbage is back by then. */
export const SLOW_FOR_MS = 3_000;
/** A leader keeps its place at least this long before it gives it up for slowness, ms: leadership never goes in circles. */
export const SLOW_LEADS_MS = 30_000;

export function judge(before: FitnessState, view: FitnessView, now: number): FitnessVerdict {
  if (!view.leads) return { state: FITNESS_AT_START, handOver: undefined, objection: undefined };
  const leadsSince = before.leadsSince ?? now;
  const slowSince = isSlowOne(view) ? (before.slowSince ?? now) : undefined;
  const state: FitnessState = { leadsSince, slowSince, askedAt: before.askedAt };
  const roomy = view.others.filter(({ fitness }) => fitness?.room === "enough" && fitness.hasState);
  const { room, freeBytes, hasState } = view.self.fitness;
  if (room !== "enough" || !hasState) {
    if (roomy.length === 0) return { state, handOver: undefined, objection: hasState ? noRoom(view) : undefined };
    const why = hasState ? `its disk has ${mib(freeBytes)} left` : "its state is lost, and comes from the next leader";
    return { ...asked(state, roomy, why, now), objection: { kind: "elsewhere" } };
  }
  const objection = quorumHasRoom(view) ? undefined : noRoom(view);
  const isSlow = slowSince !== undefined && now - slowSince >= SLOW_FOR_MS && now - leadsSince >= SLOW_LEADS_MS;
  if (!isSlow || objection !== undefined) return { state, handOver: undefined, objection };
  const ownMs = view.self.fitness.durableMs;
  const fast = roomy.filter(({ fitness }) => isMuchFaster(fitness, ownMs)).sort(bySpeed);
  if (fast.length === 0) return { state, handOver: undefined, objection };
  return { ...asked(state, fast, `its disk takes ${Math.round(ownMs)} ms where the others do not`, now), objection };
}

/**
 * The others alone are a quorum, and each of the fastest that make it is much faster. If they are not, the cluster needs
 * this box's disk whoever leads, and moving would win nothing.
 */
function isSlowOne({ self, others }: FitnessView): boolean {
  const quorum = Math.floor((others.length + 1) / 2) + 1;
  return (
    self.fitness.durableMs >= SLOW_MS &&
    others.filter(({ fitness }) => isMuchFaster(fitness, self.fitness.durableMs)).length >= quorum
  );
}

/** A box that has written nothing lately says nothing about its disk. */
function isMuchFaster(fitness: Fitness | undefined, ownMs: number): boolean {
  return fitness !== undefined && fitness.durableMs > 0 && fitness.durableMs * SLOW_RATIO <= ownMs;
}

function bySpeed(a: FitVoter, b: FitVoter): number {
  return (a.fitness?.durableMs ?? 0) - (b.fitness?.durableMs ?? 0);
}

/** A silent box is no witness of a full disk. */
function quorumHasRoom({ self, others }: FitnessView): boolean {
  const all = [self, ...others];
  const lacking = all.filter(({ fitness }) => fitness !== undefined && fitness.room !== "enough");
  return all.length - lacking.length > all.length / 2;
}

function asked(
  state: FitnessState,
  to: readonly FitVoter[],
  why: string,
  now: number,
): Pick<FitnessVerdict, "state" | "handOver"> {
  if (state.askedAt !== undefined && now - state.askedAt < ASK_AGAIN_MS) return { state, handOver: undefined };
  return { state: { ...state, askedAt: now }, handOver: { to: to.map(({ raftId }) => raftId), why } };
}

function noRoom({ self, others }: FitnessView): FitnessVerdict["objection"] {
  const lacking = [self, ...others].flatMap(({ name, fitness }) =>
    fitness === undefined || fitness.room === "enough" ? [] : [`${name} has ${mib(fitness.freeBytes)} left`],
  );
  return {
    kind: "no-room",
    text: `Cannot process request, no room on the disks of the cluster (/var/lib/one): ${lacking.join(", ")}. Free some there; nothing needs a restart`,
  };
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / (1024 * 1024))} MiB`;
}
