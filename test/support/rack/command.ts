/** Running programs, and the one clock that all durations of the rack are measured with. */
import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";

const libc = dlopen("libc.so.6", { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });
const timespec = new BigInt64Array(2);
const CLOCK_MONOTONIC = 1;

/** CLOCK_MONOTONIC in ms, the same in every process and namespace. (process.hrtime counts from the process's start on Bun.) */
export function monotonicMs(): number {
  libc.symbols.clock_gettime(CLOCK_MONOTONIC, ptr(timespec));
  return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  /** Adds to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The program and all that it started are killed then. Default 60 s. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** True if the time limit ended it; `code` is then 137. */
  readonly timedOut: boolean;
}

const TIMEOUT_MS_DEFAULT = 60_000;

/** Runs a program to its end. A failing program is a result, not an error. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const stdin = options.stdin === undefined ? "ignore" : new Blob([options.stdin as string]);
  // A session of its own, so that the time limit can end the whole tree.
  const child = Bun.spawn([...argv], {
    stdin,
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
    env: { ...process.env, ...options.env },
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
  }, options.timeoutMs ?? TIMEOUT_MS_DEFAULT);
  try {
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, stdout, stderr, timedOut };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program that has to succeed. Throws RACK_COMMAND with its words and its complaint. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code === 0) return result.stdout;
  const complaint = (result.stderr || result.stdout).trim().split("\n").slice(-5).join("; ");
  throw new CodedError("RACK_COMMAND", `Cannot run "${argv.join(" ")}" (exit code ${result.code}): ${complaint}`);
}

/** Starts a program that outlives this one, its words in a log file. */
export function startDaemon(argv: readonly string[], log: string, env: Readonly<Record<string, string>>) {
  const output = openSync(log, "a");
  try {
    const child = Bun.spawn([...argv], {
      stdin: "ignore",
      stdout: output,
      stderr: output,
      detached: true,
      env: { ...process.env, ...env },
      cwd: "/",
    });
    child.unref();
    return child;
  } finally {
    closeSync(output);
  }
}

/** Waits until `condition` gives something else than undefined or false, looking every `everyMs`. Throws RACK_TIMEOUT. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  everyMs = 5,
): Promise<T> {
  const deadline = monotonicMs() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (monotonicMs() > deadline)
      throw new CodedError("RACK_TIMEOUT", `Cannot wait for ${what} any longer: ${timeoutMs} ms are over`);
    await Bun.sleep(everyMs);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended between the time limit and here.
  }
}
