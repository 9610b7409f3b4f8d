import type { LogEntry, RaftId } from "./types.ts";

/** What every message carries. `term` is always the sender's own current term, also in a pre-vote request. */
interface Envelope {
  readonly from: RaftId;
  readonly to: RaftId;
  readonly term: number;
}

/** Asks for a vote (Raft figure 2) or, with `preVote`, whether one would be given (thesis §9.6). */
export interface VoteRequest extends Envelope {
  readonly kind: "vote-request";
  readonly preVote: boolean;
  /** The term the vote is for: `term` in a vote, `term + 1` in a pre-vote, which raises nobody's term. */
  readonly electionTerm: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader of `electionTerm - 1` itself asked for this election and has released its lease: promises do not bind. */
  readonly transfer: boolean;
}

export interface VoteResponse extends Envelope {
  readonly kind: "vote-response";
  readonly preVote: boolean;
  /** Echo of the request: an answer to another election never counts. */
  readonly electionTerm: number;
  readonly granted: boolean;
  /** Refused because a leader was heard, a promise is kept or the voter has just started. */
  readonly sticky: boolean;
}

/** Entries `previousIndex + 1 …`, or none: then it carries the commit index, or finds where the logs agree. */
export interface Append extends Envelope {
  readonly kind: "append";
  readonly previousIndex: number;
  readonly previousTerm: number;
  readonly commit: number;
  readonly entries: readonly LogEntry[];
}

export interface AppendResponse extends Envelope {
  readonly kind: "append-response";
  readonly rejected: boolean;
  /** Accepted: the last index that is verified and durable at the sender. Rejected: the `previousIndex` that did not fit. */
  readonly index: number;
  /** Rejected: the largest index at which the logs may agree, and the sender's term there. Else 0. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

/** Keeps the followers quiet. Apart from bulk, so that a full pipe never costs the leadership. */
export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  /** Strictly rising in one process; all heartbeats of one broadcast share it. */
  readonly round: number;
  /** min(what this follower is known to have, commit): a heartbeat never commits an unverified tail. */
  readonly commit: number;
  /**
   * The term of the entry at `commit` (0 for none): a follower that holds that entry holds all before it, so it may
   * commit them although it was restarted since it acknowledged them and is sent nothing new.
   */
  readonly commitTerm: number;
  /** E: for how long, from receipt, the leader asks the receiver to vote for nobody. 0 asks for no promise. */
  readonly promiseMs: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly kind: "heartbeat-response";
  readonly round: number;
  /** The promise that the sender keeps from its receipt of that round; less than the round's E does not count. */
  readonly promiseMs: number;
}

/** Leadership transfer (thesis §3.10): start an election for `term + 1` at once. */
export interface TimeoutNow extends Envelope {
  readonly kind: "timeout-now";
}

/** A follower asks the leader for an index to read at. */
export interface ReadIndexRequest extends Envelope {
  readonly kind: "read-index-request";
  readonly context: number;
}

export interface ReadIndexResponse extends Envelope {
  readonly kind: "read-index-response";
  readonly context: number;
  /** 0: refused (not the leader, or no entry of its own term committed yet). */
  readonly index: number;
}

/** Everything that boxes say to each other about consensus. */
export type Message =
  | VoteRequest
  | VoteResponse
  | Append
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse;
