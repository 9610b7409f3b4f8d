/**
 * What can be wrong with a simulated BMC, as it stands on a line of its control socket. `value` is optional where it
 * says "default".
 */
export type Fault =
  /** Takes packets and answers nothing. */
  | { readonly fault: "silent" }
  /** Its socket is closed: the address answers "port unreachable". */
  | { readonly fault: "gone" }
  /** Each answer comes `value` milliseconds late. */
  | { readonly fault: "slow"; readonly value: number }
  /** Chassis Control is refused with completion code `value`; default D5h. */
  | { readonly fault: "refuses"; readonly value?: number }
  /** For `value` seconds the status says off while on, and on while off. */
  | { readonly fault: "lies"; readonly value: number }
  /** `value` milliseconds after an off, the host is on again. */
  | { readonly fault: "off-then-on"; readonly value: number }
  /** Another GUID: `value` as 32 hex digits; default all bits turned. */
  | { readonly fault: "wrong-guid"; readonly value?: string }
  /** The password is not the one that was configured. */
  | { readonly fault: "wrong-password" }
  /** The next `value` commands are answered "busy" (C0h); default: all. */
  | { readonly fault: "busy"; readonly value?: number }
  /** No session slot is free. */
  | { readonly fault: "slots-full" }
  /** The `value`-th datagram from now on is not received; the first is 1. */
  | { readonly fault: "drop-request"; readonly value: number }
  /** The `value`-th answer from now on is lost, after the command was carried out. */
  | { readonly fault: "drop-answer"; readonly value: number }
  /** The `value`-th answer from now on is sent twice. */
  | { readonly fault: "duplicate-answer"; readonly value: number }
  /** It has the host's power: while the host is off it is silent. */
  | { readonly fault: "dies-with-host" };

const WITHOUT_VALUE = new Set(["silent", "gone", "wrong-password", "slots-full", "dies-with-host"]);
const OPTIONAL_NUMBER = new Set(["refuses", "busy"]);
const REQUIRED_NUMBER = new Set(["slow", "lies", "off-then-on", "drop-request", "drop-answer", "duplicate-answer"]);
const GUID_HEX = /^[0-9a-f]{32}$/i;

/** Reads one fault from a parsed JSON value. A string says what is wrong with it. */
export function parseFault(value: unknown): Fault | string {
  if (typeof value !== "object" || value === null || !("fault" in value)) return 'expected {"fault": NAME}';
  const name = value.fault;
  const argument = "value" in value ? value.value : undefined;
  if (typeof name !== "string") return '"fault" is not a string';
  if (WITHOUT_VALUE.has(name)) return { fault: name } as Fault;
  if (name === "wrong-guid") {
    if (argument === undefined) return { fault: name };
    return typeof argument === "string" && GUID_HEX.test(argument)
      ? { fault: name, value: argument }
      : `"${name}" wants 32 hex digits`;
  }
  const isNumber = typeof argument === "number" && argument >= 0;
  if (REQUIRED_NUMBER.has(name) || (OPTIONAL_NUMBER.has(name) && argument !== undefined)) {
    return isNumber ? ({ fault: name, value: argument } as Fault) : `"${name}" wants a number that is not negative`;
  }
  return OPTIONAL_NUMBER.has(name) ? ({ fault: name } as Fault) : `unknown fault "${name}"`;
}

/** The faults in force, with what they have counted so far. One of each kind: a later one replaces an earlier. */
export class FaultSet {
  readonly #active = new Map<Fault["fault"], Fault>();
  #liesUntil = 0;
  #busyLeft = 0;
  #received = 0;
  #answered = 0;

  add(fault: Fault, now: number): void {
    this.#active.set(fault.fault, fault);
    if (fault.fault === "lies") this.#liesUntil = now + fault.value * 1000;
    if (fault.fault === "busy") this.#busyLeft = fault.value ?? Number.POSITIVE_INFINITY;
    if (fault.fault === "drop-request") this.#received = 0;
    if (fault.fault === "drop-answer" || fault.fault === "duplicate-answer") this.#answered = 0;
  }

  clear(): void {
    this.#active.clear();
  }

  list(): Fault[] {
    return [...this.#active.values()];
  }

  has(kind: Fault["fault"]): boolean {
    return this.#active.has(kind);
  }

  get<K extends Fault["fault"]>(kind: K): Extract<Fault, { fault: K }> | undefined {
    return this.#active.get(kind) as Extract<Fault, { fault: K }> | undefined;
  }

  isLying(now: number): boolean {
    return this.has("lies") && now < this.#liesUntil;
  }

  /** Counts a command; true when it is to be answered "busy". */
  takeBusy(): boolean {
    if (!this.has("busy") || this.#busyLeft <= 0) return false;
    this.#busyLeft--;
    return true;
  }

  /** Counts a datagram that came; true when it is to be lost. */
  takeReceived(): boolean {
    this.#received++;
    return this.#received === this.get("drop-request")?.value;
  }

  /** Counts an answer; how many copies of it leave. */
  takeAnswered(): 0 | 1 | 2 {
    this.#answered++;
    if (this.#answered === this.get("drop-answer")?.value) return 0;
    return this.#answered === this.get("duplicate-answer")?.value ? 2 : 1;
  }
}
