import * as fs from "node:fs";
import type { Disk, DiskFile } from "./types.ts";

/** The directory `path` of the machine's file system, made if absent. */
export function openRealDisk(path: string): Disk {
  fs.mkdirSync(path, { recursive: true });
  return {
    open(name, mode) {
      const flags = { read: "r", write: "r+", create: "wx+" } as const;
      return realFile(fs.openSync(`${path}/${name}`, flags[mode], 0o600));
    },
    rename: (from, to) => fs.renameSync(`${path}/${from}`, `${path}/${to}`),
    unlink: (name) => fs.unlinkSync(`${path}/${name}`),
    list: () => fs.readdirSync(path),
    fsyncDirectory() {
      const descriptor = fs.openSync(path, "r");
      try {
        fs.fsyncSync(descriptor);
      } finally {
        fs.closeSync(descriptor);
      }
    },
  };
}

function realFile(descriptor: number): DiskFile {
  return {
    pread(offset, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const read = fs.readSync(descriptor, bytes, done, length - done, offset + done);
        if (read === 0) return bytes.subarray(0, done);
        done += read;
      }
      return bytes;
    },
    pwrite(offset, bytes) {
      let done = 0;
      while (done < bytes.length) {
        done += fs.writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
      }
    },
    fdatasync: () => fs.fdatasyncSync(descriptor),
    sizeBytes: () => fs.fstatSync(descriptor).size,
    close: () => fs.closeSync(descriptor),
  };
}
