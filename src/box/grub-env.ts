/** A system image's place on the disk. */
export type Slot = "A" | "B";

export const SLOTS: readonly Slot[] = ["A", "B"];

export interface SlotFlags {
  /** It was marked good by a box that was healthy on it: it is tried last, however often it failed. */
  readonly isGood: boolean;
  /** How often GRUB has begun to boot it since it was marked. */
  readonly tries: number;
}

/** `recovery`: console, network and a petted dog, no service. `reset`: the data partition is emptied first. */
export type BootMode = "normal" | "recovery" | "reset";

/** In the order of their digits in the environment. */
const MODES: readonly BootMode[] = ["normal", "recovery", "reset"];

/** What the boot loader decides by; `env1` and `env2` on the ESP. */
export interface GrubEnv {
  /** Grows with each change that is not GRUB's own. */
  readonly generation: number;
  readonly order: readonly [Slot, Slot];
  readonly slots: Readonly<Record<Slot, SlotFlags>>;
  /** Of the next boot; GRUB goes back to `normal` with it. */
  readonly mode: BootMode;
}

/** GRUB's environment block (grub-core/lib/envblk.c): exactly this size. */
export const ENV_BYTES = 1024;
/** A slot that is not marked good is tried so often. */
export const TRIES_MAX = 3;

const SIGNATURE = "# GRUB Environment Block\n";
/** Fixed, so that every value keeps its place: a torn write then mixes old and new values and never moves one. */
const GENERATION_DIGITS = 10;
const GENERATION_MAX = 10 ** GENERATION_DIGITS - 1;
const ENCODER = new TextEncoder();

/** One slot is known to boot, of the other one nothing is: there is nothing to fall back to. */
export function onlySlot(slot: Slot): GrubEnv {
  const good: SlotFlags = { isGood: true, tries: 0 };
  const unknown: SlotFlags = { isGood: false, tries: TRIES_MAX };
  return {
    generation: 1,
    order: [slot, otherSlot(slot)],
    slots: slot === "A" ? { A: good, B: unknown } : { A: unknown, B: good },
    mode: "normal",
  };
}

/** {@link ENV_BYTES} bytes; the values lie in the first sector, GEN_A first and GEN_B last. */
export function formatGrubEnv(env: GrubEnv): Uint8Array {
  const generation = String(env.generation).padStart(GENERATION_DIGITS, "0");
  const { A, B } = env.slots;
  const text = [
    ...[`GEN_A=${generation}`, `ORDER=${env.order.join(" ")}`],
    ...[`A_OK=${A.isGood ? 1 : 0}`, `A_TRY=${A.tries}`, `B_OK=${B.isGood ? 1 : 0}`, `B_TRY=${B.tries}`],
    ...[`MODE=${MODES.indexOf(env.mode)}`, `GEN_B=${generation}`],
  ].join("\n");
  const bytes = ENCODER.encode(`${SIGNATURE}${text}\n`);
  const block = new Uint8Array(ENV_BYTES).fill(0x23);
  block.set(bytes);
  return block;
}

/** Undefined for what is torn or was never one: of the wrong size, a value missing or senseless, the two GEN apart. */
export function parseGrubEnv(bytes: Uint8Array): GrubEnv | undefined {
  if (bytes.length !== ENV_BYTES) return undefined;
  const text = String.fromCharCode(...bytes);
  if (!text.startsWith(SIGNATURE)) return undefined;
  const values = new Map<string, string>();
  for (const line of text.slice(SIGNATURE.length).split("\n")) {
    if (line.startsWith("#")) continue;
    const at = line.indexOf("=");
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1));
  }
  const generation = values.get("GEN_A") ?? "";
  const order = (values.get("ORDER") ?? "").split(" ");
  const flags = (slot: Slot): SlotFlags | undefined => {
    const [ok, tries] = [values.get(`${slot}_OK`) ?? "", values.get(`${slot}_TRY`) ?? ""];
    return /^[01]$/.test(ok) && /^[0-3]$/.test(tries) ? { isGood: ok === "1", tries: Number(tries) } : undefined;
  };
  const [A, B] = [flags("A"), flags("B")];
  const mode = MODES[Number(/^[012]$/.exec(values.get("MODE") ?? "")?.[0] ?? -1)];
  if (!/^\d{1,10}$/.test(generation) || values.get("GEN_B") !== generation) return undefined;
  if (A === undefined || B === undefined || mode === undefined) return undefined;
  if (!["A B", "B A"].includes(order.join(" "))) return undefined;
  const pair: readonly [Slot, Slot] = order[0] === "A" ? ["A", "B"] : ["B", "A"];
  return { generation: Number(generation), order: pair, slots: { A, B }, mode };
}

/**
 * The one that counts: GRUB's rule. `env1` when it is whole, also when `env2` is newer: then the change was cut off before
 * GRUB could see it, and did not happen.
 */
export function chooseGrubEnv(env1: Uint8Array | undefined, env2: Uint8Array | undefined): GrubEnv | undefined {
  return (env1 && parseGrubEnv(env1)) ?? (env2 && parseGrubEnv(env2));
}

export function otherSlot(slot: Slot): Slot {
  return slot === "A" ? "B" : "A";
}

/**
 * The slots in the order in which GRUB tries them: those with tries left, then those that were good once; a boot that
 * fails at once (no kernel, no file system) goes to the next. Empty: GRUB clears the tries, waits, and boots for recovery.
 */
export function bootOrder({ order, slots }: GrubEnv): readonly Slot[] {
  const hasTries = (slot: Slot): boolean => slots[slot].tries < TRIES_MAX;
  return [...order.filter(hasTries), ...order.filter((slot) => !hasTries(slot) && slots[slot].isGood)];
}

/** GRUB counts a try before it boots a slot. Not a change of generation: GRUB cannot count that far. */
export function countTry(env: GrubEnv, slot: Slot): GrubEnv {
  return withFlags(env, slot, { ...env.slots[slot], tries: Math.min(TRIES_MAX, env.slots[slot].tries + 1) });
}

/** Its box was healthy on it; what works comes first, also after a fallback. */
export function markGood(env: GrubEnv, slot: Slot): GrubEnv {
  const order: readonly [Slot, Slot] = [slot, otherSlot(slot)];
  return next(withFlags({ ...env, order }, slot, { isGood: true, tries: 0 }));
}

/** Before the first byte of it is overwritten: it is not booted, and not what is tried first, whatever happens. */
export function markBeingWritten(env: GrubEnv, slot: Slot): GrubEnv {
  const order: readonly [Slot, Slot] = [otherSlot(slot), slot];
  return next(withFlags({ ...env, order }, slot, { isGood: false, tries: TRIES_MAX }));
}

/** The slot comes first, on trial: three tries, and then the other one again. */
export function switchTo(env: GrubEnv, slot: Slot): GrubEnv {
  const order: readonly [Slot, Slot] = [slot, otherSlot(slot)];
  return next(withFlags({ ...env, order }, slot, { isGood: false, tries: 0 }));
}

/** Away from a slot that turned out badly: it is not tried again, and the other one comes first. */
export function fallBack(env: GrubEnv, from: Slot): GrubEnv {
  return markBeingWritten(env, from);
}

/** The next boot is one of this mode, once. */
export function withMode(env: GrubEnv, mode: BootMode): GrubEnv {
  return next({ ...env, mode });
}

/** A boot into recovery does not count against the slot: nobody will mark it good, and it was not its fault. */
export function forgiveTry(env: GrubEnv, slot: Slot): GrubEnv {
  return next(withFlags(env, slot, { ...env.slots[slot], tries: Math.max(0, env.slots[slot].tries - 1) }));
}

function withFlags(env: GrubEnv, slot: Slot, flags: SlotFlags): GrubEnv {
  return { ...env, slots: { ...env.slots, [slot]: flags } };
}

function next(env: GrubEnv): GrubEnv {
  return { ...env, generation: env.generation >= GENERATION_MAX ? 1 : env.generation + 1 };
}
