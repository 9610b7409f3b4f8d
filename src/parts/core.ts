import type { Outcome } from "../base/entry.ts";
import { errorChain } from "../base/error.ts";
import { program } from "../base/program.ts";
import type { Announced } from "../cluster/announcement.ts";
import { Calls } from "../cluster/forward.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import type { ClusterStatus, MembershipAt, Proposal, RoleNews } from "../cluster/ports.ts";
import { Proposals } from "../cluster/propose.ts";
import type { PurgeLimits } from "../cluster/purge-policy.ts";
import type { StandDownOrder } from "../cluster/refusal.ts";
import { createClock } from "../linux/clock.ts";
import type { LogEntry, MembershipChange, Timings } from "../raft/types.ts";
import type { HolderStatus } from "../vip/driver.ts";
import type { CoreConfig, FromCore, LogAt, ToCore } from "./core-messages.ts";

/** What the work thread does on the core's word. */
export interface CoreEvents {
  committed(entries: readonly LogEntry[]): void;
  role(news: RoleNews): void;
  membership(membership: MembershipAt): void;
  /** `ageMs`: how long ago it came to this box. */
  side(from: string, payload: Uint8Array, ageMs: number): void;
  request(from: string, body: Uint8Array): Promise<Uint8Array>;
  join(request: JoinRequest): Promise<unknown>;
  /** Boxes that the log cannot serve any more. */
  snapshotNeeded(to: readonly string[]): void;
  snapshotFrame(from: string, payload: Uint8Array): void;
  /** The acknowledgements that the core brings back; returns the newest, which is sent round next. */
  alive(returned: { readonly raft: number; readonly api: number }): number;
  /** The log begins at `firstIndex`, after what the state has applied. */
  stateLost(firstIndex: number): void;
  /** This box must stop for good; VIP and lease are gone already. */
  standDown(order: StandDownOrder): void;
  /** `code` as in CodedError, "" for other errors. */
  fatal(message: string, code: string): void;
  log(text: string): void;
}

/** What the core says of itself. */
export interface CoreStatus {
  readonly cluster: ClusterStatus;
  readonly vip: HolderStatus | undefined;
  /** Members that this box hears now, itself included. */
  readonly announced: Announced;
}

/** The work thread's end of the core thread: proposals, calls to other boxes, status, the lease. */
export class Core {
  readonly proposals: Proposals;
  readonly calls: Calls;
  readonly #worker: Worker;
  readonly #events: CoreEvents;
  readonly #answers = new Map<number, (value: string | undefined) => void>();
  readonly #statuses = new Map<number, (value: CoreStatus) => void>();
  readonly #lease = new SharedArrayBuffer(16);
  readonly #shared = new Float64Array(this.#lease);
  readonly #clock = createClock();
  readonly #logQuestions = new Map<number, (at: LogAt) => void>();
  #nextId = 1;
  #isStopped = false;
  #started: (() => void) | undefined;
  #stopped: (() => void) | undefined;

  constructor(outcomes: { outcomeOf(requestId: string): Outcome | undefined }, events: CoreEvents) {
    this.#events = events;
    this.proposals = new Proposals(outcomes, (proposals) => {
      if (this.#isStopped) queueMicrotask(() => this.#refuse(proposals));
      else this.#post({ kind: "propose", proposals });
    });
    this.calls = new Calls((to, id, body) => this.#post({ kind: "request", to, id, body }));
    this.#worker = new Worker(new URL(program("./core-thread.ts", import.meta.url), import.meta.url).href);
    this.#worker.onmessage = (event: MessageEvent<FromCore>) => this.#handle(event.data);
    this.#worker.onerror = (event) => events.fatal(`The core thread failed: ${event.message}`, "");
  }

  /** Resolves when the core ticks. A core that cannot start says so through {@link CoreEvents.fatal}. */
  start(config: Omit<CoreConfig, "lease">): Promise<void> {
    return new Promise((resolve) => {
      this.#started = resolve;
      this.#post({ kind: "start", config: { ...config, lease: this.#lease } });
    });
  }

  /** ms of leader lease left; 0 without. Read from memory that the core writes: as fresh as in the core itself. */
  leaseRemainingMs(): number {
    return Math.max(0, (this.#shared[0] ?? 0) - this.#clock.monotonicRaw());
  }

  /** How long the log has taken lately to make an append durable, ms; 0 when nothing was written. */
  durableDelayMs(): number {
    return this.#shared[1] ?? 0;
  }

  /** False: this box's disk is full, it acknowledges no writes as a follower. */
  setTakesEntries(takes: boolean): void {
    this.#post({ kind: "takes-entries", takes });
  }

  applied(index: number): void {
    this.#post({ kind: "applied", index });
  }

  /** A feature level is in force: who does not know it is refused from now on. */
  setLevel(level: number): void {
    this.#post({ kind: "level", level });
  }

  /** Timings are in force: the entry that carries them is applied here. */
  setTimings({ electionTimeoutMs, heartbeatMs, promiseMs, retryMs }: Timings): void {
    this.#post({ kind: "timings", timings: { electionTimeoutMs, heartbeatMs, promiseMs, retryMs } });
  }

  /** A test of the watchdog. */
  freeze(): void {
    this.#post({ kind: "freeze" });
  }

  /** Verdicts that ride with this box's heartbeat answers. */
  setSide(payload: Uint8Array): void {
    this.#post({ kind: "side", payload });
  }

  /** Undefined when the change was taken into the log, else why not. */
  changeMembership(change: MembershipChange): Promise<string | undefined> {
    return this.#ask((id) => ({ kind: "change-membership", id, change }));
  }

  /** Undefined when the transfer has started, else why not. */
  transfer(to?: string): Promise<string | undefined> {
    return this.#ask((id) => ({ kind: "transfer", id, to }));
  }

  status(): Promise<CoreStatus> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#statuses.set(id, resolve);
      this.#post({ kind: "status", id });
    });
  }

  sendSnapshotFrame(to: string, payload: Uint8Array, isChunk: boolean): void {
    this.#post({ kind: "snapshot-frame", to, payload, isChunk });
  }

  reportSnapshot(to: string, ok: boolean): void {
    this.#post({ kind: "report-snapshot", to, ok });
  }

  purge(limits: PurgeLimits): void {
    this.#post({ kind: "purge", limits });
  }

  /** What the log knows of `index`. Never answered by a core that ends. */
  logAt(index: number): Promise<LogAt> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#logQuestions.set(id, resolve);
      this.#post({ kind: "log-at", id, index });
    });
  }

  /** VIP first, then leadership, peers and log; bounded to 2 s, because the caller ends the process next. */
  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    this.#post({ kind: "stop" });
    await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, 2000))]);
    this.#isStopped = true;
    this.#worker.terminate();
    // Nobody is left waiting for a thread that is gone.
    this.proposals.leadershipLost();
    this.calls.abandon();
    for (const resolve of this.#answers.values()) resolve("this box stops");
    this.#answers.clear();
  }

  #refuse(proposals: readonly Proposal[]): void {
    const requestIds = proposals.map((proposal) => proposal.requestId);
    this.proposals.refused(requestIds, "not-leader");
  }

  #ask(make: (id: number) => ToCore): Promise<string | undefined> {
    if (this.#isStopped) return Promise.resolve("this box stops");
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      this.#post(make(id));
    });
  }

  #post(message: ToCore): void {
    this.#worker.postMessage(message);
  }

  #handle(message: FromCore): void {
    switch (message.kind) {
      case "started":
        this.#started?.();
        return;
      case "stopped":
        this.#stopped?.();
        return;
      case "fatal":
        this.#events.fatal(message.message, message.code);
        return;
      case "committed":
        this.#events.committed(message.entries);
        return;
      case "role":
        this.#events.role(message.news);
        return;
      case "refused":
        this.proposals.refused(message.requestIds, message.why);
        return;
      case "membership":
        this.#events.membership(message.membership);
        return;
      case "side":
        this.#events.side(message.from, message.payload, Math.max(0, this.#clock.monotonicRaw() - message.at));
        return;
      case "request":
        this.#events.request(message.from, message.body).then(
          (body) => this.#post({ kind: "response", to: message.from, id: message.id, ok: true, body }),
          (error: unknown) =>
            this.#post({
              kind: "response",
              to: message.from,
              id: message.id,
              ok: false,
              body: Buffer.from(errorChain(error)),
            }),
        );
        return;
      case "response":
        this.calls.answered(message.from, message.id, message.ok, message.body);
        return;
      case "unsent":
        this.calls.unsent(message.id);
        return;
      case "answer":
        this.#answers.get(message.id)?.(message.value);
        this.#answers.delete(message.id);
        return;
      case "status":
        this.#statuses.get(message.id)?.(message);
        this.#statuses.delete(message.id);
        return;
      case "join":
        this.#events.join(message.request).then(
          (answer) => this.#post({ kind: "join-answer", id: message.id, answer, refusal: undefined }),
          (error: unknown) =>
            this.#post({
              kind: "join-answer",
              id: message.id,
              answer: undefined,
              refusal: error instanceof Error ? error.message : String(error),
            }),
        );
        return;
      case "stand-down":
        this.#events.standDown(message.order);
        return;
      case "snapshot-needed":
        this.#events.snapshotNeeded(message.to);
        return;
      case "snapshot-frame":
        this.#events.snapshotFrame(message.from, message.payload);
        return;
      case "log-at":
        this.#logQuestions.get(message.id)?.(message.at);
        this.#logQuestions.delete(message.id);
        return;
      case "state-lost":
        this.#events.stateLost(message.firstIndex);
        return;
      case "alive":
        this.#post({ kind: "token", token: this.#events.alive(message) });
        return;
      case "log":
        this.#events.log(message.text);
        return;
    }
  }
}
