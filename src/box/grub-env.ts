/** A system image's place on the disk. */
export type Slot = "A" | "B";

export const SLOTS: readonly Slot[] = ["A", "B"];

export interface SlotFlags {
  /** It was marked good by a box that was healthy on it: it is booted however often that fails. */
  readonly isGood: boolean;
  /** How often GRUB has begun to boot it since it was marked. */
  readonly tries: number;
}

/** What the boot loader decides by; `env1` and `env2` on the ESP. */
export interface GrubEnv {
  /** Grows with each change that is not GRUB's own. */
  readonly generation: number;
  readonly order: readonly [Slot, Slot];
  readonly slots: Readonly<Record<Slot, SlotFlags>>;
  /** The next boot is one into recovery mode. */
  readonly isRecovery: boolean;
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

/** What the builder of an image writes: slot A holds it, B is empty: there is nothing that A could fall back to. */
export const FIRST_ENV: GrubEnv = {
  generation: 1,
  order: ["A", "B"],
  slots: { A: { isGood: true, tries: 0 }, B: { isGood: false, tries: TRIES_MAX } },
  isRecovery: false,
};

/** {@link ENV_BYTES} bytes; the values lie in the first sector, GEN_A first and GEN_B last. */
export function formatGrubEnv(env: GrubEnv): Uint8Array {
  const generation = String(env.generation).padStart(GENERATION_DIGITS, "0");
  const { A, B } = env.slots;
  const text = [
    ...[`GEN_A=${generation}`, `ORDER=${env.order.join(" ")}`],
    ...[`A_OK=${A.isGood ? 1 : 0}`, `A_TRY=${A.tries}`, `B_OK=${B.isGood ? 1 : 0}`, `B_TRY=${B.tries}`],
    ...[`RECOVERY=${env.isRecovery ? 1 : 0}`, `GEN_B=${generation}`],
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
  const recovery = values.get("RECOVERY") ?? "";
  if (!/^\d{1,10}$/.test(generation) || values.get("GEN_B") !== generation) return undefined;
  if (A === undefined || B === undefined || !/^[01]$/.test(recovery)) return undefined;
  if (!["A B", "B A"].includes(order.join(" "))) return undefined;
  const pair: readonly [Slot, Slot] = order[0] === "A" ? ["A", "B"] : ["B", "A"];
  return { generation: Number(generation), order: pair, slots: { A, B }, isRecovery: recovery === "1" };
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

/** Whether GRUB tries the slot at all. */
export function isTried({ isGood, tries }: SlotFlags): boolean {
  return isGood || tries < TRIES_MAX;
}

/**
 * The slots in the order in which GRUB tries them; a boot that fails at once (no kernel, no file system) goes to the next.
 * Empty: both are exhausted, and GRUB clears the tries and waits.
 */
export function bootOrder(env: GrubEnv): readonly Slot[] {
  return env.order.filter((slot) => isTried(env.slots[slot]));
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

/** The next boot ends in recovery mode, once. */
export function withRecovery(env: GrubEnv, isRecovery: boolean): GrubEnv {
  return next({ ...env, isRecovery });
}

/** A boot that failed for the data partition alone does not count against the slot. */
export function forgiveTry(env: GrubEnv, slot: Slot): GrubEnv {
  return next(withFlags(env, slot, { ...env.slots[slot], tries: Math.max(0, env.slots[slot].tries - 1) }));
}

function withFlags(env: GrubEnv, slot: Slot, flags: SlotFlags): GrubEnv {
  return { ...env, slots: { ...env.slots, [slot]: flags } };
}

function next(env: GrubEnv): GrubEnv {
  return { ...env, generation: env.generation >= GENERATION_MAX ? 1 : env.generation + 1 };
}
