import type { Change, Outcome } from "../base/entry.ts";
import type { Query } from "../one/query.ts";
import type { HostJudgement } from "./machine-types.ts";
import type { FenceMethod } from "./methods/types.ts";

/** Monotonic time and timers; wall time for the marks of a report only. */
export interface Clock {
  now(): number;
  wall(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
}

/** What fencing needs of the box. All of it is used by the leader only. */
export interface FencePorts {
  /** The local state; at the leader, after its own no-op was applied. */
  read<R>(query: Query<R>): Promise<readonly R[]>;
  /** Resolves with `done` only after the entry is applied here and `read` shows it. Rejects only when the box goes down. */
  propose(change: Change, kind: string): Promise<Outcome>;
  readonly lease: {
    /** From a shared buffer: true at the instant of the call. Zero or less when there is none. */
    remainingMs(): number;
  };
  readonly monitor: { judgement(hostId: number): HostJudgement };
  readonly readiness: {
    /** For how long the host's BMC has answered without a gap, as any box knows it; 0 when it is not known. */
    answeringForMs(hostId: number): number;
  };
  readonly clock: Clock;
  readonly methods: ReadonlyMap<string, FenceMethod>;
  /** Opens a sealed secret. Throws when it cannot be opened with this cluster's key. */
  unseal(text: string): string;
  /** For people: journal, events, LED. Must not throw. */
  alert(text: string): void;
  /** 0 ≤ x < 1, for back-off. */
  random(): number;
}
