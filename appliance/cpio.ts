import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A character device that the archive has beside the directory's files. */
export interface CharacterDevice {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
}

const KIND = { directory: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 };

/**
 * A directory as a cpio archive that the kernel takes for an initramfs ("newc",
 * Documentation/driver-api/early-userspace/buffer-format.rst): root's, one time, sorted, so that the same files give the same bytes.
 */
export function cpioArchive(directory: string, timeSeconds: number, devices: readonly CharacterDevice[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 0;
  const add = (name: string, mode: number, content: Buffer, device: { major: number; minor: number }): void => {
    const fields = [
      ...[++inode, mode, 0, 0, 1, timeSeconds, content.length],
      ...[0, 0, device.major, device.minor, name.length + 1, 0],
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
    parts.push(padded(Buffer.from(header, "latin1")), padded(content));
  };
  const none = { major: 0, minor: 0 };
  const walk = (below: string): void => {
    for (const name of readdirSync(`${directory}/${below}`).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      const full = `${directory}/${path}`;
      const status = lstatSync(full);
      if (status.isSymbolicLink()) add(path, KIND.link | 0o777, Buffer.from(readlinkSync(full)), none);
      else if (status.isDirectory()) {
        add(path, KIND.directory | 0o755, Buffer.alloc(0), none);
        walk(path);
      } else add(path, KIND.file | ((status.mode & 0o100) === 0 ? 0o644 : 0o755), readFileSync(full), none);
    }
  };
  walk("");
  for (const { path, major, minor } of devices) add(path, KIND.character | 0o600, Buffer.alloc(0), { major, minor });
  add("TRAILER!!!", 0, Buffer.alloc(0), none);
  return Buffer.concat(parts);
}

/** To a multiple of 4 bytes, which is where the next field begins. */
function padded(bytes: Buffer): Buffer {
  return bytes.length % 4 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - (bytes.length % 4))]);
}
