import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { FrontEnd } from "../../src/api/front-end.ts";
import { createMethods } from "../../src/api/methods.ts";
import type { ApiPorts, RoleView } from "../../src/api/ports.ts";
import { type HttpServer, serveHttp } from "../../src/api/server.ts";
import { type Entry, encodeEntry, type Outcome, type Statement } from "../../src/base/entry.ts";
import { CodedError } from "../../src/base/error.ts";
import { foundingEntries } from "../../src/one/founding.ts";
import type { Membership, Method, RaftNumbers, Samples } from "../../src/one/method.ts";
import { ONE_METHODS } from "../../src/one/methods.ts";
import { openState } from "../../src/store/state/state.ts";
import type { State } from "../../src/store/state/types.ts";

/** What the box asks itself with. */
export const OWN_SESSION = "oneadmin:the box itself";

export interface SoloOptions {
  /** Methods beside the front-end's own. */
  readonly methods?: readonly Method[];
  /** Tables beside the front-end's own. */
  readonly schema?: readonly Statement[];
  readonly samples?: Samples;
  readonly membership?: Partial<Membership>;
}

/** A value that a call gave, or why it did not. */
export interface Answer {
  readonly ok: boolean;
  /** The value as text, or the message. */
  readonly text: string;
  /** Code of a refusal, 0 of a success, the (negative) code of a fault. */
  readonly code: number;
  readonly objectId: number;
  readonly body: string;
}

/** Session of oneadmin in every harness. */
export const ONEADMIN = "oneadmin:secret";

/**
 * A whole front-end on one box without consensus: the real state database in a directory of its own, entries applied one
 * after the other, served over HTTP. What the cluster would do can be played: `role`, `nextOutcomes`, `forward`.
 */
export class SoloFrontEnd {
  readonly state: State;
  readonly frontEnd: FrontEnd;
  readonly ports: ApiPorts;
  readonly server: HttpServer;
  readonly url: string;
  /** Every entry that was proposed, newest last; at most the last 1,000. */
  readonly entries: Entry[] = [];
  /** Lines that the front-end wrote to the log. */
  readonly logged: string[] = [];
  role: RoleView = { kind: "solo", ready: true, leaderKnown: true };
  /** Answers for the next proposals instead of applying them; `apply-then-unknown` applies it and says unknown. */
  readonly nextOutcomes: (Outcome | CodedError | "apply-then-unknown")[] = [];
  /** Runs before the next proposal is applied: what another entry does meanwhile. */
  beforeApply: (() => Promise<void>) | undefined;
  forward: (call: Uint8Array) => Promise<Uint8Array> = () =>
    Promise.reject(new CodedError("call-unreachable", "nobody to forward to"));
  /** Added to the wall clock, ms. */
  wallOffsetMs = 0;
  readonly #directory: string;
  readonly #roleListeners = new Set<() => void>();
  #index: number;

  private constructor(state: State, directory: string, options: SoloOptions) {
    this.state = state;
    this.#directory = directory;
    this.#index = state.appliedIndex;
    this.ports = this.#makePorts(options);
    this.frontEnd = new FrontEnd(this.ports, createMethods([...ONE_METHODS, ...(options.methods ?? [])]));
    this.server = serveHttp(this.frontEnd, { hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.server.port}/RPC2`;
  }

  static async start(options: SoloOptions = {}): Promise<SoloFrontEnd> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "solo-front-end-"));
    const state = await openState(directory, { featureLevel: 1 });
    const founding = foundingEntries({
      oneadminPasswordHash: createHash("sha256").update("secret").digest("hex"),
      serveradminPasswordHash: createHash("sha256").update(randomBytes(16)).digest("hex"),
      now: Date.now(),
      schema: options.schema ?? [],
    });
    const applied = await state.apply(
      founding.map((entry, at) => ({ index: at + 1, term: 1, kind: "normal", data: encodeEntry(entry) })),
    );
    for (const { outcome } of applied) {
      if (outcome.kind !== "done") throw new Error(`Cannot found: ${JSON.stringify(outcome)}`);
    }
    return new SoloFrontEnd(state, directory, options);
  }

  async stop(): Promise<void> {
    await this.server.stop(true);
    this.frontEnd.stop();
    await this.state.close();
    fs.rmSync(this.#directory, { recursive: true });
  }

  /** Another role from now on; whoever waits for one is woken. */
  setRole(role: RoleView): void {
    this.role = role;
    for (const listener of [...this.#roleListeners]) listener();
  }

  /** Calls a method as oneadmin, over HTTP. */
  call(method: string, ...args: readonly RpcArgument[]): Promise<Answer> {
    return this.callAs(ONEADMIN, method, ...args);
  }

  async callAs(session: string, method: string, ...args: readonly RpcArgument[]): Promise<Answer> {
    return readAnswer(await this.post(encodeCall(method, [session, ...args])));
  }

  /** The value of a call that must succeed. */
  async value(method: string, ...args: readonly RpcArgument[]): Promise<string> {
    const answer = await this.call(method, ...args);
    if (!answer.ok) throw new Error(answer.text);
    return answer.text;
  }

  async post(body: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const response = await fetch(this.url, {
      method: "POST",
      body,
      headers: { "Content-Type": "text/xml", ...headers },
    });
    return response.text();
  }

  /** Applies statements as an entry of another part of the box would. */
  async apply(...statements: readonly Statement[]): Promise<Outcome> {
    return this.#commit({
      version: 1,
      requestId: `test-${randomBytes(6).toString("hex")}:1`,
      kind: "test",
      at: Date.now(),
      tags: ["test"],
      guards: [],
      statements,
    });
  }

  /** Commits an entry as it is. */
  commit(entry: Entry): Promise<Outcome> {
    return this.#commit(entry);
  }

  async #propose(entry: Entry): Promise<Outcome> {
    this.entries.push(entry);
    if (this.entries.length > 1000) this.entries.shift();
    const before = this.beforeApply;
    this.beforeApply = undefined;
    await before?.();
    const next = this.nextOutcomes.shift();
    if (next instanceof CodedError) throw next;
    if (next !== undefined && next !== "apply-then-unknown") return next;
    const outcome = await this.#commit(entry);
    return next === undefined ? outcome : { kind: "unknown", why: "the leader was lost" };
  }

  async #commit(entry: Entry): Promise<Outcome> {
    this.#index++;
    const data = encodeEntry(entry);
    const [applied] = await this.state.apply([{ index: this.#index, term: 1, kind: "normal", data }]);
    if (applied === undefined) throw new Error("Nothing was applied");
    return applied.outcome;
  }

  #makePorts({ samples, membership }: SoloOptions): ApiPorts {
    return {
      query: (sql, values) => this.state.readRows(sql, values),
      propose: (entry) => this.#propose(entry),
      outcomeOf: (requestId) => this.state.outcomeOf(requestId),
      appliedIndex: () => this.state.appliedIndex,
      onApplied: (listener) => this.state.onApplied(listener),
      role: () => this.role,
      onRole: (listener) => {
        this.#roleListeners.add(listener);
        return () => this.#roleListeners.delete(listener);
      },
      forward: (call) => this.forward(call),
      raftNumbers: async (): Promise<RaftNumbers> => ({
        serverId: this.role.kind === "solo" ? -1 : 0,
        state: this.role.kind,
        term: 44,
        votedFor: 0,
        commit: this.#index,
        logIndex: this.#index,
        logTerm: 44,
      }),
      membership: {
        cannotAdd: () => undefined,
        remove: async () => undefined,
        reset: async () => undefined,
        joinToken: async (serverId) => ({ token: `rf1.token-of-${serverId}` }),
        ...membership,
      },
      ownSession: OWN_SESSION,
      samples: samples ?? { host: () => "", vm: () => "" },
      seal: (text) => `sealed:${randomBytes(4).toString("hex")}:${Buffer.from(text).toString("base64")}`,
      wallMs: () => Date.now() + this.wallOffsetMs,
      monotonicMs: () => performance.now(),
      log: (line) => this.logged.push(line),
    };
  }
}

export type RpcArgument = string | number | boolean | readonly number[];

/** A `<methodCall>` as a client writes it. */
export function encodeCall(method: string, args: readonly RpcArgument[]): string {
  const params = args.map((arg) => `<param><value>${encodeArgument(arg)}</value></param>`).join("");
  return `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${params}</params></methodCall>`;
}

function encodeArgument(arg: RpcArgument): string {
  if (typeof arg === "string") return `<string>${arg.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</string>`;
  if (typeof arg === "number") return `<i4>${arg}</i4>`;
  if (typeof arg === "boolean") return `<boolean>${arg ? 1 : 0}</boolean>`;
  return `<array><data>${arg.map((one) => `<value><i4>${one}</i4></value>`).join("")}</data></array>`;
}

/** Reads an answer by the text of its elements, independently of the product's own reader. */
export function readAnswer(body: string): Answer {
  const values = [...body.matchAll(/<value><(boolean|string|i4|i8)>([\s\S]*?)<\/\1><\/value>/g)].map((match) =>
    unescapeXml(match[2] ?? ""),
  );
  if (body.includes("<fault>")) {
    return { ok: false, code: Number(values[0]), text: values[1] ?? "", objectId: -1, body };
  }
  return {
    ok: values[0] === "1",
    text: values[1] ?? "",
    code: Number(values[2]),
    objectId: values[0] === "1" ? -1 : Number(values[3]),
    body,
  };
}

function unescapeXml(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#x27;", "'")
    .replaceAll("&amp;", "&");
}
