import type { Outcome } from "../base/entry.ts";
import type { BmcPower, GateAnswer } from "./policy.ts";
import type { FenceRow, Marks, Proof } from "./record.ts";
import type { RecordUpdate } from "./record-change.ts";

/** What the machine of one host remembers, at the leader: nothing that the next leader could not get from the row and a fresh look. */
export interface FenceState {
  readonly hostId: number;
  /** This leader's Raft term. */
  readonly epoch: number;
  /** When this leader took the host over, monotonic ms like every instant here. */
  readonly startedAt: number;
  readonly busy: "" | "propose" | "open" | "power-off" | "settle";
  /** A session with every device of the level stands open, identity checked, status read. */
  readonly isSessionOpen: boolean;
  /** When this leader sent the first off of the present attempt, or may have. */
  readonly firstOffAt: number | undefined;
  /** What this leader's power-off proved and the record does not say yet. */
  readonly proofs: readonly Proof[] | undefined;
  /** The end of this leader's last session with the BMC of this failure, or of its attempt at one. */
  readonly contactAt: number | undefined;
  /** Why the present level failed; undefined while it has not. */
  readonly failure: string | undefined;
  /** Rounds through all levels that failed; sets the back-off. */
  readonly failedRounds: number;
  /** No new try before this. */
  readonly notBeforeAt: number;
  /** The lease was too short or an entry was not admitted: nothing is tried before this. */
  readonly againAt: number;
  /** When the next alert of a standing HELD or FAILED is due. */
  readonly alertAt: number | undefined;
  readonly alertedReason: string;
  /** The last alert and when it was given. */
  readonly told: { readonly text: string; readonly at: number } | undefined;
  /** Until then a host that was dealt with and has just come back is not judged down by verdicts from before. */
  readonly returnGraceUntilAt: number;
  /** The failure that all of the above belongs to. */
  readonly failureNumber: number;
}

/** What the boxes together say about the host, in the leader's clock. */
export interface HostJudgement {
  /** `suspect`: the loop is silent. `down`: a majority of the voters in force agrees, and no box hears it. */
  readonly verdict: "unknown" | "alive" | "suspect" | "down" | "isolated";
  /** Since when it is down or isolated. */
  readonly downSinceAt: number | undefined;
  /** Down or isolated, and none of the boxes that say so has heard it since it started itself. */
  readonly isNeverHeard: boolean;
  /** The newest application answer, domain event or storage heartbeat at any box; undefined when none was since start. */
  readonly lastAnswerAt: number | undefined;
  /** A box got one of these after it applied the OFF_SENT of this record's failure and attempt. */
  readonly isAnswerAfterOff: boolean;
  readonly bmcPower: BmcPower;
  /** The storage heartbeat; `none` where there is no such thing. */
  readonly storage: "none" | "beating" | "missed-two";
  /** The boot id that the host shows or last showed; "" when it never did. */
  readonly bootId: string;
  /** Ids of the VMs whose domains it showed since it last came back; undefined when it has not shown them. */
  readonly domains: readonly number[] | undefined;
  /** Sentences for the record. */
  readonly evidence: readonly string[];
  readonly marks: Marks;
}

/** Everything that the machine looks at; read afresh for each `looked`. */
export interface Look {
  readonly record: FenceRow | undefined;
  readonly judgement: HostJudgement;
  readonly gates: readonly GateAnswer[];
  /** The levels that can run by themselves, ascending, with their methods in words. */
  readonly levels: readonly { readonly level: number; readonly method: string }[];
  /** The host is in ERROR and its last record is closed: it was dealt with and waits to be repaired. */
  readonly isDealtWith: boolean;
  readonly isFencingWaived: boolean;
  /** Wall time in ms, for the marks. */
  readonly wallAt: number;
}

export type FenceEvent =
  | { readonly kind: "looked"; readonly look: Look }
  | { readonly kind: "proposed"; readonly outcome: Outcome["kind"] }
  /** `jitter`: 0 … 1, spreads the back-off of several hosts. */
  | { readonly kind: "opened"; readonly result: SessionResult; readonly jitter: number }
  | { readonly kind: "powered-off"; readonly result: PowerResult; readonly jitter: number }
  | { readonly kind: "settled" };

/** `lease`: nothing was sent because the lease was too short; not the level's failure. */
export type SessionResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly cause: "lease" | "identity" | "failed"; readonly why: string };

export type PowerResult =
  | { readonly ok: true; readonly proofs: readonly Proof[] }
  | Extract<SessionResult, { ok: false }>;

export type FenceEffect =
  /** Write the arrow. `isHostLost`: the host goes to ERROR and its VMs to UNKNOWN in the same entry. */
  | {
      readonly kind: "propose";
      readonly update: RecordUpdate;
      readonly isHostLost: boolean;
      readonly basedOn: FenceRow | undefined;
    }
  /** Open sessions with all devices of the record's level: identity, then status. Nothing that changes power. */
  | { readonly kind: "open"; readonly level: number }
  /** Send off to all of them and prove it. Only ever after the OFF_SENT of this epoch was read back. */
  | { readonly kind: "power-off" }
  | { readonly kind: "close-session" }
  /** One status session of our own with the BMC, so that no earlier leader's is in its way. */
  | { readonly kind: "settle" }
  | { readonly kind: "alert"; readonly text: string };

export interface Step {
  readonly state: FenceState;
  readonly effects: readonly FenceEffect[];
}
