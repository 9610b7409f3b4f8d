import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { CodedError } from "../base/error.ts";
import type { BootReport } from "../box/boot-report.ts";
import { otherSlot, type Slot } from "../box/grub-env.ts";
import type { Release } from "../box/release.ts";
import { openVerifier, type Verify } from "../box/signature.ts";
import { EnvStore } from "../box/slots/env-store.ts";
import type { EnvFiles, SlotDevice, WithEnvFiles } from "../box/slots/ports.ts";
import { readSlot } from "../box/slots/slot-content.ts";
import { formatUpdateRecord, parseUpdateRecord, type UpdateRecord } from "../box/update/record.ts";
import type { SlotStatus } from "../cli/ringfence/answers.ts";
import { lockFile } from "../linux/process.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import { isImage, readBootReport } from "./image.ts";
import { paths } from "./paths.ts";
import { withMounted } from "./usb-sticks.ts";

/** As appliance/grub.ts writes it. */
const ENV_DIRECTORY = "EFI/ringfence";
/** Another program of this box has the ESP for some tens of ms. */
const ESP_WAIT_MS = 20_000;
const ESP_LOOK_MS = 50;
const SECTOR_BYTES = 512;

/** This box's two slots: what the boot loader is told, what they hold, and the record of the last update. */
export interface Slots {
  readonly report: BootReport;
  readonly env: EnvStore;
  readonly verify: Verify;
  open(slot: Slot): Promise<SlotDevice>;
  /** A string says why the slot holds nothing that may run here. */
  release(slot: Slot): Promise<Release | string>;
  /** Undefined when there was no update, or nobody knows. */
  record(): UpdateRecord | undefined;
  /** Durably. Throws what the file system says. */
  keep(record: UpdateRecord): void;
}

/** Throws `no-image` with the reason on a machine that was not started from one of our images. */
export function openSlots(): Slots {
  const report = readBootReport();
  if (typeof report === "string") throw new CodedError("no-image", `This machine has no slots: ${report}`);
  const verify = openVerifier(readFileSync(paths.updateKey, "utf8"));
  const openSlot = (slot: Slot): Promise<SlotDevice> => openDevice(report.slots[slot]);
  return {
    ...{ report, verify, open: openSlot },
    env: new EnvStore(espFiles(report.esp), report.slot),
    release: async (slot) => {
      try {
        const device = await openSlot(slot);
        try {
          const footer = await readSlot(device, verify);
          return typeof footer === "string" ? footer : footer.release;
        } finally {
          await device.close();
        }
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    },
    record: readUpdateRecord,
    keep: (record) => writeFileDurably(paths.updateRecord, formatUpdateRecord(record)),
  };
}

/** Of this box's last update or switch; undefined when there was none, or nobody knows. */
export function readUpdateRecord(): UpdateRecord | undefined {
  try {
    return parseUpdateRecord(readFileSync(paths.updateRecord, "utf8"));
  } catch {
    return undefined;
  }
}

/** The feature level of the image to which this box may fall back; undefined where there is none. */
export async function otherSlotLevel(): Promise<number | undefined> {
  if (!isImage()) return undefined;
  try {
    const slots = openSlots();
    const release = await slots.release(otherSlot(slots.report.slot));
    return typeof release === "string" ? undefined : release.featureLevel;
  } catch {
    // The slots' own watch says what is wrong with them.
    return undefined;
  }
}

/** Mounted for as long as it is used: a power cut finds it unmounted nearly always. */
function espFiles(esp: string): WithEnvFiles {
  return async (access, use) => {
    const lock = await espLock();
    try {
      return await withMounted(esp, access === "read", (directory) => use(envFiles(`${directory}/${ENV_DIRECTORY}`)));
    } finally {
      lock.release();
    }
  };
}

async function espLock(): Promise<{ release(): void }> {
  for (const end = performance.now() + ESP_WAIT_MS; ; await Bun.sleep(ESP_LOOK_MS)) {
    const lock = lockFile(`${paths.run}/esp.lock`);
    if (lock !== undefined) return lock;
    if (performance.now() > end)
      throw new CodedError("boot-env", `Another program of this box has had the ESP for ${ESP_WAIT_MS / 1000} s`);
  }
}

function envFiles(directory: string): EnvFiles {
  return {
    read: async (name) => {
      try {
        return new Uint8Array(readFileSync(`${directory}/${name}`));
      } catch {
        return undefined;
      }
    },
    write: async (name, bytes) => {
      // In its place: GRUB overwrites the blocks that the file has.
      const file = await open(`${directory}/${name}`, "r+");
      try {
        await writeAll(file, 0, bytes);
        await file.truncate(bytes.length);
        await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

async function openDevice(path: string): Promise<SlotDevice> {
  const sectors = Number(readFileSync(`/sys/class/block/${basename(path)}/size`, "utf8"));
  const file = await open(path, "r+");
  return {
    sizeBytes: sectors * SECTOR_BYTES,
    read: async (at, length) => {
      const bytes = new Uint8Array(length);
      for (let got = 0; got < length; ) {
        const { bytesRead } = await file.read(bytes, got, length - got, at + got);
        if (bytesRead === 0) throw new CodedError("slot", `"${path}" ends at ${at + got}, before ${at + length}`);
        got += bytesRead;
      }
      return bytes;
    },
    write: (at, bytes) => writeAll(file, at, bytes),
    sync: async () => {
      await file.sync();
      // What is read next comes from the device, not from memory.
      const { exited } = Bun.spawn(["blockdev", "--flushbufs", path], { stdio: ["ignore", "ignore", "ignore"] });
      if ((await exited) !== 0) throw new CodedError("slot", `Cannot drop what memory has of "${path}"`);
    },
    close: () => file.close(),
  };
}

async function writeAll(file: FileHandle, at: number, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, at + written);
    written += bytesWritten;
  }
}

/** In order: init stops the supervisor first, and with it main, which gives VIP and leadership up. */
export function rebootMachine(): void {
  Bun.spawn(["/sbin/reboot"], { stdio: ["ignore", "ignore", "ignore"] });
}

/** `missing`: what this box lacks before its slot is marked good. */
export async function slotStatus(slots: Slots, missing: readonly string[]): Promise<SlotStatus> {
  const { report } = slots;
  const { env } = await slots.env.read();
  const one = async (slot: "A" | "B"): Promise<SlotStatus["slots"]["A"]> => {
    const release = await slots.release(slot);
    const { isGood, tries } = env.slots[slot];
    return typeof release === "string"
      ? { version: "", build: "", featureLevel: 0, why: release, isGood, tries }
      : { version: release.version, build: release.build, featureLevel: release.featureLevel, why: "", isGood, tries };
  };
  const { mode, isVerified, bootKey } = report;
  return {
    ...{ running: report.slot, try: report.try, mode, isVerified, key: report.release.key },
    isSecure: bootKey !== undefined,
    next: env.order[0],
    slots: { A: await one("A"), B: await one("B") },
    missing,
    lastEnd: textOf(`${paths.run}/last-end`).trim(),
    update: slots.record() ?? null,
  };
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
