import { libc } from "./libc.ts";

const POSIX_FADV_DONTNEED = 4;

/** Asks the kernel to forget the first bytes of a synced file, so that the next read is the disk's. A wish: it may not. */
export function dropFromCache(file: number, bytes: number): void {
  libc.posix_fadvise(file, 0, bytes, POSIX_FADV_DONTNEED);
}
