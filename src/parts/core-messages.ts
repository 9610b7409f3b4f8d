import type { Announced, Announcement } from "../cluster/announcement.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import type { ClusterId, Identity } from "../cluster/identity.ts";
import type { ClusterStatus, MembershipAt, Proposal, RoleNews } from "../cluster/ports.ts";
import type { PurgeLimits } from "../cluster/purge-policy.ts";
import type { StandDownOrder } from "../cluster/refusal.ts";
import type { LogEntry, MembershipChange, Timings } from "../raft/types.ts";
import type { MembershipRecord } from "../store/log/types.ts";
import type { HolderStatus } from "../vip/driver.ts";
import type { Bootstrap } from "./start-membership.ts";

/** What the core thread needs to start; all of it plain data. */
export interface CoreConfig {
  readonly dataDirectory: string;
  readonly identity: Identity;
  readonly cluster: ClusterId;
  readonly nonce: string;
  /** In force, as far as this box knows; {@link ToCore} tells of changes. */
  readonly timings: Timings;
  /** The feature level in force, likewise. */
  readonly level: number;
  readonly announcement: Announcement;
  readonly listen: { readonly host: string; readonly port: number };
  readonly localAddress: string | undefined;
  /** The founding membership of a new cluster, or what the leader told a joiner; for an empty log only. */
  readonly bootstrap: Bootstrap | undefined;
  /** A new generation begins: whatever the log says, its membership is this box alone from now on (generation.ts). */
  readonly isAlone: boolean;
  /** What the state database has applied. */
  readonly applied: number;
  readonly vip: VipConfig;
  /** Where the API answers on this box; asked about once a quarter second. */
  readonly apiUrl: string;
  /** Two float64: the instant (CLOCK_MONOTONIC_RAW ms) at which the lease ends; how long the log takes lately, ms. */
  readonly lease: SharedArrayBuffer;
}

export interface VipConfig {
  readonly vips: readonly { readonly interface: string; readonly address: string; readonly prefix: number }[];
  /** Interfaces on which power commands may leave under a live lease only. */
  readonly powerInterfaces: readonly string[];
  readonly conflict: "release" | "defend";
}

/** What the log knows of one index. */
export interface LogAt {
  readonly firstIndex: number;
  /** In force at the index; undefined when it is not known. */
  readonly membership: MembershipRecord | undefined;
}

/** From the work thread to the core thread. */
export type ToCore =
  | { readonly kind: "start"; readonly config: CoreConfig }
  | { readonly kind: "propose"; readonly proposals: readonly Proposal[] }
  | { readonly kind: "applied"; readonly index: number }
  /** The watchdog's newest acknowledgement, on its way round. */
  | { readonly kind: "token"; readonly token: number }
  /** A test of the watchdog: this thread is to stand still for good. */
  | { readonly kind: "freeze" }
  | { readonly kind: "request"; readonly to: string; readonly id: number; readonly body: Uint8Array }
  | {
      readonly kind: "response";
      readonly to: string;
      readonly id: number;
      readonly ok: boolean;
      readonly body: Uint8Array;
    }
  | { readonly kind: "side"; readonly payload: Uint8Array }
  | { readonly kind: "takes-entries"; readonly takes: boolean }
  | { readonly kind: "change-membership"; readonly id: number; readonly change: MembershipChange }
  | { readonly kind: "transfer"; readonly id: number; readonly to: string | undefined }
  | { readonly kind: "status"; readonly id: number }
  | { readonly kind: "snapshot-frame"; readonly to: string; readonly payload: Uint8Array; readonly isChunk: boolean }
  | { readonly kind: "report-snapshot"; readonly to: string; readonly ok: boolean }
  | { readonly kind: "purge"; readonly limits: PurgeLimits }
  /** Answered by `log-at`. */
  | { readonly kind: "log-at"; readonly id: number; readonly index: number }
  | { readonly kind: "level"; readonly level: number }
  | { readonly kind: "timings"; readonly timings: Timings }
  | {
      readonly kind: "join-answer";
      readonly id: number;
      readonly answer: unknown;
      readonly refusal: string | undefined;
    }
  | { readonly kind: "stop" };

/** From the core thread to the work thread. */
export type FromCore =
  | { readonly kind: "started" }
  /** `code` as in CodedError, "" for other errors. */
  | { readonly kind: "fatal"; readonly message: string; readonly code: string }
  | { readonly kind: "committed"; readonly entries: readonly LogEntry[] }
  | { readonly kind: "role"; readonly news: RoleNews }
  | { readonly kind: "refused"; readonly requestIds: readonly string[]; readonly why: "not-leader" | "busy" }
  | { readonly kind: "membership"; readonly membership: MembershipAt }
  /** `at`: when it came, CLOCK_MONOTONIC_RAW ms: a work thread that stood still must not take what waited for news. */
  | { readonly kind: "side"; readonly from: string; readonly payload: Uint8Array; readonly at: number }
  | { readonly kind: "request"; readonly from: string; readonly id: number; readonly body: Uint8Array }
  | {
      readonly kind: "response";
      readonly from: string;
      readonly id: number;
      readonly ok: boolean;
      readonly body: Uint8Array;
    }
  | { readonly kind: "unsent"; readonly id: number }
  | { readonly kind: "answer"; readonly id: number; readonly value: string | undefined }
  | {
      readonly kind: "status";
      readonly id: number;
      readonly cluster: ClusterStatus;
      readonly announced: Announced;
      readonly vip: HolderStatus | undefined;
    }
  | { readonly kind: "join"; readonly id: number; readonly request: JoinRequest }
  | { readonly kind: "snapshot-needed"; readonly to: readonly string[] }
  | { readonly kind: "snapshot-frame"; readonly from: string; readonly payload: Uint8Array }
  | { readonly kind: "log-at"; readonly id: number; readonly at: LogAt }
  /** What the raft loop and the API have brought back of the watchdog's acknowledgements; 0 for nothing yet. */
  | { readonly kind: "alive"; readonly raft: number; readonly api: number }
  /** Before anything else: the log begins after what the state has applied. */
  | { readonly kind: "state-lost"; readonly firstIndex: number }
  /** The core has let go of VIP and lease; the work thread puts it on record and ends the process. */
  | { readonly kind: "stand-down"; readonly order: StandDownOrder }
  | { readonly kind: "stopped" }
  | { readonly kind: "log"; readonly text: string };
