import { unreachable } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { type Acknowledgement, parseCheckIn, parseRequest, type Request } from "./check-in-line.ts";
import { CLIENTS, type Freezable } from "./clients.ts";
import type { WatchdogLimits } from "./limits.ts";
import {
  type CheckInReport,
  initialState,
  step,
  type WatchdogEffect,
  type WatchdogEvent,
  type WatchdogSettings,
  type WatchdogState,
} from "./machine.ts";
import type { WatchdogPorts } from "./ports.ts";
import { statusOf } from "./status.ts";

/** Check-ins that are kept to be written down when main hangs: the last 4 s. */
const KEPT_CHECK_INS = 8;
/** A controlled stop waits this long for its word to be on the disk, ms; a hung disk must not hold up a reboot. */
const REASON_TIMEOUT_MS = 1000;

/** What whoever asked is told. */
interface Answer {
  readonly isDone: boolean;
  readonly text: string;
}

/** Performs the machine's effects. Call {@link tick} ten times a second. */
export class WatchdogDriver {
  readonly #ports: WatchdogPorts;
  readonly #limits: WatchdogLimits;
  readonly #lastCheckIns: string[] = [];
  #state: WatchdogState;
  #isPetFailing = false;
  /** Goes to main with the next acknowledgement. */
  #freeze: Freezable | undefined;
  #answer: Answer = { isDone: false, text: "nothing was done" };

  /** `rest`: why main is left alone at first, and for how long (ms). */
  constructor(ports: WatchdogPorts, limits: WatchdogLimits, rest?: { readonly why: string; readonly forMs: number }) {
    this.#ports = ports;
    this.#limits = limits;
    const now = ports.now();
    this.#state = initialState(now, rest === undefined ? undefined : { why: rest.why, until: now + rest.forMs });
  }

  tick(): void {
    this.#handle({ kind: "ticked" });
  }

  stop(): void {
    this.#handle({ kind: "stop-requested" });
  }

  /** One line from the socket, main's or a person's; the answer is a line too, undefined when there is none. */
  line(text: string): string | undefined {
    const report = parseCheckIn(text);
    if (report !== undefined) return `${JSON.stringify(this.#checkIn(report))}\n`;
    const request = parseRequest(text);
    return request === undefined ? undefined : `${JSON.stringify(this.#asked(request))}\n`;
  }

  #checkIn(report: CheckInReport): Acknowledgement {
    const now = this.#ports.now();
    const { issued } = this.#state;
    // How old the proof of each client is, in the clients' order; "-" for one that has returned nothing yet.
    const ages = CLIENTS.map((client) => {
      const at = issued.findLast((one) => one.token === report.tokens[client])?.at;
      return `${client} ${at === undefined ? "-" : Math.round(now - at)}`;
    });
    this.#lastCheckIns.push(
      `${(now / 1000).toFixed(1)}: process ${report.pid} ${report.phase}, ms since: ${ages.join(", ")}`,
    );
    if (this.#lastCheckIns.length > KEPT_CHECK_INS) this.#lastCheckIns.shift();
    this.#handle({ kind: "checked-in", ...report });
    const token = this.#ports.random();
    this.#handle({ kind: "token-issued", token });
    const freeze = this.#freeze;
    this.#freeze = undefined;
    return { token, ...(freeze === undefined ? {} : { freeze }) };
  }

  #asked(request: Request): unknown {
    switch (request.kind) {
      case "status": {
        const words = { deviceName: this.#ports.device?.name ?? "", lastEnd: this.#ports.lastEnd };
        return statusOf(this.#settings(), this.#state, words, this.#ports.now());
      }
      case "snooze":
        return this.#answered({ kind: "snooze-asked", ms: request.seconds * 1000, by: request.by });
      case "stop-petting":
        return this.#answered({ kind: "stop-petting-asked", by: request.by });
      case "freeze":
        return this.#answered({ kind: "freeze-asked", client: request.client, by: request.by });
      case "resume":
        return this.#answered({ kind: "resume-asked", by: request.by });
      default:
        return unreachable(request);
    }
  }

  #answered(event: WatchdogEvent): Answer {
    this.#handle(event);
    return this.#answer;
  }

  #settings(): WatchdogSettings {
    const { device } = this.#ports;
    return { limits: this.#limits, deviceTimeoutMs: device?.timeoutMs, petWithinMs: device?.petWithinMs };
  }

  #handle(event: WatchdogEvent): void {
    const { state, effects } = step(this.#settings(), this.#state, event, this.#ports.now());
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
      case "needs-person":
        ports.needsPerson();
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
      case "freeze":
        this.#freeze = effect.client;
        return;
      case "record":
        ports.record(effect.action, effect.detail);
        return;
      case "answer":
        this.#answer = { isDone: effect.isDone, text: effect.text };
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
