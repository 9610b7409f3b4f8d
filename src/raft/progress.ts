import { Inflight } from "./inflight.ts";
import type { Options, ProgressState, ProgressStatus, RaftId } from "./types.ts";

/**
 * What the leader knows about one member. `probe`: where the logs agree is unknown, one append a heartbeat. `replicate`:
 * known, appends go out ahead of their answers within the in-flight limits. `snapshot`: it needs what the log has no
 * more, nothing is sent until the snapshot is there.
 */
export class Progress {
  readonly id: RaftId;
  learner: boolean;
  /** Known to be durable there. Never above what it has acknowledged in this term. */
  match = 0;
  next: number;
  state: ProgressState = "probe";
  /** Probe: an append is out, wait for its answer or the next heartbeat's. */
  probeSent = false;
  /** Snapshot: the index that it will be at. */
  pendingSnapshot = 0;
  /** The largest commit index that was sent to it. */
  sentCommit = 0;
  /** An append must go out even when full or empty: its answer tells whether something was lost. */
  checkDue = false;
  /** `match` at the last heartbeat answer; no move since, with entries outstanding, means that something was lost. */
  matchAtHeartbeat = -1;
  /** The largest heartbeat round that it answered in this term. */
  round = 0;
  answeredAt: number;
  readonly inflight: Inflight;

  constructor(id: RaftId, learner: boolean, next: number, now: number, options: Options) {
    this.id = id;
    this.learner = learner;
    this.next = next;
    this.answeredAt = now;
    this.inflight = new Inflight(options.maxInflight, options.maxInflightBytes);
  }

  becomeProbe(): void {
    // A snapshot that has arrived moves the place to try to just behind it.
    const after = this.state === "snapshot" ? this.pendingSnapshot : 0;
    this.#enter("probe");
    this.next = Math.max(this.match, after) + 1;
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
  }

  /** True when the acknowledgement told something new. */
  acknowledge(index: number): boolean {
    const isNew = index > this.match;
    if (isNew) this.match = index;
    if (this.next <= index) this.next = index + 1;
    return isNew;
  }

  get paused(): boolean {
    if (this.state === "snapshot") return true;
    return this.state === "probe" ? this.probeSent : this.inflight.isFull;
  }

  status(): ProgressStatus {
    return {
      id: this.id,
      match: this.match,
      next: this.next,
      state: this.state,
      paused: this.paused,
      inflight: this.inflight.count,
      inflightBytes: this.inflight.bytes,
      learner: this.learner,
      answeredAt: this.answeredAt,
    };
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.checkDue = false;
    this.matchAtHeartbeat = -1;
    this.inflight.clear();
  }
}
