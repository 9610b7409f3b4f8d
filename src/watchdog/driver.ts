import { unreachable } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { parseCheckIn } from "./check-in-line.ts";
import type { WatchdogLimits } from "./limits.ts";
import { initialState, step, type WatchdogEffect, type WatchdogEvent, type WatchdogState } from "./machine.ts";
import type { WatchdogPorts } from "./ports.ts";

/** Check-ins that are kept to be written down when main hangs: the last 4 s. */
const KEPT_CHECK_INS = 8;
/** A controlled stop waits this long for its word to be on the disk, ms; a hung disk must not hold up a reboot. */
const REASON_TIMEOUT_MS = 1000;

/** Performs the machine's effects. Call {@link tick} ten times a second. */
export class WatchdogDriver {
  readonly #ports: WatchdogPorts;
  readonly #limits: WatchdogLimits;
  readonly #lastCheckIns: string[] = [];
  #state: WatchdogState;
  #isPetFailing = false;

  constructor(ports: WatchdogPorts, limits: WatchdogLimits) {
    this.#ports = ports;
    this.#limits = limits;
    this.#state = initialState(ports.now());
  }

  tick(): void {
    this.#handle({ kind: "ticked" });
  }

  stop(): void {
    this.#handle({ kind: "stop-requested" });
  }

  /** One line from the check-in socket. */
  checkIn(line: string): void {
    const report = parseCheckIn(line);
    if (report === undefined) return;
    const at = (this.#ports.now() / 1000).toFixed(1);
    this.#lastCheckIns.push(
      `${at}: process ${report.pid}, core ${report.coreAgeMs} ms${report.isStarted ? "" : ", starting"}`,
    );
    if (this.#lastCheckIns.length > KEPT_CHECK_INS) this.#lastCheckIns.shift();
    this.#handle({ kind: "checked-in", ...report });
  }

  #handle(event: WatchdogEvent): void {
    const { state, effects } = step(
      { limits: this.#limits, deviceTimeoutMs: this.#ports.device?.timeoutMs },
      this.#state,
      event,
      this.#ports.now(),
    );
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: WatchdogEffect): void {
    const ports = this.#ports;
    switch (effect.kind) {
      case "pet":
        this.#pet();
        return;
      case "start":
        this.#start();
        return;
      case "empty-cage":
        this.#emptyCage();
        return;
      case "terminate":
        ports.terminate(effect.pid);
        return;
      case "record-hang":
        this.#recordHang(effect.pid, effect.why);
        return;
      case "presume-reset":
        this.#writeReason(`${effect.why}; ${this.#described()}`);
        return;
      case "finish":
        this.#finish(effect.isDisarming);
        return;
      case "log":
        ports.log(effect.text);
        return;
      default:
        unreachable(effect);
    }
  }

  #pet(): void {
    try {
      this.#ports.device?.pet();
      if (this.#isPetFailing) this.#ports.log("the watchdog device takes pets again");
      this.#isPetFailing = false;
    } catch (error) {
      if (!this.#isPetFailing) this.#ports.log(`Cannot pet the watchdog: ${errorChain(error)}`);
      this.#isPetFailing = true;
    }
  }

  #start(): void {
    this.#lastCheckIns.length = 0;
    let pid: number;
    try {
      pid = this.#ports.spawn((endedPid, code, how) => this.#handle({ kind: "ended", pid: endedPid, code, how }));
      this.#ports.cage.adopt(pid);
    } catch (error) {
      this.#handle({ kind: "start-failed", why: errorChain(error) });
      return;
    }
    this.#handle({ kind: "started", pid });
  }

  #emptyCage(): void {
    const { cage } = this.#ports;
    try {
      if (!cage.isEmpty()) cage.kill();
      if (!cage.isEmpty()) return;
    } catch (error) {
      this.#ports.log(`Cannot empty main's cgroup: ${errorChain(error)}`);
      return;
    }
    this.#handle({ kind: "cage-emptied" });
  }

  #recordHang(pid: number, why: string): void {
    const lines = [`main hangs: ${why}`, this.#described(), ...this.#ports.threadStates(pid)];
    this.#ports.log(lines.join("\n"));
  }

  #described(): string {
    return this.#lastCheckIns.length === 0 ? "no check-ins" : `last check-ins (s): ${this.#lastCheckIns.join("; ")}`;
  }

  #writeReason(detail: string): void {
    this.#ports
      .writeResetReason("presumed-watchdog", detail)
      .catch((error: unknown) => this.#ports.log(errorChain(error)));
  }

  #finish(isDisarming: boolean): void {
    const ports = this.#ports;
    const close = (): void => {
      ports.device?.close(isDisarming);
      ports.end();
    };
    // A decided reset keeps the reason that was written with the decision.
    if (!isDisarming) {
      close();
      return;
    }
    const written = ports
      .writeResetReason("controlled-stop", "")
      .catch((error: unknown) => ports.log(errorChain(error)));
    const timeout = new Promise((resolve) => setTimeout(resolve, REASON_TIMEOUT_MS));
    Promise.race([written, timeout]).then(close, close);
  }
}
