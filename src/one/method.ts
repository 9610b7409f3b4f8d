import type { Change, Guard, Outcome, Statement } from "../base/entry.ts";
import type { Caller } from "./caller.ts";
import type { Query, Row } from "./query.ts";
import type { Refusal } from "./refusal.ts";

/** What a method takes and gives, in the types of XML-RPC: string, i4/i8, boolean. */
export type Value = string | number | boolean;

/** One parameter behind the session. With `default` it may be left out, if all after it may be too. */
export interface Parameter {
  readonly name: string;
  readonly type: "string" | "int" | "boolean" | "ints";
  readonly default?: Argument;
}

export type Argument = Value | readonly number[];

/** Arguments in the order of the parameters, checked and filled up; read them with {@link int}, {@link text}, {@link flag}. */
export type Arguments = readonly Argument[];

/** What a plan may know of the moment, so that it stays pure: the leader fixes it once for the entry. */
export interface Context {
  /** Wall seconds. */
  readonly now: number;
  /** Encrypts a secret for the state; the result differs each time. */
  seal(text: string): string;
  /** SHA-256 of the UTF-8 text as lower-case hex: how passwords and tokens are kept. */
  sha256(text: string): string;
  /** Random bytes as lower-case hex. */
  randomHex(bytes: number): string;
}

/** What a command wants done. */
export interface Plan {
  readonly kind: "plan";
  readonly guards: readonly Guard[];
  readonly statements: readonly Statement[];
  readonly tags: readonly string[];
  /** What the caller is told, when that is known before (a fresh token); else the command's `result` says it. */
  readonly value?: Value;
}

/** What the statements of an entry returned, in their order. */
export type Returned = Extract<Outcome, { kind: "done" }>["rows"];

/** An answer that needs no entry. */
export interface Answer {
  readonly kind: "answer";
  readonly value: Value;
}

/** Rows of each query, in the order of the queries. */
export type Rows = readonly (readonly Row[])[];

/**
 * A write: two pure functions, `reads` and `plan`, between which the rows are fetched on the leader. `I` is what they
 * take: the arguments, or what `parse` made of them once (a template is read once, not for each of the two).
 */
export interface WriteCommand<I = Arguments> {
  readonly kind: "write";
  /** Commands of one key run one after the other on the leader: `host:3`. Without a key they run side by side. */
  key?(args: Arguments): string;
  /** Present exactly when `I` is not {@link Arguments}. */
  parse?(args: Arguments): I | Refusal;
  reads(input: I, caller: Caller): readonly Query[];
  /** A second round, for what is only known from the first; its rows follow those of the first. */
  readsMore?(rows: Rows, input: I, caller: Caller): readonly Query[];
  plan(rows: Rows, input: I, caller: Caller, context: Context): Plan | Answer | Refusal;
  /**
   * What the caller is told once the entry is applied. It is also asked when a repeated request finds its first outcome
   * in the session table, where there is no plan: so it knows the input and what the statements returned, nothing else.
   */
  result(input: I, returned: Returned): Value | Refusal;
  /** What must be done outside of the state before the entry, once the plan is known to be good. */
  prepare?(args: Arguments, world: World): Promise<Refusal | undefined>;
}

/** A read: answered by the box that was asked, from its own state. */
export interface ReadCommand {
  readonly kind: "read";
  /** The answer depends on the state and the caller alone: until the next entry it need not be made again. */
  readonly repeatable?: true;
  readonly reads: (args: Arguments, caller: Caller) => readonly Query[];
  readonly answer: (rows: Rows, args: Arguments, caller: Caller, samples: Samples) => Value | Refusal;
}

/** Answered by this box from its own parts, not from the state. */
export interface LocalCommand {
  readonly kind: "local";
  readonly run: (args: Arguments, caller: Caller, world: World) => Promise<Value | Refusal>;
}

/** Done by the leader's parts, without an entry of its own. */
export interface LeaderCommand {
  readonly kind: "leader";
  readonly key?: (args: Arguments) => string;
  readonly run: (args: Arguments, caller: Caller, world: World) => Promise<Value | Refusal>;
}

/** One method of the interface. A folder with methods of its own gives such values; the table takes them as they are. */
export interface Method {
  /** `one.host.info`. */
  readonly name: string;
  readonly parameters: readonly Parameter[];
  /** False: anyone may call it, without a session that is checked (one.system.version takes one all the same). */
  readonly needsUser?: boolean;
  /** True: also while the zone is disabled (the methods that enable it and that repair the cluster). */
  readonly whileDisabled?: boolean;
  readonly command: WriteCommand<unknown> | ReadCommand | LocalCommand | LeaderCommand;
}

/** The latest monitoring samples, kept in memory by the box that was asked: inner XML, "" when there is none. */
export interface Samples {
  /** `<MONITORING>…</MONITORING>` elements, oldest first; `count` at most. */
  host(id: number, count: number): string;
  vm(id: number, count: number): string;
}

/** Raft's numbers as `one.zone.raftstatus` shows them. */
export interface RaftNumbers {
  /** −1 for a solo box. */
  readonly serverId: number;
  readonly state: "solo" | "candidate" | "follower" | "leader";
  readonly term: number;
  /** SERVER_ID voted for, −1 for none. */
  readonly votedFor: number;
  readonly commit: number;
  readonly logIndex: number;
  readonly logTerm: number;
}

/** The consensus group, as far as the zone's methods change it. A text that is returned is why it was not done. */
export interface Membership {
  /** Why a server of that endpoint cannot be added: the first one must be the box itself. Undefined when it can. */
  cannotAdd(endpoint: string, isFirst: boolean): string | undefined;
  /** Takes the server out of the group; done also when it is in no group. */
  remove(serverId: number): Promise<string | undefined>;
  /** Has the server start anew from the leader's state; undefined once that is under way. */
  reset(serverId: number): Promise<string | undefined>;
  /** A join token for a server that has its row; one hour, single use. */
  joinToken(serverId: number): Promise<{ readonly token: string } | { readonly why: string }>;
}

/** What methods may ask of the box beside its state. */
export interface World {
  raftNumbers(): Promise<RaftNumbers>;
  readonly membership: Membership;
  /** Rows of the local state, for commands of kind `local` and `leader`. */
  query<R>(query: Query<R>): Promise<readonly R[]>;
}

export function int(args: Arguments, index: number): number {
  return args[index] as number;
}

export function text(args: Arguments, index: number): string {
  return args[index] as string;
}

export function ints(args: Arguments, index: number): readonly number[] {
  return args[index] as readonly number[];
}

export function flag(args: Arguments, index: number): boolean {
  return args[index] as boolean;
}

/** The first row of query `index`; `R` is what that query selects. */
export function first<R>(rows: Rows, index: number): R | undefined {
  return rows[index]?.[0] as R | undefined;
}

export function all<R>(rows: Rows, index: number): readonly R[] {
  return (rows[index] ?? []) as readonly unknown[] as readonly R[];
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "refusal";
}

/** A plan from a change. */
export function plan(change: Change, value?: Value): Plan {
  const { guards, statements, tags } = change;
  return value === undefined
    ? { kind: "plan", guards, statements, tags }
    : { kind: "plan", guards, statements, tags, value };
}

/** The result of most commands: the object's id, which is argument 0. */
export function sameId(args: Arguments): Value {
  return int(args, 0);
}

/** The result of a creation: the id that its first statement took. */
export function newId(_input: unknown, returned: Returned): Value {
  const value = returned[0]?.[0]?.[0];
  if (typeof value !== "number") throw new Error("Cannot read the new id: the entry returned none");
  return value;
}
