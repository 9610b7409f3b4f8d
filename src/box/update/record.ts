import type { Slot } from "../grub-env.ts";
import { type Health, NO_HEALTH } from "./policy.ts";

/** What a box writes down before it starts a slot on trial, for the boot that follows. */
export interface UpdateRecord {
  readonly from: { readonly slot: Slot; readonly version: string; readonly build: string };
  readonly to: { readonly slot: Slot; readonly version: string; readonly build: string };
  /** ISO wall time, for people. */
  readonly at: string;
  /** What worked then. */
  readonly before: Health;
  /**
   * `trial`: the slot is to prove itself. `good`: it did. `fallback`: it did not, and the box went back. `left`: a person
   * went back.
   */
  readonly outcome: "trial" | "good" | "fallback" | "left";
  /** Of a fallback: what was missing, as far as it was seen. */
  readonly why: string;
}

export function formatUpdateRecord(record: UpdateRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** Undefined for a torn or foreign text. */
export function parseUpdateRecord(text: string): UpdateRecord | undefined {
  try {
    const value = JSON.parse(text) as UpdateRecord;
    const isEnd = (end: UpdateRecord["from"]): boolean =>
      (end.slot === "A" || end.slot === "B") && typeof end.version === "string" && typeof end.build === "string";
    if (!isEnd(value.from) || !isEnd(value.to)) return undefined;
    if (!["trial", "good", "fallback", "left"].includes(value.outcome)) return undefined;
    const { from, to, at, outcome, why } = value;
    return { from, to, at: String(at), outcome, why: String(why ?? ""), before: { ...NO_HEALTH, ...value.before } };
  } catch {
    return undefined;
  }
}
