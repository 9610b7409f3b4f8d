import { closeSync, openSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import { ERRNO, errnoText, lastErrno, libc } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const PRIO_PROCESS = 0;
const LOCK_EX = 2;
const LOCK_NB = 4;
const MCL_CURRENT = 1;
const MCL_FUTURE = 2;

/**
 * Has the kernel send `signal` (SIGKILL) to this process when the *thread* that started it ends (prctl(2)).
 * Call it first; `parentId` is the parent's process id as the parent told it. False: the parent was dead already, and
 * the caller must end at once, as no signal will come.
 */
export function dieWithParent(parentId: number, signal = SIGKILL): boolean {
  if (libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) !== 0) fail("set the parent-death signal");
  return libc.getppid() === parentId;
}

/** Sets the nice value (-20 first … 19 last) of the calling *thread*; threads started later by it inherit the value. */
export function setThreadPriority(nice: number): void {
  if (libc.setpriority(PRIO_PROCESS, libc.gettid(), nice) !== 0) fail(`set nice value ${nice}`);
}

/** Keeps all pages of the process in memory, now and later (mlockall(2)), so that no turn waits for a swapped page. */
export function lockMemory(): void {
  if (libc.mlockall(MCL_CURRENT | MCL_FUTURE) !== 0) fail("lock the memory");
}

/** An exclusive lock on a file; the kernel gives it back when the process ends, however it ends. */
export interface FileLock {
  release(): void;
}

/** Takes the lock without waiting. Undefined: another process has it. Throws when the file cannot be opened. */
export function lockFile(path: string): FileLock | undefined {
  const file = openSync(path, "a", 0o600);
  if (libc.flock(file, LOCK_EX | LOCK_NB) === 0) return { release: () => closeSync(file) };
  const errno = lastErrno();
  closeSync(file);
  if (errno === ERRNO.EAGAIN) return undefined;
  throw new CodedError("process", `Cannot lock "${path}": ${errnoText(errno)}`);
}

function fail(action: string): never {
  throw new CodedError("process", `Cannot ${action}: ${errnoText(lastErrno())}`);
}
