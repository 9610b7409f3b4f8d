import { isQuorum } from "../raft/quorum.ts";
import type { Membership, RaftId } from "../raft/types.ts";

/** ρ: how far two boxes' clocks may run apart, as a share. 1 % covers any quartz; chrony is held to 500 ppm. */
export const CLOCK_RATE_ERROR = 0.01;
/** δ: two jiffies at 100 Hz plus the lateness of a kernel timer, ms. */
export const LEASE_MARGIN_MS = 25;
/** Rounds that may be unanswered at once; older ones can no longer give a lease worth having. */
const ROUNDS_MAX = 64;

/** How long a round that was sent now may carry the lease, ms: D = E·(1−ρ) − δ. Never negative. */
export function leaseDurationMs(promiseMs: number): number {
  return Math.max(0, promiseMs * (1 - CLOCK_RATE_ERROR) - LEASE_MARGIN_MS);
}

interface Round {
  readonly round: number;
  readonly sentAt: number;
  readonly promiseMs: number;
  readonly membership: Membership;
  readonly answered: Set<RaftId>;
}

/**
 * Counts the answers to heartbeat rounds and says until when this leader holds the lease (thesis §6.4.1, with the time
 * taken before the send). A round counts when a quorum of the configuration at its send *and* of the one at the count
 * promised at least what the round asked for.
 */
export class Lease {
  readonly #self: RaftId;
  #rounds: Round[] = [];
  #until = 0;
  #confirmedSentAt = 0;

  constructor(self: RaftId) {
    this.#self = self;
  }

  /** The instant (in the clock of `sentAt`) at which the lease ends; 0 when there is none. */
  get until(): number {
    return this.#until;
  }

  /** When the round that was confirmed last was sent; 0 before the first. */
  get confirmedSentAt(): number {
    return this.#confirmedSentAt;
  }

  /** A round is about to leave; `sentAt` was read before. True when it is confirmed by ourselves alone (one voter). */
  sent(round: number, sentAt: number, promiseMs: number, membership: Membership): boolean {
    if (promiseMs <= 0) return false;
    const record: Round = { round, sentAt, promiseMs, membership, answered: new Set([this.#self]) };
    this.#rounds.push(record);
    if (this.#rounds.length > ROUNDS_MAX) this.#rounds.shift();
    return this.#confirm(record, membership);
  }

  /** An answer to `round`; true when it confirmed the round, so that its token may be activated. */
  answered(from: RaftId, round: number, promiseMs: number, now: Membership): boolean {
    const record = this.#rounds.find((r) => r.round === round);
    if (record === undefined || promiseMs < record.promiseMs) return false;
    record.answered.add(from);
    return this.#confirm(record, now);
  }

  /** Leadership or the lease is gone: nothing that was sent counts any more. */
  drop(): void {
    this.#rounds = [];
    this.#until = 0;
  }

  #confirm(record: Round, now: Membership): boolean {
    const hasAnswered = (id: RaftId): boolean => record.answered.has(id);
    if (!isQuorum(record.membership, hasAnswered) || !isQuorum(now, hasAnswered)) return false;
    this.#confirmedSentAt = record.sentAt;
    this.#until = Math.max(this.#until, record.sentAt + leaseDurationMs(record.promiseMs));
    // Older rounds cannot extend it any more.
    this.#rounds = this.#rounds.filter((r) => r.round > record.round);
    return true;
  }
}
