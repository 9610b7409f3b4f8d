import { CodedError } from "../base/error.ts";
import { ERRNO, errnoText, lastErrno, libc } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;

/** epoll_ctl(2)'s actions. */
export const EPOLL_CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;

/** What a descriptor may be watched for, and what is reported in any case (ERR, HUP). */
export const EPOLL = {
  IN: 0x1,
  PRI: 0x2,
  OUT: 0x4,
  ERR: 0x8,
  HUP: 0x10,
  ONESHOT: 1 << 30,
  ET: 1 << 31,
} as const;

const isPacked = process.arch === "x64";
const layout = { eventBytes: isPacked ? 12 : 16, idOffset: isPacked ? 4 : 8 } as const;

/** The system calls, with their structure laid out for this machine. */
export const epoll = {
  layout,

  create(): number {
    const descriptor = libc.epoll_create1(EPOLL_CLOEXEC);
    if (descriptor < 0) throw new CodedError("epoll", `Cannot make an epoll descriptor: ${errnoText(lastErrno())}`);
    return descriptor;
  },

  /** 0 or the errno. */
  control(descriptor: number, action: number, file: number, events: number, id: number): number {
    const event = new DataView(new ArrayBuffer(layout.eventBytes));
    event.setUint32(0, events >>> 0, true);
    event.setUint32(layout.idOffset, id, true);
    return libc.epoll_ctl(descriptor, action, file, new Uint8Array(event.buffer)) === 0 ? 0 : lastErrno();
  },

  /** Blocks for at most `timeoutMs` (−1: for ever): for a thread that does nothing else. −1 for an error. */
  wait(descriptor: number, buffer: Uint8Array, most: number, timeoutMs: number): number {
    return libc.epoll_wait(descriptor, buffer, most, timeoutMs);
  },

  /** Whether the wait that just failed was interrupted by a signal. */
  wasInterrupted: (): boolean => lastErrno() === ERRNO.EINTR,
};
