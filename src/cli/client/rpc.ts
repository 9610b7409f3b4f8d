import { randomBytes } from "node:crypto";
import { XmlError } from "../../one/xml.ts";
import { CommandFailure } from "../failure.ts";
import { decodeAnswer, encodeCall, type RpcAnswer, type RpcArgument } from "./codec.ts";

/**
 * How a call may be repeated. `read`: at will. `write`: with the same request id, which the cluster knows again. `once`:
 * done by the leader's parts, where an id means nothing: repeated only if it was never sent. `transfer`: at will, of a box
 * that is busy with what came before.
 */
export type CallKind = "read" | "write" | "once" | "transfer";

/** How long an unreachable cluster is tried again, ms. A failover takes about a second, an unlucky one a few. */
const RETRY_FOR_MS: Readonly<Record<CallKind, number>> = {
  ...{ read: 2_000, write: 5_000, once: 5_000 },
  // A sender that is silent for longer has gone, for the box (parts/update-upload.ts).
  transfer: 60_000,
};

/**
 * How long the first attempt may stay silent, and how long the later ones, ms. A box that lost its power breaks no
 * connection: only silence shows it, so the first is given up soon. The later ones leave a box that is there the time to
 * say why it cannot: it holds a write for 5 s. What moves members or leadership may take longer.
 */
const ATTEMPT_MS: Readonly<Record<CallKind, readonly [first: number, later: number]>> = {
  read: [2_000, 5_000],
  write: [2_000, 8_000],
  once: [30_000, 30_000],
  transfer: [10_000, 10_000],
};

/** Between attempts, ms: short beside a failover, long beside a refused connection. */
const PAUSE_MS = 150;

export interface RpcOptions {
  /** Asked for at the first call. */
  readonly endpoint: () => string;
  readonly session: () => string;
  /** Tests shorten time. */
  readonly retryForMs?: number;
  readonly attemptMs?: number;
}

/** Calls methods of a cluster. A refusal is a {@link CommandFailure} with the box's own text. */
export interface Rpc {
  readonly endpoint: string;
  read(method: string, ...args: readonly RpcArgument[]): Promise<string>;
  write(method: string, ...args: readonly RpcArgument[]): Promise<number>;
  once(method: string, ...args: readonly RpcArgument[]): Promise<string>;
  transfer(method: string, ...args: readonly RpcArgument[]): Promise<string>;
  /** Bytes of an upload from `at` on, as they are, repeated as a transfer; the answer is JSON. */
  upload(id: string, at: number, bytes: Uint8Array): Promise<string>;
  /** One attempt at another endpoint, at most `timeoutMs`; undefined when it gives no answer. */
  probe(endpoint: string, timeoutMs: number, method: string): Promise<string | undefined>;
  /** The same credentials for another box. */
  at(endpoint: string): Rpc;
}

export function createRpc(options: RpcOptions): Rpc {
  return new Client(options);
}

class Client implements Rpc {
  readonly #options: RpcOptions;
  /** One name a process: a request of it is known by its number. */
  readonly #name = randomBytes(8).toString("hex");
  #sequence = 0;
  #endpoint: string | undefined;
  #session: string | undefined;

  constructor(options: RpcOptions) {
    this.#options = options;
  }

  get endpoint(): string {
    this.#endpoint ??= this.#options.endpoint();
    return this.#endpoint;
  }

  async read(method: string, ...args: readonly RpcArgument[]): Promise<string> {
    return String(await this.#call("read", method, args));
  }

  async write(method: string, ...args: readonly RpcArgument[]): Promise<number> {
    return Number(await this.#call("write", method, args));
  }

  async once(method: string, ...args: readonly RpcArgument[]): Promise<string> {
    return String(await this.#call("once", method, args));
  }

  async transfer(method: string, ...args: readonly RpcArgument[]): Promise<string> {
    return String(await this.#call("transfer", method, args));
  }

  async upload(id: string, at: number, bytes: Uint8Array): Promise<string> {
    whereTo(this.endpoint);
    // Beside RPC2, also behind a proxy that has both below a path of its own.
    const { href } = new URL(`upload/${id}/${at}`, this.endpoint);
    return this.#persist("transfer", (timeoutMs) => send(href, { body: bytes }, timeoutMs));
  }

  async probe(endpoint: string, timeoutMs: number, method: string): Promise<string | undefined> {
    try {
      const answer = await post(endpoint, encodeCall(method, [this.#credentials()]), undefined, timeoutMs);
      return answer.ok ? String(answer.value) : undefined;
    } catch (error) {
      if (error instanceof Unanswered) return undefined;
      throw error;
    }
  }

  at(endpoint: string): Rpc {
    return new Client({ ...this.#options, endpoint: () => endpoint, session: () => this.#credentials() });
  }

  async #call(kind: CallKind, method: string, args: readonly RpcArgument[]): Promise<string | number | boolean> {
    const body = encodeCall(method, [this.#credentials(), ...args]);
    const requestId = kind === "write" ? `${this.#name}:${++this.#sequence}` : undefined;
    const answer = await this.#persist(kind, (timeoutMs) => post(this.endpoint, body, requestId, timeoutMs));
    if (!answer.ok) throw new CommandFailure(answer.message);
    return answer.value;
  }

  /** Until there is an answer or the time is over. */
  async #persist<T>(kind: CallKind, attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
    const [firstMs, laterMs] = ATTEMPT_MS[kind];
    const retryForMs = this.#options.retryForMs ?? RETRY_FOR_MS[kind];
    let failedAt: number | undefined;
    for (;;) {
      try {
        const attemptMs = this.#options.attemptMs ?? (failedAt === undefined ? firstMs : laterMs);
        return await attempt(attemptMs);
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        failedAt ??= performance.now();
        const mayRepeat = kind !== "once" || !error.wasSent;
        if (!mayRepeat || performance.now() - failedAt + PAUSE_MS > retryForMs) throw this.#given(error, kind);
        await Bun.sleep(PAUSE_MS * (0.7 + Math.random() * 0.6));
      }
    }
  }

  #given(error: Unanswered, kind: CallKind): CommandFailure {
    const doubt = error.wasSent && kind !== "read" && kind !== "transfer" ? "; it may have been done all the same" : "";
    return new CommandFailure(`${error.message}${doubt}`);
  }

  #credentials(): string {
    this.#session ??= this.#options.session();
    return this.#session;
  }
}

/** No answer came. `wasSent`: the request may have arrived. */
class Unanswered extends Error {
  readonly wasSent: boolean;

  constructor(message: string, wasSent: boolean) {
    super(message);
    this.wasSent = wasSent;
  }
}

async function post(
  endpoint: string,
  body: string,
  requestId: string | undefined,
  timeoutMs: number,
): Promise<RpcAnswer> {
  const named = requestId === undefined ? {} : { "Ringfence-Request": requestId };
  const text = await send(endpoint, { body, headers: { "Content-Type": "text/xml", ...named } }, timeoutMs);
  try {
    return decodeAnswer(text);
  } catch (error) {
    if (error instanceof XmlError) throw new CommandFailure(`${endpoint} answered with no XML-RPC: ${error.message}`);
    throw error;
  }
}

/** An upload's piece is refused, in words. */
const CONFLICT = 409;

/** The answer's text. Throws {@link Unanswered}, and CommandFailure for what was refused. */
async function send(
  url: string,
  request: { readonly body: string | Uint8Array; readonly headers?: Readonly<Record<string, string>> },
  timeoutMs: number,
): Promise<string> {
  const { host, port } = whereTo(url);
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: "POST", ...request, signal });
    const text = await response.text();
    // 5xx: a box that is starting or has too much to do; the call was not taken.
    if (response.status >= 500) throw new Unanswered(`${url} answered with HTTP status ${response.status}`, false);
    if (response.status === CONFLICT) throw new CommandFailure(text.trim());
    if (!response.ok) throw new CommandFailure(`${url} answered with HTTP status ${response.status}`);
    return text;
  } catch (error) {
    if (error instanceof Unanswered || error instanceof CommandFailure) throw error;
    throw unanswered(error, host, port, timeoutMs);
  }
}

/** What the runtime has no short word for: a box that is off, as the neighbours' kernels tell it. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
};

function unanswered(error: unknown, host: string, port: string, timeoutMs: number): Unanswered {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const isTimeout = error instanceof Error && error.name === "TimeoutError";
  if (isTimeout) return new Unanswered(`No answer from ${host}:${port} within ${timeoutMs / 1000} s`, true);
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") {
    const why = `Connection refused - connect(2) for ${host}:${port}`;
    return new Unanswered(`Failed to open TCP connection to ${host}:${port} (${why})`, false);
  }
  const unresolved = /ENOTFOUND|EAI_AGAIN|DNS|FailedToOpenSocket/.test(code);
  const message = UNREACHABLE[code] ?? (error instanceof Error ? error.message : String(error));
  return new Unanswered(`Failed to call ${host}:${port} (${message})`, !unresolved);
}

/** Throws CommandFailure on an endpoint that is no URL. */
function whereTo(endpoint: string): { readonly host: string; readonly port: string } {
  if (!URL.canParse(endpoint) || !/^https?:/.test(endpoint)) {
    throw new CommandFailure(`"${endpoint}" is not an endpoint: expected http://HOST:2633/RPC2`);
  }
  const url = new URL(endpoint);
  return { host: url.hostname, port: url.port || (url.protocol === "https:" ? "443" : "80") };
}
