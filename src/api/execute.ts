import { CodedError, errorChain } from "../base/error.ts";
import { type Arguments, isRefusal, type Method, type Value, type World } from "../one/method.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import { AnswerCache } from "./answer-cache.ts";
import { Authenticator } from "./authenticate.ts";
import { ChangeWait } from "./change-wait.ts";
import { decodeAnswer, encodeForwarded, type ForwardedAnswer } from "./forwarded.ts";
import { Lead, type Led } from "./lead.ts";
import type { ApiPorts } from "./ports.ts";
import { ReadGate } from "./read-gate.ts";
import { RequestIds } from "./request-id.ts";
import { encodeValue } from "./xmlrpc/encode.ts";

/** A call that was understood: method, session and arguments, and the body as it came, to be forwarded. */
export interface Call {
  readonly method: Method;
  readonly session: string;
  readonly args: Arguments;
  readonly body: string;
  /** Given by the client; undefined: this box makes one. */
  readonly requestId: string | undefined;
}

/** What the client is told: a value, a refusal, or a body that the leader has written. */
export type Result =
  | { readonly kind: "value"; readonly value: Value; readonly index: number }
  | Refusal
  | { readonly kind: "body"; readonly body: string };

/** How long a write waits for a leader: an election with its retries, and then some. */
const HOLD_MS = 5_000;

/** How long a write looks for its fate in all, when leaders come and go. */
const SETTLE_MS = 15_000;

/** Writes that may wait for a leader at once. */
const HELD_MAX = 1024;

/** Before asking again where the answer was "not me": the news of a new leader is at most a heartbeat away. */
const ASK_AGAIN_MS = 20;

/** How long a forwarded write waits to be applied here too; then the answer goes out all the same. */
const CATCH_UP_MS = 200;

/** The flow of a call: local reads are answered here, writes by the leader, wherever that is. */
export class Executor {
  readonly #ports: ApiPorts;
  readonly #gate: ReadGate;
  readonly #world: World;
  readonly #authenticator: Authenticator;
  readonly #lead: Lead;
  readonly #answers = new AnswerCache();
  readonly #requestIds: RequestIds;
  readonly #roleChange: ChangeWait;
  readonly #appliedChange: ChangeWait;

  constructor(ports: ApiPorts) {
    this.#ports = ports;
    this.#gate = new ReadGate((sql, values) => ports.query(sql, values));
    this.#world = {
      raftNumbers: () => ports.raftNumbers(),
      membership: ports.membership,
      query: async <R>({
        sql,
        values,
      }: {
        readonly sql: string;
        readonly values: readonly (string | number | null)[];
      }) => (await this.#gate.query(sql, values)) as readonly unknown[] as readonly R[],
    };
    this.#authenticator = new Authenticator(ports, this.#gate);
    this.#lead = new Lead(ports, this.#gate, this.#world);
    this.#requestIds = new RequestIds(() => ports.appliedIndex());
    this.#roleChange = new ChangeWait((listener) => ports.onRole(listener), HELD_MAX);
    this.#appliedChange = new ChangeWait((listener) => ports.onApplied(listener), HELD_MAX);
  }

  stop(): void {
    this.#authenticator.stop();
    this.#roleChange.stop();
    this.#appliedChange.stop();
  }

  /** A client's call on this box. */
  async execute(call: Call): Promise<Result> {
    try {
      const { kind } = call.method.command;
      if (kind === "write" || kind === "leader") return await this.#write(call);
      return await this.#local(call);
    } catch (error) {
      return this.#internal(call, error);
    }
  }

  /** A call that another box forwarded, because it takes this one for the leader. */
  async executeForwarded(
    call: Call,
    requestId: string,
  ): Promise<Result | { readonly kind: "unknown" } | { readonly kind: "not-leader" }> {
    try {
      return await this.#leadHere(call, requestId);
    } catch (error) {
      return this.#internal(call, error);
    }
  }

  async #local({ method, session, args }: Call): Promise<Result> {
    const identity = await this.#authenticator.check(session);
    if (isRefusal(identity)) return identity;
    const { command } = method;
    if (command.kind === "local") {
      const answer = await command.run(args, identity.caller, this.#world);
      return isRefusal(answer) ? answer : { kind: "value", value: answer, index: 0 };
    }
    if (command.kind !== "read") throw new Error(`${method.name} is not answered locally`);
    const index = this.#ports.appliedIndex();
    const key = command.repeatable ? `${identity.caller.uid} ${method.name} ${JSON.stringify(args)}` : undefined;
    const kept = key === undefined ? undefined : this.#answers.get(key, index);
    if (kept !== undefined) return { kind: "body", body: kept };
    const rows = await Promise.all(
      command.reads(args, identity.caller).map(({ sql, values }) => this.#gate.query(sql, values)),
    );
    const answer = command.answer(rows, args, identity.caller, this.#ports.samples);
    if (isRefusal(answer) || key === undefined)
      return isRefusal(answer) ? answer : { kind: "value", value: answer, index: 0 };
    const body = encodeValue(answer);
    this.#answers.set(key, index, body);
    return { kind: "body", body };
  }

  async #write(call: Call): Promise<Result> {
    if (call.requestId !== undefined) return this.#settle(call, call.requestId);
    const made = this.#requestIds.take();
    if (made === undefined) return refusal(CODE.internal, "Cannot process request, too many writes are under way");
    let index: number | undefined;
    try {
      const result = await this.#settle(call, made.id);
      if (result.kind === "value") index = result.index;
      return result;
    } finally {
      made.release(index);
    }
  }

  /** Asks one leader after the other until one knows what became of the request. */
  async #settle(call: Call, requestId: string): Promise<Result> {
    const begun = this.#ports.monotonicMs();
    let isUnknown = false;
    let authenticated = false;
    for (;;) {
      const role = this.#ports.role();
      const leads = role.kind === "leader" || role.kind === "solo";
      const settled =
        leads && role.ready
          ? await this.#leadHere(call, requestId)
          : role.kind === "follower" && role.leaderKnown
            ? await this.#forward(call, requestId)
            : undefined;
      if (settled !== undefined && settled.kind !== "unknown" && settled.kind !== "not-leader") return settled;
      if (settled?.kind === "unknown") isUnknown = true;
      // A write is held for a client that this box knows, not for just anybody.
      if (settled === undefined && !authenticated) {
        const identity = await this.#authenticator.check(call.session);
        if (isRefusal(identity)) return identity;
        authenticated = true;
      }
      const left = begun + (isUnknown ? SETTLE_MS : HOLD_MS) - this.#ports.monotonicMs();
      if (left <= 0) return isUnknown ? UNKNOWN : this.#noLeader();
      const waited = await this.#roleChange.next(settled === undefined ? left : Math.min(ASK_AGAIN_MS, left));
      if (waited === "full") return isUnknown ? UNKNOWN : this.#noLeader();
    }
  }

  async #leadHere({ method, session, args }: Call, requestId: string): Promise<Result | Exclude<Led, Refusal>> {
    const role = this.#ports.role();
    if ((role.kind !== "leader" && role.kind !== "solo") || !role.ready) return { kind: "not-leader" };
    const identity = await this.#authenticator.check(session);
    if (isRefusal(identity)) return identity;
    return this.#lead.run({ method, args, identity, requestId });
  }

  async #forward(
    call: Call,
    requestId: string,
  ): Promise<Result | { readonly kind: "unknown" } | { readonly kind: "not-leader" }> {
    try {
      const answer: ForwardedAnswer = decodeAnswer(
        await this.#ports.forward(encodeForwarded({ requestId, body: call.body })),
      );
      if (answer.kind !== "answer") return answer;
      await this.#caughtUp(answer.index);
      return { kind: "body", body: answer.body };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const unsent = error.code === "call-unreachable" || error.code === "call-busy";
      return unsent ? { kind: "not-leader" } : { kind: "unknown" };
    }
  }

  /** A client that reads here what it wrote through here must find it: waits, briefly, until this box has it too. */
  async #caughtUp(index: number): Promise<void> {
    const until = this.#ports.monotonicMs() + CATCH_UP_MS;
    while (this.#ports.appliedIndex() < index) {
      const left = until - this.#ports.monotonicMs();
      if (left <= 0 || (await this.#appliedChange.next(left)) === "full") return;
    }
  }

  /** OpenNebula's texts for a zone that cannot write just now. */
  #noLeader(): Refusal {
    const { kind } = this.#ports.role();
    if (kind === "candidate") return refusal(CODE.internal, "Cannot process request, oned cluster in election mode");
    if (kind === "follower") return refusal(CODE.internal, "Cannot process request, no leader found");
    return refusal(CODE.internal, "Cannot process request, oned cluster is replicating log");
  }

  /** The environment failed: the caller gets the outermost message, the log the whole chain. */
  #internal(call: Call, error: unknown): Refusal {
    const chain = errorChain(error);
    if (HAS_NO_STATE.test(chain)) return refusal(CODE.internal, "Cannot process request, this box has no state yet");
    this.#ports.log(`${call.method.name}: ${chain}`);
    if (error instanceof CodedError && error.code === "read-busy") {
      return refusal(CODE.internal, "Cannot process request, too many reads are under way");
    }
    return refusal(
      CODE.internal,
      error instanceof CodedError ? error.message : "Internal error, see the log of this box",
    );
  }
}

/** A box that has just founded or joined its cluster has no tables for a moment; the session's user is read first. */
const HAS_NO_STATE = /no such table: user\b/;

const UNKNOWN = refusal(
  CODE.internal,
  "The leader was lost while it was at this request: it may have been done, look before you repeat it",
);
