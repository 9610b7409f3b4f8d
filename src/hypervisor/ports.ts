import type { DomainEvent } from "./domain-event.ts";
import type { DomainSpec } from "./domain-xml.ts";
import type { LoopLine } from "./loop-line.ts";
import type { HeldDomain, VmRecord, WantedVm } from "./planner.ts";

/** Monotonic milliseconds. The only time that decides anything here. */
export type Now = () => number;

/** Where a hypervisor is and how to log in to it. */
export interface HostAddress {
  readonly hostId: number;
  /** OpenNebula's name of the host, for messages. */
  readonly name: string;
  /** IP address or name to connect to: HOST attribute SSH_ADDRESS, default the host's name. */
  readonly address: string;
  readonly port: number;
  /** HOST attribute SSH_USER, default root. */
  readonly user: string;
}

/** The pinned host keys, replicated: the first box that meets a host pins it, the others get what was pinned. */
export interface HostKeys {
  /**
   * The fingerprint (`SHA256:…`, as `ssh-keygen -l` prints it) that this host must have. When none is pinned yet,
   * pins `offered` and resolves with what is pinned after that. Rejects when it cannot be known now: no connection then.
   */
  pin(hostId: number, offered: string): Promise<string>;
}

/** Limits SSH handshakes of this process: each costs some 30 ms of one core, a hundred at once would cost the lease. */
export interface Handshakes {
  /** Resolves when a place is free; the caller calls the result when its handshake is over. */
  enter(): Promise<() => void>;
}

/** How the box sees the connection. `since` and `at` are {@link Now} times. */
export type ConnectionState = {
  readonly kind: /** An attempt is under way; nothing is known yet. */
    | "connecting"
    /** The loop was heard within the last 2 s. */
    | "ready"
    /** Nothing was heard: no answer to the connection, no greeting, no handshake, or the loop went quiet. */
    | "silent"
    /** The host answered and said no: port closed, key not accepted, no virsh shell. */
    | "refused"
    /** Somebody answered with another host key than the pinned one. */
    | "host-key-mismatch";
  readonly since: number;
  /** For people: what was tried, with the values. Empty for connecting and ready. */
  readonly reason: string;
};

/** What a connection tells, in the order of its arrival. */
export type HostSignal =
  | { readonly kind: "state"; readonly at: number; readonly state: ConnectionState }
  | { readonly kind: "line"; readonly at: number; readonly line: LoopLine }
  | { readonly kind: "event"; readonly at: number; readonly event: DomainEvent };

/** What became of a command. */
export type CommandResult =
  | { readonly kind: "done"; readonly code: number; readonly stdout: string; readonly stderr: string }
  /** Not one byte of it left this box. */
  | { readonly kind: "not-sent"; readonly why: string }
  /** It may have run, wholly or in part, or may run still; only looking at the host can tell. */
  | { readonly kind: "unknown"; readonly why: string };

/** What the driver needs of a connection; {@link HostConnection} is one. */
export interface HostLink {
  readonly hostId: number;
  readonly name: string;
  readonly state: ConnectionState;
  /** Boot of the host that this connection talks to; undefined until its loop said so. */
  readonly bootId: string | undefined;
  readonly hasKvm: boolean;
  /** The host's uptime now in ms, at least; undefined when it was not heard on this connection. */
  hostUptimeMs(): number | undefined;
  /**
   * Runs a script with `sh` on the host. `compose` is called when the channel is open, immediately before the first byte of the
   * script is written: permissions are asked there, and nowhere earlier.
   */
  run(
    compose: () => { readonly send: string } | { readonly refuse: string },
    options: RunOptions,
  ): Promise<CommandResult>;
}

export interface RunOptions {
  readonly deadlineMs: number;
  /** Commands of one key run one after another, in the order of the calls. */
  readonly key: string;
}

/** What the driver tells the front-end: facts, each said again until the record agrees. */
export type Fact =
  /** The domain of this epoch runs there. */
  | {
      readonly kind: "running";
      readonly vmId: number;
      readonly hostId: number;
      readonly epoch: number;
      readonly how: "deployed" | "adopted";
    }
  /** libvirtd of a connected host answered, and the VM has no domain there. */
  | {
      readonly kind: "gone";
      readonly vmId: number;
      readonly hostId: number;
      readonly epoch: number;
      readonly cause: "shutdown" | "destroyed" | "crashed" | "unknown";
      readonly reason: string;
    }
  /** It was not started and does not run there. Trying again needs a new epoch or time. */
  | {
      readonly kind: "failed";
      readonly vmId: number;
      readonly hostId: number;
      readonly epoch: number;
      readonly reason: string;
    }
  /** A domain of ours that must not be there was destroyed. */
  | {
      readonly kind: "stray-destroyed";
      readonly vmId: number;
      readonly hostId: number;
      readonly epoch: number;
      readonly reason: string;
    };

/** The replicated record, as the driver needs it. All answers come from the applied state of this box. */
export interface Records {
  /** Every VM that should have, or should lose, a domain on this host. */
  wanted(hostId: number): readonly WantedVm[];
  /** Where the record says the VM belongs. */
  record(vmId: number): VmRecord;
  /** What the domain is made of, for the host that is to run it. */
  spec(vmId: number, epoch: number): DomainSpec | undefined;
}

/** Permissions: asked immediately before a command is sent, and never remembered. */
export interface Tickets {
  /** Undefined: may end or shut down domains, as the leader lease is held. Otherwise why not. */
  refuseEnd(): string | undefined;
  /** Undefined: may start. Otherwise why not: no lease, VM recorded elsewhere, host held by fencing, … */
  refuseStart(vmId: number, hostId: number, epoch: number): string | undefined;
}

/** Who is told. Rejections are retried by the level: the same fact comes again. */
export interface Reports {
  fact(fact: Fact): Promise<void>;
  /**
   * A host is connected (again): its boot and its domains of ours, after strays were destroyed. Nothing is started there until this
   * resolved with true, once for each connection and boot.
   */
  hostReturned(hostId: number, bootId: string, domains: readonly HeldDomain[]): Promise<boolean>;
}

/** What the driver is given. */
export interface DriverPorts {
  readonly now: Now;
  readonly records: Records;
  readonly tickets: Tickets;
  readonly reports: Reports;
  /** This cluster's id: domains of others are counted and never touched. */
  readonly clusterId: string;
  /** Something a person may want to read: an action refused or failed. */
  readonly onNote: (hostId: number, text: string) => void;
}
