import { isQuorum } from "../../src/raft/quorum.ts";
import type { HeartbeatRound, Membership, RaftId } from "../../src/raft/types.ts";

/** Assumed bound on the relative rate error of two clocks (consensus.md section 6). */
export const RHO = 0.01;
/** Rounds that are remembered while their answers are out. */
const ROUNDS_MAX = 32;

interface Round extends HeartbeatRound {
  readonly term: number;
  readonly token: number;
  readonly sentAt: number;
  readonly answers: Set<RaftId>;
}

/** How long a token lives: E, less what the clocks may be apart and the timers late. */
export function tokenLifeMs(promiseMs: number): number {
  return promiseMs * (1 - RHO) - Math.min(10, promiseMs * 0.04);
}

/** The kernel's side of the packet lease: it goes on whatever becomes of the process, and its clock is the box's. */
export class SimKernel {
  readonly #live = new Map<number, number>();
  current = 0;
  address = false;

  addLive(token: number, lifeMs: number, localNow: number): void {
    for (const [old, until] of this.#live) if (until < localNow) this.#live.delete(old);
    this.#live.set(token, localNow + lifeMs);
  }

  /** Only the mistaken variants use this: a kernel timer that is set to what the process computed. */
  setLive(token: number, until: number): void {
    this.#live.set(token, until);
  }

  activate(token: number): void {
    this.current = token;
  }

  flush(): void {
    this.#live.clear();
    this.current = 0;
    this.address = false;
  }

  passes(localNow: number): boolean {
    return this.current !== 0 && (this.#live.get(this.current) ?? 0) > localNow;
  }

  isHolder(localNow: number): boolean {
    return this.address && this.passes(localNow);
  }
}

/** Counts answers by round number, in the configuration at the send and in the one at the count. */
export class LeaseRounds {
  #rounds: Round[] = [];

  sent(round: HeartbeatRound, term: number, token: number, sentAt: number): void {
    this.#rounds.push({ ...round, term, token, sentAt, answers: new Set() });
    if (this.#rounds.length > ROUNDS_MAX) this.#rounds.shift();
  }

  /** Returns the round when this answer completes it. */
  answered(
    self: RaftId,
    from: RaftId,
    term: number,
    number: number,
    promiseMs: number,
    membership: Membership,
  ): { readonly token: number; readonly promiseMs: number; readonly sentAt: number } | undefined {
    const round = this.#rounds.find((candidate) => candidate.round === number && candidate.term === term);
    if (round === undefined || promiseMs < round.promiseMs) return undefined;
    round.answers.add(from);
    const holds = (id: RaftId): boolean => id === self || round.answers.has(id);
    if (!isQuorum(round.membership, holds) || !isQuorum(membership, holds)) return undefined;
    this.#rounds = this.#rounds.filter((candidate) => candidate.token > round.token);
    return round;
  }

  clear(): void {
    this.#rounds = [];
  }
}
