import { randomUUID } from "node:crypto";
import type { ClientChannel } from "ssh2";
import { CodedError, errorChain } from "../base/error.ts";
import type { Prng } from "../base/prng.ts";
import { parseEventLine } from "./domain-event.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { LineSplitter } from "./line-splitter.ts";
import { parseLoopLine } from "./loop-line.ts";
import { eventScript, loopScript } from "./loop-script.ts";
import type {
  CommandResult,
  ConnectionState,
  Handshakes,
  HostAddress,
  HostKeys,
  HostLink,
  HostSignal,
  Now,
  RunOptions,
} from "./ports.ts";
import { runScript } from "./run-script.ts";
import { openSession, type SshSession } from "./ssh-session.ts";

/** Four beacon lines. Here it only names the state; monitor/ judges with its own limit. */
const SILENT_AFTER_MS = 2000;
/** A connection that is quiet for this long is replaced: the host may have been switched off and on without a word. */
const ABANDON_AFTER_MS = 5000;
/** First retry and the longest pause: a host that returns is met within 3 s; a hundred dead ones cost 33 SYN/s. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 3000;
/** A pinned key does not change by itself: slow, but it heals without a restart once a person trusts the new one. */
const RETRY_KEY_MISMATCH_MS = 10_000;
/** How often the silence is looked at. */
const WATCH_INTERVAL_MS = 250;
/** sshd allows 10 channels a connection (MaxSessions): loop, events, and these. */
const COMMANDS_PARALLEL = 4;
const COMMANDS_WAITING_MAX = 1024;

export interface ConnectionOptions {
  readonly host: HostAddress;
  /** This box's id, `[a-z0-9-]+`: tells its loop on the host from the other boxes'. */
  readonly boxId: string;
  /** Private ed25519 key, OpenSSH or PEM text. */
  readonly privateKey: string;
  /** This box's own address to connect from. */
  readonly localAddress?: string;
  /** The shared datastores' directory on the host. */
  readonly datastores: string;
}

export interface ConnectionPorts {
  readonly now: Now;
  readonly prng: Prng;
  readonly keys: HostKeys;
  readonly handshakes: Handshakes;
  /** Called for each line, event and change of state; must not throw. */
  readonly onSignal: (signal: HostSignal) => void;
}

/** One kept SSH connection to one host: connects, runs the beacon, notices silence, connects again, for ever. */
export class HostConnection implements HostLink {
  readonly hostId: number;
  readonly name: string;
  readonly #options: ConnectionOptions;
  readonly #ports: ConnectionPorts;
  readonly #queue = new KeyedQueue(COMMANDS_PARALLEL, COMMANDS_WAITING_MAX);
  readonly #abort = new AbortController();
  #state: ConnectionState;
  #kept: Promise<void> | undefined;
  #session: SshSession | undefined;
  #events: ClientChannel | undefined;
  #wantsEvents = false;
  #heardAt = 0;
  #bootId: string | undefined;
  #hasKvm = false;
  #uptimeMs: number | undefined;
  #failures = 0;

  constructor(options: ConnectionOptions, ports: ConnectionPorts) {
    this.hostId = options.host.hostId;
    this.name = options.host.name;
    this.#options = options;
    this.#ports = ports;
    this.#state = { kind: "connecting", since: ports.now(), reason: "" };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get bootId(): string | undefined {
    return this.#bootId;
  }

  get hasKvm(): boolean {
    return this.#hasKvm;
  }

  start(): void {
    this.#kept ??= this.#keep();
  }

  /** Ends the connection and all its commands; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#session?.destroy();
    await this.#kept;
  }

  /** Whether to follow libvirt's events: the leader does, for the others they are only load on the host. */
  follow(wanted: boolean): void {
    this.#wantsEvents = wanted;
    const session = this.#session;
    if (wanted && session !== undefined && this.#state.kind === "ready") this.#openEvents(session);
    if (!wanted) {
      this.#events?.close();
      this.#events = undefined;
    }
  }

  hostUptimeMs(): number | undefined {
    return this.#uptimeMs === undefined ? undefined : this.#uptimeMs + (this.#ports.now() - this.#heardAt);
  }

  async run(compose: Parameters<HostLink["run"]>[0], options: RunOptions): Promise<CommandResult> {
    const result = this.#queue.run(options.key, async (): Promise<CommandResult> => {
      const session = this.#session;
      if (session === undefined || this.#state.kind !== "ready") {
        const { kind, reason } = this.#state;
        return { kind: "not-sent", why: `host "${this.name}" is not connected (${kind}${reason && `: ${reason}`})` };
      }
      return runScript(session, compose, options);
    });
    return result ?? { kind: "not-sent", why: `${COMMANDS_WAITING_MAX} commands wait for host "${this.name}" already` };
  }

  async #keep(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      let pauseMs: number | undefined;
      try {
        await this.#serve(await openSession(this.#options, this.#ports, this.#abort.signal));
      } catch (error) {
        this.#setState(stateOf(error), errorChain(error));
        if (this.#state.kind === "host-key-mismatch") pauseMs = RETRY_KEY_MISMATCH_MS;
      }
      this.#failures++;
      await this.#pause(pauseMs ?? Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures - 1, 10)));
    }
  }

  /** Half to all of `ms`, drawn: boxes that lost a host together do not return together. Ends early on stop. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#abort;
      if (signal.aborted) {
        resolve();
        return;
      }
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms * (0.5 + this.#ports.prng.fraction() / 2));
      signal.addEventListener("abort", end);
    });
  }

  /** Lives as long as the session: resolves when it is over, for whatever reason. */
  async #serve(session: SshSession): Promise<void> {
    this.#session = session;
    this.#heardAt = this.#ports.now();
    const watch = setInterval(() => this.#watch(session), WATCH_INTERVAL_MS);
    try {
      await this.#openLoop(session);
      const reason = await session.ended;
      // When its silence ended it, that is the better reason.
      if (this.#state.kind !== "silent") this.#setState("silent", `connection to host "${this.name}" ended: ${reason}`);
    } finally {
      clearInterval(watch);
      session.destroy();
      this.#session = undefined;
      this.#events = undefined;
      this.#bootId = undefined;
      this.#uptimeMs = undefined;
    }
  }

  #watch(session: SshSession): void {
    const quietMs = this.#ports.now() - this.#heardAt;
    if (quietMs > SILENT_AFTER_MS) {
      this.#setState(
        "silent",
        `host "${this.name}" is connected, but its loop is quiet for over ${SILENT_AFTER_MS} ms`,
      );
    }
    if (quietMs > ABANDON_AFTER_MS) session.destroy();
  }

  async #openLoop(session: SshSession): Promise<void> {
    const { boxId, datastores } = this.#options;
    const channel = await session.exec("exec /bin/sh -s");
    // Until here another limit counted; the loop's own silence begins now.
    this.#heardAt = this.#ports.now();
    const token = randomUUID();
    this.#readLines(channel, (line) => this.#heard(session, line));
    channel.on("close", () => session.destroy());
    channel.end(loopScript({ boxId, token, datastores }));
  }

  #heard(session: SshSession, text: string): void {
    const line = parseLoopLine(text);
    if (line === undefined || this.#session !== session) return;
    const at = this.#ports.now();
    if (line.kind === "hello") {
      this.#bootId = line.bootId;
      this.#hasKvm = line.hasKvm;
    }
    if (line.kind === "tick") {
      this.#heardAt = at;
      this.#uptimeMs = line.uptimeMs;
      this.#failures = 0;
      if (this.#state.kind !== "ready") {
        this.#setState("ready", "");
        if (this.#wantsEvents) this.#openEvents(session);
      }
    }
    this.#ports.onSignal({ kind: "line", at, line });
  }

  #openEvents(session: SshSession): void {
    if (this.#events !== undefined) return;
    // A failure is not fatal: the loop's list finds every change within seconds, events only make it quick.
    session.exec("exec /bin/sh -s").then(
      (channel) => {
        if (this.#events !== undefined || !this.#wantsEvents || this.#session !== session) {
          channel.destroy();
          return;
        }
        this.#events = channel;
        channel.on("close", () => {
          if (this.#events === channel) this.#events = undefined;
        });
        this.#readLines(channel, (text) => this.#heardEvent(text));
        // Not ended: the end of its input is how the script learns that it is no longer wanted.
        channel.write(eventScript());
      },
      (error: unknown) => {
        const line = { kind: "complaint", text: errorChain(error) } as const;
        this.#ports.onSignal({ kind: "line", at: this.#ports.now(), line });
      },
    );
  }

  #heardEvent(text: string): void {
    const at = this.#ports.now();
    const line = parseLoopLine(text);
    if (line !== undefined) this.#ports.onSignal({ kind: "line", at, line });
    const event = parseEventLine(text);
    if (event !== undefined) this.#ports.onSignal({ kind: "event", at, event });
  }

  #readLines(channel: ClientChannel, onLine: (line: string) => void): void {
    const splitter = new LineSplitter(onLine);
    channel.on("data", (bytes: Uint8Array) => splitter.push(bytes));
    // Flow control stops the channel when nobody reads its standard error.
    channel.stderr.resume();
    channel.on("error", () => channel.destroy());
  }

  #setState(kind: ConnectionState["kind"], reason: string): void {
    if (this.#abort.signal.aborted) return;
    if (this.#state.kind === kind && this.#state.reason === reason) return;
    const at = this.#ports.now();
    this.#state = { kind, reason, since: this.#state.kind === kind ? this.#state.since : at };
    this.#ports.onSignal({ kind: "state", at, state: this.#state });
  }
}

function stateOf(error: unknown): ConnectionState["kind"] {
  if (!(error instanceof CodedError)) return "silent";
  if (error.code === "host.refused" || error.code === "host.channel") return "refused";
  return error.code === "host.key-mismatch" ? "host-key-mismatch" : "silent";
}
