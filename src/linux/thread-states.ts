import { readdirSync, readFileSync } from "node:fs";

/** Bun's main process has some 30 threads; more than this are not looked at. */
const THREADS_MAX = 64;

/**
 * What each thread of a process is doing, seen from outside, one line each: name, state (R running, S asleep, D in the
 * kernel and not to be woken, T stopped), the kernel function that it waits in, processor time used. Reads only files that
 * never wait for the process. Empty when it is gone.
 */
export function threadStates(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .slice(0, THREADS_MAX)
      .flatMap((thread) => describe(pid, thread));
  } catch {
    return [];
  }
}

function describe(pid: number, thread: string): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    // "12 (a name) S 1 …": the name may hold anything, the last parenthesis ends it.
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[UTIME_FIELD]) + Number(fields[UTIME_FIELD + 1]);
    return [
      `thread ${thread} ${name}: ${fields[0]} in ${waitChannel(pid, thread)}, ${ticks * TICK_MS} ms of processor`,
    ];
  } catch {
    return []; // It ended while we looked.
  }
}

/** Position of utime after the name (proc(5): field 14); stime follows. In hundredths of a second. */
const UTIME_FIELD = 11;
const TICK_MS = 10;

function waitChannel(pid: number, thread: string): string {
  try {
    const name = readFileSync(`/proc/${pid}/task/${thread}/wchan`, "utf8");
    return name === "0" || name === "" ? "user space" : name;
  } catch {
    return "unknown"; // Kernels without CONFIG_KALLSYMS have no such file.
  }
}
