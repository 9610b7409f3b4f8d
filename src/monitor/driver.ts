import { assert } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { type BoxReport, type HostInference, infer } from "./inference.ts";
import {
  evaluate,
  type HostVerdict,
  initialState,
  type MonitorEvent,
  type MonitorLimits,
  type MonitorState,
  step,
} from "./machine.ts";
import type { Evidence, HostLevel, HostLine, Now } from "./ports.ts";
import { HostSamples } from "./samples.ts";
import { decodeVerdicts, encodeVerdicts } from "./verdict-codec.ts";

/** Judged ten times a second: adds 50 ms on average to a detection of 2 s. */
export const EVALUATE_INTERVAL_MS = 100;
/** An unchanged level is said again after this: whoever listens may have begun a moment ago. */
export const LEVEL_AGAIN_MS = 1000;
/** Half-way to the shortened suspicion: the BMC's answer is there when it is needed. */
const ASK_BMC_AFTER_MS = 600;
const ASK_STORAGE_AFTER_MS = 800;
/** Between two questions about one silent host. */
const ASK_INTERVAL_MS = 400;
/** A question that is not answered in this time is not waited for. */
const ASK_TIMEOUT_MS = 1500;

export interface MonitorOptions {
  /** This box's id in the cluster. */
  readonly boxId: number;
  readonly limits: MonitorLimits;
}

export interface MonitorPorts {
  readonly now: Now;
  /** Absent: the loops alone decide. */
  readonly evidence?: Evidence;
  /** Called on the leader: at each change of a host's level and every second. Must not throw. */
  readonly onLevel: (level: HostLevel) => void;
  readonly onNote: (hostId: number, text: string) => void;
}

/** Joins what the connections hear to this box's verdicts, and on the leader all boxes' verdicts to levels. */
export class MonitorDriver {
  readonly samples = new HostSamples();
  readonly #options: MonitorOptions;
  readonly #ports: MonitorPorts;
  #state: MonitorState = initialState();
  #verdicts: readonly HostVerdict[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Undefined: this box does not lead. */
  #voters: (() => readonly number[]) | undefined;
  readonly #reports = new Map<number, BoxReport>();
  readonly #levels = new Map<number, { level: HostLevel; saidAt: number }>();
  readonly #asked = new Map<string, number>();

  constructor(options: MonitorOptions, ports: MonitorPorts) {
    this.#options = options;
    this.#ports = ports;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.evaluate(), EVALUATE_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.follow();
  }

  addHost(hostId: number): void {
    this.#step({ kind: "host-added", hostId });
  }

  removeHost(hostId: number): void {
    this.#step({ kind: "host-removed", hostId });
    this.samples.forget(hostId);
    this.#levels.delete(hostId);
    for (const what of ["bmc", "storage"]) this.#asked.delete(`${what} ${hostId}`);
  }

  /** Feeds a line that was heard on one of the host's paths (0, 1, …). */
  line(hostId: number, path: number, line: HostLine): void {
    if (line.kind === "sample") this.samples.add(hostId, line);
    else if (line.kind === "hello") this.#step({ kind: "loop-began", hostId, path, bootId: line.bootId }, line.at);
    else {
      const { uptimeMs, libvirtUptimeMs, diskUptimeMs } = line;
      this.#step({ kind: "line-heard", hostId, path, uptimeMs, libvirtUptimeMs, diskUptimeMs }, line.at);
    }
  }

  /** Evidence that somebody else came by: an answer of the host's BMC to a readiness check. */
  bmcAnswered(hostId: number, power: "on" | "off"): void {
    this.#step({ kind: "bmc-answered", hostId, power });
  }

  /** This box's verdicts of now, for a heartbeat answer. */
  payload(): Uint8Array<ArrayBuffer> {
    return encodeVerdicts(this.#judge());
  }

  /** This box's own last verdicts, for `ringfence status`. */
  verdicts(): readonly HostVerdict[] {
    return this.#verdicts;
  }

  /** On the leader: what each host is, by the last evaluation. */
  levels(): readonly HostLevel[] {
    return [...this.#levels.values()].map(({ level }) => level);
  }

  /** From now on this box judges for all. `voters` gives the voters in force, this box among them. */
  lead(voters: () => readonly number[]): void {
    this.#reports.clear();
    this.#levels.clear();
    this.#voters = voters;
  }

  follow(): void {
    this.#voters = undefined;
    this.#reports.clear();
    this.#levels.clear();
  }

  /**
   * Takes another box's payload. `sentAt` is when it came to this box, by {@link MonitorPorts.now}; it may have waited here for this
   * thread. Without it the verdicts are taken to be of now. They were written some 100 ms earlier (a heartbeat, and the interval in
   * which a box renews them): answers look that much younger than they are, which only ever makes a host look alive.
   */
  take(boxId: number, payload: Uint8Array, sentAt: number = this.#ports.now()): void {
    assert(boxId !== this.#options.boxId, "a box does not report to itself");
    if (this.#voters === undefined) return;
    try {
      const { verdicts, isTruncated } = decodeVerdicts(payload);
      this.#report(boxId, sentAt, verdicts, isTruncated);
    } catch (error) {
      this.#ports.onNote(-1, `Cannot use the report of box ${boxId}: ${errorChain(error)}`);
    }
  }

  /** One turn of the timer; a test calls it with its own clock. */
  evaluate(): void {
    const verdicts = this.#judge();
    for (const verdict of verdicts) this.#ask(verdict);
    if (this.#voters === undefined) return;
    const now = this.#ports.now();
    this.#report(this.#options.boxId, now, verdicts, false);
    const voters = this.#voters();
    const reports = [...this.#reports.values()];
    for (const { hostId } of verdicts)
      this.#say(hostId, infer(hostId, voters, reports, this.#options.limits, now), now);
  }

  #judge(): readonly HostVerdict[] {
    const result = evaluate(this.#state, this.#options.limits, this.#ports.now());
    this.#state = result.state;
    this.#verdicts = result.verdicts;
    for (const { hostId } of result.effects) this.#restartLibvirtd(hostId);
    return result.verdicts;
  }

  #restartLibvirtd(hostId: number): void {
    const { evidence, onNote } = this.#ports;
    if (evidence === undefined) return;
    onNote(hostId, "libvirtd does not answer: one restart is tried");
    evidence.restartLibvirtd(hostId).catch((error: unknown) => onNote(hostId, errorChain(error)));
  }

  #report(boxId: number, writtenAt: number, verdicts: readonly HostVerdict[], isTruncated: boolean): void {
    const known = this.#reports.get(boxId);
    // Answers may overtake each other; the older one knows less.
    if (known !== undefined && known.writtenAt > writtenAt) return;
    const byHost = new Map(verdicts.map((verdict) => [verdict.hostId, verdict]));
    this.#reports.set(boxId, { boxId, writtenAt, verdicts: byHost, isTruncated });
  }

  #say(hostId: number, inference: HostInference, now: number): void {
    const kind = `host-${inference.kind}` as const;
    const known = this.#levels.get(hostId);
    const hasChanged = known?.level.kind !== kind;
    const since = known !== undefined && !hasChanged ? known.level.since : now;
    const level: HostLevel = { kind, hostId, inference, since };
    const isDue = known === undefined || hasChanged || now - known.saidAt >= LEVEL_AGAIN_MS;
    this.#levels.set(hostId, { level, saidAt: isDue ? now : known.saidAt });
    if (isDue) this.#ports.onLevel(level);
  }

  /** Asks what else can be known about a host that is getting quiet; answers come back as events. */
  #ask(verdict: HostVerdict): void {
    const { evidence } = this.#ports;
    const { hostId, answerAgeMs } = verdict;
    if (evidence === undefined) return;
    const quietMs = answerAgeMs ?? (verdict.kind === "suspect" ? Number.POSITIVE_INFINITY : 0);
    if (quietMs > ASK_BMC_AFTER_MS) {
      this.#askOnce(`bmc ${hostId}`, evidence.bmcPower.bind(evidence, hostId), (power) =>
        this.#step({ kind: "bmc-answered", hostId, power }),
      );
    }
    if (quietMs > ASK_STORAGE_AFTER_MS) {
      this.#askOnce(`storage ${hostId}`, evidence.storageBeat.bind(evidence, hostId), (beat) =>
        this.#step({ kind: "storage-read", hostId, beat }),
      );
    }
  }

  #askOnce<T>(key: string, ask: () => Promise<T | undefined>, take: (answer: T) => void): void {
    const now = this.#ports.now();
    if (now < (this.#asked.get(key) ?? 0)) return;
    this.#asked.set(key, now + ASK_TIMEOUT_MS);
    ask().then(
      (answer) => {
        this.#asked.set(key, now + ASK_INTERVAL_MS);
        // An answer that took long is of an unknown moment.
        if (answer !== undefined && this.#ports.now() - now <= ASK_TIMEOUT_MS) take(answer);
      },
      // No answer is no evidence; whoever asks on its own account reports why.
      () => this.#asked.set(key, now + ASK_INTERVAL_MS),
    );
  }

  #step(event: MonitorEvent, at: number = this.#ports.now()): void {
    this.#state = step(this.#state, event, at);
  }
}
