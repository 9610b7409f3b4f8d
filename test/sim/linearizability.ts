/**
 * Judges whether a concurrent history could have been made by an object that does one thing at a time, each at some
 * instant between its call and its return (Herlihy & Wing 1990). The search is Wing & Gong's with Lowe's just-in-time
 * order: an operation takes effect as late as its return allows, so only what is pending at a return is ever permuted.
 */

/** One call of a client. Instants are those of the judge's own clock; equal instants count as concurrent. */
export interface Operation<Input, Output> {
  readonly input: Input;
  readonly calledAt: number;
  /** Infinity: its outcome is unknown. It may take effect at any time after its call, or never. */
  readonly returnedAt: number;
  /** What the client was told; not looked at while the outcome is unknown. */
  readonly output: Output | undefined;
}

/** The object as it behaves when it is used by one client. States are values: never changed, equal when `===`. */
export interface SequentialModel<State extends number | string, Input, Output> {
  readonly initial: State;
  /** The state after `input` gave `output` (undefined: nobody knows what it gave); undefined when it cannot have. */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /**
   * Names inputs that do the same: of several with unknown outcome the one called first may always be the one that
   * took effect, which keeps a history with many of them small.
   */
  kindOf(input: Input): string;
  /**
   * Whether what has not taken effect by now can never again give this output, as the objects whose states only grow can
   * tell. Without it every such dead end is searched to its bottom, one for each read that waits beside it.
   */
  isPast?(state: State, input: Input, output: Output): boolean;
}

export type Verdict<Input, Output> =
  | { readonly kind: "linearizable" }
  /** No order explains the return of `operation` together with everything before it, and with what still has to return. */
  | { readonly kind: "violated"; readonly operation: Operation<Input, Output> }
  /** More possibilities at once than `configurationsMax`. */
  | { readonly kind: "undecided" };

/** Bounds the memory: some tens of bytes each. Histories of ten clients stay below a hundred. */
export const CONFIGURATIONS_MAX = 100_000;

/** One way in which the past may have been: the state, and which pending operations have taken effect already. */
interface Configuration<State> {
  readonly state: State;
  /** Ascending numbers of pending operations whose outcome is known. */
  readonly done: readonly number[];
  /** By kind, as in {@link Open.unknown}: how many of those with unknown outcome, the one called first before the others. */
  readonly taken: readonly number[];
}

/** What was called and has not returned. */
interface Open {
  /** They will return. */
  readonly known: Set<number>;
  /** By kind, in the order of their calls: they never return, so there may be hundreds of them. */
  readonly unknown: number[][];
}

interface Event {
  readonly at: number;
  readonly isReturn: boolean;
  readonly number: number;
}

/** Judges the history of one object. See {@link checkPerKey} for many. */
export function checkLinearizable<State extends number | string, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  configurationsMax = CONFIGURATIONS_MAX,
): Verdict<Input, Output> {
  const isUnknown = ({ returnedAt }: Operation<Input, Output>): boolean => returnedAt === Number.POSITIVE_INFINITY;
  const kinds = [...new Set(history.filter(isUnknown).map(({ input }) => model.kindOf(input)))];
  const pending: Open = { known: new Set(), unknown: kinds.map(() => []) };
  let configurations: readonly Configuration<State>[] = [{ state: model.initial, done: [], taken: kinds.map(() => 0) }];
  for (const event of eventsOf(history)) {
    if (!event.isReturn) {
      const operation = at(history, event.number);
      if (isUnknown(operation)) pending.unknown[kinds.indexOf(model.kindOf(operation.input))]?.push(event.number);
      else pending.known.add(event.number);
      continue;
    }
    const next = returned(history, model, configurations, pending, event.number, configurationsMax);
    if (next === undefined) return { kind: "undecided" };
    if (next.length === 0) return { kind: "violated", operation: at(history, event.number) };
    configurations = next;
    pending.known.delete(event.number);
  }
  return { kind: "linearizable" };
}

/** Judges each key by itself: linearizability is local, a history is linearizable exactly when each object's part is. */
export function checkPerKey<State extends number | string, Input, Output>(
  history: readonly Operation<Input, Output>[],
  keyOf: (input: Input) => number | string,
  model: SequentialModel<State, Input, Output>,
  configurationsMax = CONFIGURATIONS_MAX,
): Verdict<Input, Output> {
  const parts = new Map<number | string, Operation<Input, Output>[]>();
  for (const operation of history) {
    const key = keyOf(operation.input);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  let result: Verdict<Input, Output> = { kind: "linearizable" };
  for (const part of parts.values()) {
    const verdict = checkLinearizable(part, model, configurationsMax);
    if (verdict.kind === "violated") return verdict;
    if (verdict.kind === "undecided") result = verdict;
  }
  return result;
}

function at<T>(items: readonly T[], number: number): T {
  return items[number] as T;
}

/** Calls before returns at the same instant: what touches overlaps. */
function eventsOf(history: readonly Operation<unknown, unknown>[]): readonly Event[] {
  const events: Event[] = [];
  history.forEach(({ calledAt, returnedAt }, number) => {
    events.push({ at: calledAt, isReturn: false, number });
    if (returnedAt !== Number.POSITIVE_INFINITY) events.push({ at: returnedAt, isReturn: true, number });
  });
  return events.sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn) || a.number - b.number);
}

/** All ways in which `number` has taken effect by now; undefined when there are too many. */
function returned<State extends number | string, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  configurations: readonly Configuration<State>[],
  pending: Open,
  number: number,
  configurationsMax: number,
): readonly Configuration<State>[] | undefined {
  const found = new Map<string, Configuration<State>>();
  const seen = new Set<string>();
  const look = (from: Configuration<State>): Configuration<State> | undefined =>
    observed(history, model, from, pending.known);
  const open = configurations.map(look).filter((each) => each !== undefined);
  for (let from = open.pop(); from !== undefined; from = open.pop()) {
    if (from.done.includes(number)) {
      const settled = { ...from, done: from.done.filter((each) => each !== number) };
      found.set(nameOf(settled), settled);
      continue;
    }
    for (const changed of next(history, model, from, pending)) {
      const to = look(changed);
      if (to === undefined) continue;
      const name = nameOf(to);
      if (seen.has(name)) continue;
      seen.add(name);
      open.push(to);
    }
    if (seen.size + found.size > configurationsMax) return undefined;
  }
  return [...found.values()];
}

/**
 * What may take effect here and changes nothing does so now: every order that is possible afterwards without it was
 * possible with it later. Else a hundred reads that wait together would be two to the hundred possibilities. Undefined
 * when one of them came too late: this is not how it was.
 */
function observed<State extends number | string, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  from: Configuration<State>,
  known: ReadonlySet<number>,
): Configuration<State> | undefined {
  const { state } = from;
  const done = [...from.done];
  // Thousands of reads may wait for the same leader.
  const isDone = new Set(done);
  for (const number of known) {
    if (isDone.has(number)) continue;
    const { input, output } = at(history, number);
    if (output !== undefined && model.isPast?.(state, input, output) === true) return undefined;
    if (model.step(state, input, output) === state) done.push(number);
  }
  return done.length === from.done.length ? from : { ...from, done: done.sort((a, b) => a - b) };
}

function nameOf({ state, done, taken }: Configuration<number | string>): string {
  return `${done.join()}|${taken.join()}|${state}`;
}

/** Every way in which one more operation takes effect. */
function* next<State extends number | string, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  from: Configuration<State>,
  pending: Open,
): Iterable<Configuration<State>> {
  const isDone = new Set(from.done);
  for (const number of pending.known) {
    if (isDone.has(number)) continue;
    const { input, output } = at(history, number);
    const state = model.step(from.state, input, output);
    if (state !== undefined) yield { ...from, state, done: [...from.done, number].sort((a, b) => a - b) };
  }
  for (const [kind, those] of pending.unknown.entries()) {
    // Of those that do the same, the one called first: any order with another one is an order with it.
    const number = those[from.taken[kind] ?? 0];
    if (number === undefined) continue;
    const state = model.step(from.state, at(history, number).input, undefined);
    // What changes nothing and is never asked for again may as well not have happened.
    if (state === undefined || state === from.state) continue;
    yield { ...from, state, taken: from.taken.map((count, each) => (each === kind ? count + 1 : count)) };
  }
}
