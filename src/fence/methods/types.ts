import type { Device } from "../configuration.ts";
import type { BindingRow, Proof } from "../record.ts";

/** What a method is given for one device. */
export interface MethodContext {
  readonly device: Device;
  /** Opened just now; never logged, never in an error. */
  readonly password: string;
  readonly binding: BindingRow;
  /** Asked right before each datagram that can change power, repetitions too. False: it must not leave. */
  readonly mayChangePower: () => boolean;
  /** Fires when the leader stops: everything pending ends at once. */
  readonly signal: AbortSignal;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Ends early, by an exception, when `signal` fires. */
  readonly wait: (ms: number) => Promise<void>;
}

/**
 * A session with one device, identity checked and status read. It changes nothing before `powerOff`.
 * Errors are `CodedError` with the codes of {@link METHOD_ERROR}.
 */
export interface PowerSession {
  readonly was: "on" | "off";
  /** Hard off, then status until it is proven. Bounded by {@link OFF_DEADLINE_MS}. */
  powerOff(): Promise<Proof>;
  /** Never fails, never waits for the device. */
  close(): void;
}

/** What one readiness check found. */
export interface DeviceCheck {
  readonly power: "on" | "off";
  /** 32 hex digits. */
  readonly guid: string;
  readonly suite: string;
  readonly firmware: string;
  /** What an operator should mend, as sentences; the device works all the same. */
  readonly findings: readonly string[];
}

/** A way to power hosts off. */
export interface FenceMethod {
  readonly name: string;
  /** From the guarded source ports, for a power command that is about to be sent. */
  open(context: MethodContext): Promise<PowerSession>;
  /** From ordinary ports, at any time, on any box: complete login, status, identity. */
  check(context: Omit<MethodContext, "binding" | "mayChangePower">): Promise<DeviceCheck>;
}

export const METHOD_ERROR = {
  /** The device is not the one that is bound to this host. */
  identity: "fence-identity",
  /** Nothing was sent, because the lease was too short. */
  lease: "fence-lease",
  /** Anything else: unreachable, refused, still on at the deadline. */
  failed: "fence-failed",
} as const;

/** From the off to its proof. Servers with large capacitors read *on* for 4–5 s after a hard off. */
export const OFF_DEADLINE_MS = 12_000;
