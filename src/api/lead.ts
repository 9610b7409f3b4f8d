import { randomBytes } from "node:crypto";
import type { Entry, Outcome } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import type {
  Answer,
  Arguments,
  Context,
  LeaderCommand,
  Method,
  Plan,
  Rows,
  Value,
  World,
  WriteCommand,
} from "../one/method.ts";
import { isRefusal } from "../one/method.ts";
import type { Query } from "../one/query.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import { type Identity, sha256 } from "./authenticate.ts";
import { ObjectQueue } from "./object-queue.ts";
import type { ApiPorts } from "./ports.ts";
import type { ReadGate } from "./read-gate.ts";
import { attemptId } from "./request-id.ts";

/** A plan that others overtook is made again this many times before the caller is asked to. */
const ATTEMPTS_MAX = 5;

/** What became of a write on the leader. */
export type Led =
  /** `index`: where the log has it, 0 when it took no entry. */
  | { readonly kind: "value"; readonly value: Value; readonly index: number }
  | Refusal
  /** Leadership was lost under way: it may have happened. */
  | { readonly kind: "unknown" }
  /** This box does not lead any more: it did not happen. */
  | { readonly kind: "not-leader" };

/** A write as the leader takes it. */
export interface Write {
  readonly method: Method;
  readonly args: Arguments;
  readonly identity: Identity;
  readonly requestId: string;
}

/** Runs writes on the leader: reads, plan, propose; again when another entry came between. */
export class Lead {
  readonly #ports: ApiPorts;
  readonly #gate: ReadGate;
  readonly #world: World;
  readonly #queue = new ObjectQueue();
  /** By request id: a request that is repeated while it is under way waits for the first. */
  readonly #underWay = new Map<string, Promise<Led>>();

  constructor(ports: ApiPorts, gate: ReadGate, world: World) {
    this.#ports = ports;
    this.#gate = gate;
    this.#world = world;
  }

  run(write: Write): Promise<Led> {
    // The session table is one for all users: an id that a client chose must not meet another's.
    const requestId = `${write.identity.caller.uid}.${write.requestId}`;
    const running = this.#underWay.get(requestId);
    if (running !== undefined) return running;
    const led = this.#queued({ ...write, requestId }).finally(() => this.#underWay.delete(requestId));
    this.#underWay.set(requestId, led);
    return led;
  }

  async #queued(write: Write): Promise<Led> {
    const { command } = write.method;
    if (command.kind !== "write" && command.kind !== "leader") throw new Error(`${write.method.name} is no write`);
    if (!write.identity.zoneEnabled && write.method.whileDisabled !== true) {
      return refusal(CODE.internal, "Cannot process request, zone disabled");
    }
    const work = (): Promise<Led> =>
      command.kind === "write" ? this.#write(command, write) : this.#direct(command, write);
    const key = command.key?.(write.args);
    if (key === undefined) return work();
    return (
      this.#queue.run(key, work) ?? refusal(CODE.internal, "Cannot process request, too many wait for this object")
    );
  }

  async #direct(command: LeaderCommand, { args, identity }: Write): Promise<Led> {
    const answer = await command.run(args, identity.caller, this.#world);
    return done(answer, 0);
  }

  async #write(command: WriteCommand<unknown>, write: Write): Promise<Led> {
    const input = command.parse === undefined ? write.args : command.parse(write.args);
    if (isRefusal(input)) return input;
    let why = "";
    for (let attempt = 0; attempt <= ATTEMPTS_MAX; attempt++) {
      const requestId = attemptId(write.requestId, attempt);
      const known = this.#ports.outcomeOf(requestId);
      const outcome = known ?? (await this.#attempt(command, input, write, requestId));
      if (outcome.kind === "value" || outcome.kind === "refusal" || outcome.kind === "not-leader") return outcome;
      if (outcome.kind === "done") return done(command.result(input, outcome.rows), outcome.index);
      if (outcome.kind === "unknown") return { kind: "unknown" };
      if (outcome.kind === "expired") return EXPIRED;
      why = outcome.why;
    }
    return refusal(
      CODE.action,
      `Others changed the same object ${ATTEMPTS_MAX + 1} times meanwhile (${why}). Nothing was done, try again`,
    );
  }

  async #attempt(
    command: WriteCommand<unknown>,
    input: unknown,
    { method, args, identity }: Write,
    requestId: string,
  ): Promise<Outcome | Extract<Led, { kind: "value" | "refusal" | "not-leader" }>> {
    const now = this.#ports.wallMs();
    const planned = await this.#plan(command, input, identity, now);
    if (planned.kind === "refusal") return planned;
    if (planned.kind === "answer") return { kind: "value", value: planned.value, index: 0 };
    const objection = await command.prepare?.(args, this.#world);
    if (objection !== undefined) return objection;
    const { guards, statements, tags } = planned;
    const entry: Entry = { version: 1, requestId, kind: method.name, at: now, tags, guards, statements };
    const outcome = await this.#propose(entry);
    return outcome.kind === "done" && planned.value !== undefined ? done(planned.value, outcome.index) : outcome;
  }

  async #plan(
    command: WriteCommand<unknown>,
    input: unknown,
    { caller }: Identity,
    wallMs: number,
  ): Promise<Plan | Answer | Refusal> {
    const rows = await this.#fetch(command.reads(input, caller));
    const more = command.readsMore?.(rows, input, caller);
    const all = more === undefined ? rows : [...rows, ...(await this.#fetch(more))];
    const context: Context = {
      now: Math.floor(wallMs / 1000),
      seal: (text) => this.#ports.seal(text),
      sha256,
      randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    };
    return command.plan(all, input, caller, context);
  }

  async #fetch(queries: readonly Query[]): Promise<Rows> {
    const [only, second] = queries;
    if (only !== undefined && second === undefined) return [await this.#gate.query(only.sql, only.values)];
    return Promise.all(queries.map((query) => this.#gate.query(query.sql, query.values)));
  }

  async #propose(entry: Entry): Promise<Outcome | Refusal | { readonly kind: "not-leader" }> {
    try {
      return await this.#ports.propose(entry);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (error.code === "not-leader") return { kind: "not-leader" };
      if (error.code === "no-room" || error.code === "state-differs") return refusal(CODE.internal, error.message);
      if (error.code === "busy") return refusal(CODE.internal, TOO_MANY);
      if (error.code === "entry-too-large") return refusal(CODE.action, "The request is too large for one entry");
      throw error;
    }
  }
}

/** The log is full of what is not committed yet: clients come too fast, or no majority answers. */
const TOO_MANY = "Cannot process request, too many writes are under way: nothing was done, try again";

const EXPIRED = refusal(
  CODE.internal,
  "This request id is too old: what became of it is not known any more, and it was not done now",
);

function done(value: Value | Refusal, index: number): Extract<Led, { kind: "value" | "refusal" }> {
  return isRefusal(value) ? value : { kind: "value", value, index };
}
