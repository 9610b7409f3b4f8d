import { timingSafeEqual } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import type { Member } from "../raft/types.ts";
import type { Core } from "./core.ts";

/** Marks a call between boxes: an API call for the leader, a box that wants to join, a survivor that asks how far one is. */
export const CALL = { api: 0, join: 1, view: 2 } as const;

/** A box that answers says how far it is at once; an election under way breaks a call off, so it is asked again, ms. */
const VIEW_TIMEOUT_MS = 1000;
const VIEW_TRIES = 3;

/**
 * A quorum that has only lost its leader elects another within seconds, and a person who has seen that it does not has
 * waited as long, ms.
 */
const SILENCE_MIN_MS = 10_000;

/** How far a box has come, as it says itself. */
export interface BoxView {
  /** Raft id of the leader that it knows, "" for none. */
  readonly leader: string;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** What a survivor knows before it goes on alone. */
export interface SurvivorView extends BoxView {
  readonly self: Member | undefined;
  /** For how long no leader was known here, ms. */
  readonly silentMs: number;
  readonly commit: number;
  readonly members: readonly Member[];
  readonly voters: readonly string[];
  /** The other members that answer, by raft id. */
  readonly answering: Readonly<Record<string, BoxView>>;
}

/**
 * Why this box must not go on alone; undefined when only a person can know better. It cannot see what is cut off from
 * it: that the others are off is what that person confirms.
 */
export function recoveryObstacle(view: SurvivorView): string | undefined {
  const { self, voters, members, answering } = view;
  const nameOf = (raftId: string): string => {
    const member = members.find((one) => one.raftId === raftId);
    return member === undefined ? "another box" : `server ${member.serverId} ("${member.name}")`;
  };
  if (self === undefined || !voters.includes(self.raftId))
    return "this box is no voter: what it has may be far behind, and it is not needed for a quorum";
  if (view.leader !== "") return `${nameOf(view.leader)} leads: there is nothing to recover from`;
  const count = 1 + voters.filter((raftId) => raftId !== self.raftId && answering[raftId] !== undefined).length;
  if (count > voters.length / 2)
    return `${count} of ${voters.length} servers answer, which is a quorum: it elects a leader by itself`;
  for (const [raftId, other] of Object.entries(answering)) {
    if (other.leader !== "") return `${nameOf(raftId)} knows a leader: a quorum lives, and this box is cut off from it`;
    if (isBehind(view, other))
      return `${nameOf(raftId)} has more of the log (entry ${other.lastIndex} of term ${other.lastTerm}; this box ${view.lastIndex} of term ${view.lastTerm}): recover there`;
  }
  if (view.silentMs < SILENCE_MIN_MS)
    return `no leader is known for only ${Math.floor(view.silentMs / 1000)} s: wait until ${SILENCE_MIN_MS / 1000} s are over`;
  return undefined;
}

/** Raft's order of logs: who has the later term has more. */
function isBehind(mine: BoxView, other: BoxView): boolean {
  return other.lastTerm > mine.lastTerm || (other.lastTerm === mine.lastTerm && other.lastIndex > mine.lastIndex);
}

/** This box's part in {@link lookAround}. */
export async function ownView(core: Core): Promise<BoxView> {
  const { leader, lastIndex, lastTerm } = (await core.status()).cluster;
  return { leader, lastIndex, lastTerm };
}

/** Asks every member that is connected how far it is. */
export async function lookAround(core: Core, leaderlessMs: () => number): Promise<SurvivorView> {
  const { cluster } = await core.status();
  const asked = cluster.reachable.map(async (raftId) => [raftId, await viewOf(core, raftId)] as const);
  const answering = (await Promise.all(asked)).filter((one): one is [string, BoxView] => one[1] !== undefined);
  const { leader, lastIndex, lastTerm, commit, members, voters, raftId } = cluster;
  return {
    ...{ leader, lastIndex, lastTerm, commit, members, voters },
    self: members.find((one) => one.raftId === raftId),
    silentMs: leaderlessMs(),
    answering: Object.fromEntries(answering),
  };
}

async function viewOf(core: Core, raftId: string): Promise<BoxView | undefined> {
  for (let tries = 0; tries < VIEW_TRIES; tries++) {
    try {
      const answer = await core.calls.call(raftId, Buffer.of(CALL.view), VIEW_TIMEOUT_MS);
      return JSON.parse(Buffer.from(answer).toString("utf8")) as BoxView;
    } catch (error) {
      // Who does not answer is taken for silent; a call that an election broke off says nothing about that.
      if (!(error instanceof CodedError) || error.code !== "call-abandoned") return undefined;
    }
  }
  return undefined;
}

/**
 * True once when the caller has shown that it is root on this box: it wrote `word` into a file that only root can write.
 * The interface is open to the network, and this is not for whoever knows oneadmin's password from afar.
 */
export function isFromThisBox(file: string, word: string): boolean {
  let expected: Buffer;
  try {
    expected = readFileSync(file);
  } catch {
    // No file is the answer to a caller from elsewhere, not a failure.
    return false;
  }
  rmSync(file, { force: true });
  const given = Buffer.from(word);
  return given.length >= 32 && given.length === expected.length && timingSafeEqual(given, expected);
}
