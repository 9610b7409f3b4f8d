import type { Entry, Outcome, SqlValue } from "../base/entry.ts";
import type { Membership, RaftNumbers, Samples } from "../one/method.ts";
import type { Row } from "../one/query.ts";

/** What this box is in the cluster right now. */
export interface RoleView {
  readonly kind: "solo" | "leader" | "follower" | "candidate";
  /** Leader or solo: its own no-op is applied, so its state has every acknowledged write and it may plan. */
  readonly ready: boolean;
  /** Follower: there is a leader to forward to. */
  readonly leaderKnown: boolean;
}

/** What the interface needs of the world. The adapters are in `parts/`; tests have them in memory. */
export interface ApiPorts {
  /**
   * Rows of the local state as objects by column name, as of the last applied entry. Rejects with a CodedError
   * (`read-busy`, `read-timeout`, `read-failed`).
   */
  query(sql: string, values: readonly SqlValue[]): Promise<readonly Row[]>;
  /**
   * Leader: the entry's outcome once it is applied here. Rejects with CodedError `not-leader`, `busy` or
   * `entry-too-large`: nothing happened.
   */
  propose(entry: Entry): Promise<Outcome>;
  /** The kept outcome of a request id; undefined when it was never applied here. */
  outcomeOf(requestId: string): Outcome | undefined;
  /** Index of the last applied entry. */
  appliedIndex(): number;
  /** Called after each applied batch, before the outcomes of its entries are given out. Returns the removal. */
  onApplied(listener: (tags: readonly string[]) => void): () => void;
  role(): RoleView;
  /** Called whenever {@link role} may have changed. Returns the removal. */
  onRole(listener: () => void): () => void;
  /**
   * Sends a call to the leader, where `FrontEnd.forwarded` answers it. Rejects with CodedError `call-unreachable` or
   * `call-busy` (it was not sent), `call-timeout` or `call-failed` (it may have been executed).
   */
  forward(call: Uint8Array): Promise<Uint8Array>;
  raftNumbers(): Promise<RaftNumbers>;
  readonly membership: Membership;
  readonly samples: Samples;
  /** A session of oneadmin beside those that its password and tokens make: what this box's own programs ask with. */
  readonly ownSession: string;
  /** Encrypts a secret with the cluster's key; another result each time. */
  seal(text: string): string;
  /** Wall time, ms; for people only. */
  wallMs(): number;
  /** Monotonic time, ms. */
  monotonicMs(): number;
  /** One line for the box's log. */
  log(text: string): void;
}
