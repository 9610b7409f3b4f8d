import type { Prng } from "../../src/base/prng.ts";
import type { Disk, DiskFile } from "../../src/store/log/types.ts";

/** What a disk writes whole or not at all, or tears somewhere inside. */
const SECTOR_BYTES = 512;

interface FakeFile {
  /** What the running system reads back. */
  bytes: Uint8Array<ArrayBuffer>;
  /** What a finished sync has put on the platter. */
  durable: Uint8Array<ArrayBuffer>;
  /** Sectors written since the last sync. */
  readonly dirty: Set<number>;
}

type NameChange =
  | { readonly kind: "create"; readonly name: string; readonly file: FakeFile }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly name: string };

/** The power is gone: every call throws this until {@link FakeDisk.crash}. */
export class PowerLost extends Error {}

/**
 * A directory on a disk without mercy. At a crash each sector that was written and not synced is kept, lost or torn, and
 * only a prefix of the name changes since the last directory sync remains.
 */
export class FakeDisk implements Disk {
  #names = new Map<string, FakeFile>();
  #durableNames = new Map<string, FakeFile>();
  #nameChanges: NameChange[] = [];
  #open = true;
  /** Calls that change something, so far. */
  steps = 0;
  syncs = 0;
  /** The power goes at this step, before it is done; undefined: never. */
  powerLostAt: number | undefined;
  /** The next call of this kind fails once, and the disk goes on: a sync that fails marks the pages clean all the same. */
  failNext: "pwrite" | "fdatasync" | "pread" | undefined;
  /** The call that changes something at this step fails, whatever it is, and the disk goes on. */
  failAt: number | undefined;
  /** With fewer bytes than this in all files, writes that grow a file fail. */
  capacityBytes = Number.POSITIVE_INFINITY;

  open(name: string, mode: "read" | "write" | "create"): DiskFile {
    if (mode === "create") {
      this.#step();
      if (this.#names.has(name)) throw new Error(`Cannot create "${name}": it exists`);
      const file: FakeFile = { bytes: new Uint8Array(0), durable: new Uint8Array(0), dirty: new Set() };
      this.#names.set(name, file);
      this.#nameChanges.push({ kind: "create", name, file });
    }
    const file = this.#names.get(name);
    if (file === undefined) throw new Error(`Cannot open "${name}": it does not exist`);
    return this.#handle(file);
  }

  rename(from: string, to: string): void {
    this.#step();
    const file = this.#names.get(from);
    if (file === undefined) throw new Error(`Cannot rename "${from}": it does not exist`);
    this.#names.delete(from);
    this.#names.set(to, file);
    this.#nameChanges.push({ kind: "rename", from, to });
  }

  unlink(name: string): void {
    this.#step();
    if (!this.#names.delete(name)) throw new Error(`Cannot unlink "${name}": it does not exist`);
    this.#nameChanges.push({ kind: "unlink", name });
  }

  list(): string[] {
    this.#mustBeOn();
    return [...this.#names.keys()];
  }

  fsyncDirectory(): void {
    this.#step();
    this.#durableNames = new Map(this.#names);
    this.#nameChanges = [];
  }

  /** Power off and on: what is left is what was synced and, as `prng` decides, parts of the rest. */
  crash(prng: Prng): void {
    const names = new Map(this.#durableNames);
    for (const change of this.#nameChanges.slice(0, prng.range(0, this.#nameChanges.length)))
      applyChange(names, change);
    for (const file of new Set([...this.#names.values(), ...names.values()])) {
      for (const sector of file.dirty) settle(file, sector, prng);
      file.bytes = file.durable.slice();
      file.dirty.clear();
    }
    this.#names = names;
    this.#durableNames = new Map(names);
    this.#nameChanges = [];
    this.#open = true;
    this.powerLostAt = undefined;
  }

  /** A name was changed and its directory not synced since. */
  get hasUnsyncedNames(): boolean {
    return this.#nameChanges.length > 0;
  }

  /** Only the process died: everything it wrote is still there, synced or not. */
  restartProcess(): void {
    this.#open = true;
    this.powerLostAt = undefined;
  }

  /** The file's bytes themselves, for a test to look at or to rot. Rot is durable. */
  rot(name: string, change: (bytes: Uint8Array) => void): void {
    const file = this.#names.get(name);
    if (file === undefined) throw new Error(`no file "${name}"`);
    change(file.bytes);
    file.durable = file.bytes.slice();
  }

  #handle(file: FakeFile): DiskFile {
    return {
      pread: (offset, length) => {
        this.#mustBeOn();
        this.#failIf("pread");
        return file.bytes.slice(offset, offset + length);
      },
      pwrite: (offset, bytes) => {
        this.#step();
        this.#failIf("pwrite");
        const size = Math.max(file.bytes.length, offset + bytes.length);
        if (size > file.bytes.length) {
          if (this.#usedBytes() + size - file.bytes.length > this.capacityBytes)
            throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
          const grown = new Uint8Array(size);
          grown.set(file.bytes);
          file.bytes = grown;
        }
        file.bytes.set(bytes, offset);
        const last = Math.floor((offset + bytes.length - 1) / SECTOR_BYTES);
        for (let sector = Math.floor(offset / SECTOR_BYTES); sector <= last; sector++) file.dirty.add(sector);
      },
      fdatasync: () => {
        const failing = this.#isFailingStep() || this.failNext === "fdatasync";
        this.syncs++;
        // What the kernel holds for clean is not written again, whether it ever reached the platter or not.
        if (!failing) for (const sector of file.dirty) keep(file, sector * SECTOR_BYTES, SECTOR_BYTES);
        file.dirty.clear();
        if (failing) this.failNext = undefined;
        if (failing) throw new Error("fdatasync: input/output error");
      },
      sizeBytes: () => file.bytes.length,
      close: () => undefined,
    };
  }

  #usedBytes(): number {
    return [...this.#names.values()].reduce((sum, file) => sum + file.bytes.length, 0);
  }

  #failIf(kind: "pwrite" | "fdatasync" | "pread"): void {
    if (this.failNext !== kind) return;
    this.failNext = undefined;
    throw new Error(`${kind}: input/output error`);
  }

  #step(): void {
    if (this.#isFailingStep()) throw new Error("input/output error");
  }

  #isFailingStep(): boolean {
    this.#mustBeOn();
    if (this.steps === this.powerLostAt) {
      this.#open = false;
      throw new PowerLost("power lost");
    }
    return this.steps++ === this.failAt;
  }

  #mustBeOn(): void {
    if (!this.#open) throw new PowerLost("power lost");
  }
}

function applyChange(names: Map<string, FakeFile>, change: NameChange): void {
  if (change.kind === "create") {
    names.set(change.name, change.file);
  } else if (change.kind === "unlink") {
    names.delete(change.name);
  } else {
    const file = names.get(change.from);
    names.delete(change.from);
    if (file !== undefined) names.set(change.to, file);
  }
}

/** Keeps, loses or tears one sector. A tear leaves the old bytes where old and new are equal anyway. */
function settle(file: FakeFile, sector: number, prng: Prng): void {
  const start = sector * SECTOR_BYTES;
  const end = Math.min(start + SECTOR_BYTES, file.bytes.length);
  const kept = prng.pick([0, end - start, prng.range(0, end - start)]);
  if (kept > 0) keep(file, start, kept);
}

/** Bytes that the platter has from now on. */
function keep(file: FakeFile, start: number, length: number): void {
  const end = Math.min(start + length, file.bytes.length);
  if (file.durable.length < end) {
    const grown = new Uint8Array(end);
    grown.set(file.durable);
    file.durable = grown;
  }
  file.durable.set(file.bytes.subarray(start, end), start);
}
