import type { Member, MembershipChange } from "../raft/types.ts";

/** A new leader is there within some tens of ms; an election that goes wrong takes a few tries, ms. */
const HAND_OVER_TIMEOUT_MS = 3000;
/** Another change that is under way is in force within a round trip, or its leader is about to lose a quorum, ms. */
const CHANGE_TIMEOUT_MS = 3000;
/** Several heartbeats: a box that answers none of them does not answer, ms. */
const ANSWERS_TIMEOUT_MS = 1000;
const LOOK_EVERY_MS = 10;

export interface HandOverPorts {
  readonly self: string;
  members(): readonly Member[];
  leads(): boolean;
  /** Raft id of the leader, "" when none is known. */
  leader(): string;
  /** Undefined when it was started, else why not. */
  transfer(to?: string): Promise<string | undefined>;
}

export interface RemovalPorts extends HandOverPorts {
  voters(): readonly string[];
  /** How long ago each of the other boxes last answered this leader, ms. */
  answeredAgoMs(): Promise<Readonly<Record<string, number>>>;
  change(change: MembershipChange): Promise<string | undefined>;
}

/**
 * Takes a server's box out of the group of consensus; undefined when nothing speaks against going on, else why not. A
 * leader that is to go itself hands leadership on first: then the entry that follows is refused here, and the same
 * request is done by the next leader. Removed while it leads, it could neither commit that entry nor ask anybody.
 */
export async function removeMember(ports: RemovalPorts, serverId: number): Promise<string | undefined> {
  const member = ports.members().find((one) => one.serverId === serverId);
  if (member === undefined) return undefined;
  const why = await quorumObstacle(ports, member);
  if (why !== undefined) return why;
  return member.raftId === ports.self ? handOver(ports) : change(ports, member);
}

/**
 * Hands leadership to `to`, or to whoever has most of the log; undefined once that box leads (or this one leads no more
 * and nobody is known yet), else why it stays, in the words of servers.
 */
export async function handOver(ports: HandOverPorts, to?: Member): Promise<string | undefined> {
  // Asked again, by a box that had no answer from the former leader: it is as it was to be.
  if (to?.raftId === ports.self) return undefined;
  const why = await ports.transfer(to?.raftId);
  if (why !== undefined) return `this server leads and cannot hand leadership on: ${inServers(why, ports.members())}`;
  for (const end = performance.now() + HAND_OVER_TIMEOUT_MS; performance.now() < end; await Bun.sleep(LOOK_EVERY_MS))
    if (!ports.leads() && ports.leader() !== "") break;
  if (ports.leads()) return "this server leads and nobody has taken over; try again";
  const leader = ports.members().find((one) => one.raftId === ports.leader());
  if (to !== undefined && leader !== undefined && leader.raftId !== to.raftId)
    return `server ${to.serverId} was asked, but server ${leader.serverId} leads now`;
  return undefined;
}

/**
 * A box is not taken out when those that are left would be no quorum: nobody could undo it. What counts are answers to
 * heartbeats that left after the question: a connection to a box that has just died looks well for a while.
 */
async function quorumObstacle(ports: RemovalPorts, member: Member): Promise<string | undefined> {
  const left = ports.voters().filter((raftId) => raftId !== member.raftId);
  if (left.length === 0 || left.length === ports.voters().length) return undefined;
  const askedAt = performance.now();
  let answering = 0;
  for (; performance.now() - askedAt < ANSWERS_TIMEOUT_MS; await Bun.sleep(LOOK_EVERY_MS)) {
    const ages = await ports.answeredAgoMs();
    const sinceMs = performance.now() - askedAt;
    answering = left.filter((raftId) => raftId === ports.self || (ages[raftId] ?? Infinity) < sinceMs).length;
    if (answering > left.length / 2) return undefined;
  }
  return `Without server ${member.serverId}, ${answering} of ${left.length} servers answer: that is no quorum. Bring the others back or remove them first`;
}

/** One change at a time: another one is waited for, and named when it does not end. */
async function change(ports: RemovalPorts, member: Member): Promise<string | undefined> {
  for (const end = performance.now() + CHANGE_TIMEOUT_MS; ; await Bun.sleep(LOOK_EVERY_MS)) {
    const why = await ports.change({ kind: "simple", steps: [{ kind: "remove", raftId: member.raftId }] });
    // Another box leads now: the entry that follows is refused here, and the same request is done there.
    if (why === undefined || why === "not-leader") return undefined;
    if (!ports.members().some((one) => one.raftId === member.raftId)) return undefined;
    if (performance.now() > end)
      return `Server ${member.serverId} cannot be removed now: ${inServers(why, ports.members())}`;
  }
}

/** Raft speaks of raft ids, people of servers. */
function inServers(text: string, members: readonly Member[]): string {
  return members.reduce(
    (said, { raftId, serverId, name }) => said.replaceAll(raftId, `server ${serverId} ("${name}")`),
    text,
  );
}
