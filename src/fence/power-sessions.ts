import { CodedError, errorChain } from "../base/error.ts";
import type { Device } from "./configuration.ts";
import type { PowerResult, SessionResult } from "./machine-types.ts";
import { METHOD_ERROR, type MethodContext, type PowerSession } from "./methods/types.ts";
import { type FencePolicy, SEND_DEADLINE_MS } from "./policy.ts";
import type { FencePorts } from "./ports.ts";
import type { BindingRow, Proof } from "./record.ts";

/** One host's devices, and the sessions that stand open with them. */
export interface PowerSlot {
  readonly hostId: number;
  sessions: PowerSession[];
  devices: readonly Device[];
  binding: BindingRow | undefined;
}

/** The sessions with BMCs that the machine's effects ask for: open all of a level, power off and prove, settle. */
export class PowerSessions {
  readonly #ports: FencePorts;
  readonly #policy: FencePolicy;
  /** Ends everything that is under way. */
  readonly #signal: AbortSignal;
  /** A host that was on is about to get an off: what the storm gates count. */
  readonly #onCommand: (hostId: number) => void;

  constructor(ports: FencePorts, policy: FencePolicy, signal: AbortSignal, onCommand: (hostId: number) => void) {
    this.#ports = ports;
    this.#policy = policy;
    this.#signal = signal;
    this.#onCommand = onCommand;
  }

  /** Sessions with all devices of the level: identity and status, nothing that changes power. */
  async open(slot: PowerSlot, level: number): Promise<SessionResult> {
    closeSessions(slot);
    if (!this.#hasLease()) return NO_LEASE;
    const devices = slot.devices.filter((device) => device.level === level);
    if (devices.length === 0) return { ok: false, cause: "failed", why: `level ${level} is not configured any more` };
    const opened = await Promise.allSettled(devices.map((device) => this.#openDevice(slot, device)));
    const sessions = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    slot.sessions = sessions;
    const failure = worstFailure(opened);
    if (failure === undefined) return this.#isOffTrusted(slot);
    closeSessions(slot);
    return failure;
  }

  async #openDevice(slot: PowerSlot, device: Device): Promise<PowerSession> {
    const method = this.#ports.methods.get(device.method);
    const { binding } = slot;
    if (method === undefined) throw new CodedError(METHOD_ERROR.failed, `METHOD "${device.method}" is not known`);
    if (binding === undefined) throw new CodedError(METHOD_ERROR.identity, "its BMC is not bound to it");
    return await method.open({ ...this.#context(device), binding, mayChangePower: () => this.#hasLease() });
  }

  /** A BMC that has only just begun to answer reads *off* while it starts: not believed yet. */
  #isOffTrusted(slot: PowerSlot): SessionResult {
    const isOff = slot.sessions.some((session) => session.was === "off");
    const upMs = this.#ports.readiness.answeringForMs(slot.hostId);
    if (!isOff || upMs >= this.#policy.bmcUpMs) return { ok: true };
    closeSessions(slot);
    const why = `its BMC reads off but has answered for ${Math.floor(upMs / 1000)} s only, needed are ${this.#policy.bmcUpMs / 1000} s`;
    return { ok: false, cause: "failed", why };
  }

  /** Off to all of them, and the proof. */
  async powerOff(slot: PowerSlot): Promise<PowerResult> {
    if (!this.#hasLease()) return NO_LEASE;
    if (slot.sessions.some((session) => session.was === "on")) this.#onCommand(slot.hostId);
    const results = await Promise.allSettled(slot.sessions.map((session) => session.powerOff()));
    const failure = worstFailure(results);
    if (failure?.cause === "lease") return failure;
    closeSessions(slot);
    if (failure !== undefined) return failure;
    const proofs: Proof[] = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    return { ok: true, proofs };
  }

  /** A status session of our own; a BMC that does not answer has been tried, which is all that can be done. */
  async settle(slot: PowerSlot): Promise<void> {
    const checks = slot.devices.map(async (device) => {
      await this.#ports.methods.get(device.method)?.check(this.#context(device));
    });
    await Promise.allSettled(checks);
  }

  #context(device: Device): Omit<MethodContext, "binding" | "mayChangePower"> {
    const { clock } = this.#ports;
    const signal = this.#signal;
    return {
      device,
      password: device.sealedPassword === "" ? "" : this.#ports.unseal(device.sealedPassword),
      signal,
      now: () => clock.now(),
      wait: (ms) =>
        new Promise((resolve, reject) => {
          if (signal.aborted) {
            reject(new CodedError(METHOD_ERROR.failed, "stopped"));
            return;
          }
          const stopped = (): void => {
            cancel();
            reject(new CodedError(METHOD_ERROR.failed, "stopped"));
          };
          const cancel = clock.after(ms, () => {
            signal.removeEventListener("abort", stopped);
            resolve();
          });
          signal.addEventListener("abort", stopped, { once: true });
        }),
    };
  }

  #hasLease(): boolean {
    return !this.#signal.aborted && this.#ports.lease.remainingMs() > SEND_DEADLINE_MS;
  }
}

const NO_LEASE = { ok: false, cause: "lease", why: "the leader lease is too short for a power command" } as const;

/** Never fails, never waits for a device. */
export function closeSessions(slot: PowerSlot): void {
  for (const session of slot.sessions) session.close();
  slot.sessions = [];
}

/** The wrong machine is the worst, then a failed device; a short lease only means again. */
function worstFailure(
  results: readonly PromiseSettledResult<unknown>[],
): Extract<SessionResult, { ok: false }> | undefined {
  const failures = results.flatMap((result) => (result.status === "rejected" ? [asFailure(result.reason)] : []));
  return (
    failures.find(({ cause }) => cause === "identity") ??
    failures.find(({ cause }) => cause === "failed") ??
    failures[0]
  );
}

function asFailure(error: unknown): Extract<SessionResult, { ok: false }> {
  const code = error instanceof CodedError ? error.code : METHOD_ERROR.failed;
  const why = errorChain(error);
  if (code === METHOD_ERROR.identity) return { ok: false, cause: "identity", why };
  if (code === METHOD_ERROR.lease) return { ok: false, cause: "lease", why };
  return { ok: false, cause: "failed", why };
}
