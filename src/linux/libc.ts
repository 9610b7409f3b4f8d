import { dlopen, type Pointer, read } from "bun:ffi";
import { getSystemErrorName } from "node:util";

/**
 * The C library's functions that this folder calls, each a plain blocking call of some microseconds. Works in Workers.
 * Pointers take typed arrays; a call that may wait (recv, flock) is always made with its non-blocking flag.
 */
export const libc = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  adjtimex: { args: ["ptr"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  clock_settime: { args: ["i32", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  getppid: { args: [], returns: "i32" },
  gettid: { args: [], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  mlockall: { args: ["i32"], returns: "i32" },
  posix_fadvise: { args: ["i32", "i64", "i64", "i32"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i64" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  setpriority: { args: ["i32", "u32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  tcflush: { args: ["i32", "i32"], returns: "i32" },
  write: { args: ["i32", "ptr", "u64"], returns: "i64" },
}).symbols;

/** errno values (asm-generic/errno*.h) that callers tell apart. */
export const ERRNO = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  EADDRNOTAVAIL: 99,
  ENOBUFS: 105,
} as const;

/**
 * The calling thread's errno. Read it directly after the failed call: nothing of the runtime runs a failing system call
 * between two calls in one expression, so the value is still that call's.
 */
export function lastErrno(): number {
  const at = libc.__errno_location();
  return at === null ? 0 : read.i32(Number(at) as Pointer, 0);
}

/** `EADDRNOTAVAIL (99)`: for messages. */
export function errnoText(errno: number): string {
  return `${getSystemErrorName(-errno)} (${errno})`;
}
