import type { Membership, RaftId } from "../raft/types.ts";

/** What a box says of itself in each handshake, and what the leader goes by when it raises a level or changes timings. */
export interface Announcement {
  /** The largest feature level that this box can run. */
  readonly featureLevel: number;
  /** The largest that the image in its other slot can run, to which it may fall back; absent where there is none. */
  readonly fallbackLevel?: number;
  /** Version of its software, for people. */
  readonly build: string;
  /** The timings that its oned.conf asks for, in `config/timings.ts`'s text form; "" from a box that does not say. */
  readonly timings: string;
}

/** Members (voters and learners) that this box hears now, itself included, with what they announced. */
export type Announced = ReadonlyMap<RaftId, Announcement>;

/** Who stands in the way of a feature level, by name; empty when nobody does. */
export interface LevelObstacle {
  readonly name: string;
  readonly why: string;
}

/**
 * Whether feature level `level` may be raised: every member, learners too, is heard *now* and announced that it
 * knows it, and so does what it may fall back to. A member that is off may come back with an older build, and would then be
 * shut out.
 */
export function levelObstacles(level: number, membership: Membership, announced: Announced): readonly LevelObstacle[] {
  return membership.members.flatMap(({ raftId, name }) => {
    const of = announced.get(raftId);
    if (of === undefined) return [{ name, why: "is not connected" }];
    const { fallbackLevel = of.featureLevel } = of;
    if (Math.min(of.featureLevel, fallbackLevel) >= level) return [];
    if (of.featureLevel >= level)
      return [{ name, why: `may fall back to its other slot, whose image knows level ${fallbackLevel}` }];
    return [{ name, why: `has build ${of.build}, which knows level ${of.featureLevel}` }];
  });
}

/**
 * The timings that a majority of the voters ask for, of those that are heard now; undefined when no majority agrees. One
 * edited file changes nothing yet, and boxes whose files differ cannot make the cluster change its mind at each election.
 */
export function wantedTimings(membership: Membership, announced: Announced): string | undefined {
  const counts = new Map<string, number>();
  for (const voter of membership.voters) {
    const timings = announced.get(voter)?.timings ?? "";
    if (timings !== "") counts.set(timings, (counts.get(timings) ?? 0) + 1);
  }
  return [...counts].find(([, count]) => count > membership.voters.length / 2)?.[0];
}
