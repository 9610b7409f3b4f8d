import type { Slot } from "../grub-env.ts";
import type { EnvStore } from "../slots/env-store.ts";
import type { SlotDevice } from "../slots/ports.ts";
import type { UpdateRecord } from "./record.ts";

/** What an installation needs of the box. */
export interface UpdatePorts {
  readonly env: Pick<EnvStore, "read" | "change">;
  /** Opens a slot's partition for writing; nobody else does. */
  openSlot(slot: Slot): Promise<SlotDevice>;
  /** Keeps the record durably. A box whose data partition takes nothing is updated all the same: it throws `record`. */
  keep(record: UpdateRecord): Promise<void>;
  /** ISO wall time, for people. */
  wallTime(): string;
  log(text: string): void;
}
