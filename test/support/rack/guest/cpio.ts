/** Writes a cpio archive in the "newc" form that the kernel unpacks as its first file system. */

export interface CpioFile {
  readonly path: string;
  /** Type and permissions: 0o100755 is a program, 0o040755 a directory. */
  readonly mode: number;
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();

/** The archive's bytes. Directories must come before what is in them. */
export function cpio(files: readonly CpioFile[]): Uint8Array<ArrayBuffer> {
  const end = { path: "TRAILER!!!", mode: 0, bytes: new Uint8Array() };
  const parts = [...files, end].flatMap((file, index) => {
    const name = encoder.encode(`${file.path}\0`);
    // magic, inode, mode, uid, gid, links, mtime, size, device 2, rdevice 2, name size, checksum
    const fields = [index + 1, file.mode, 0, 0, 1, 0, file.bytes.length, 0, 0, 0, 0, name.length, 0];
    const header = encoder.encode(`070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`);
    return [header, name, padding(header.length + name.length), file.bytes, padding(file.bytes.length)];
  });
  return new Uint8Array(Buffer.concat(parts));
}

function padding(size: number): Uint8Array {
  return new Uint8Array((4 - (size % 4)) % 4);
}
