import { mkdirSync, readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { CodedError, errorChain } from "../base/error.ts";
import { createClock } from "../linux/clock.ts";
import { lockFile } from "../linux/process.ts";
import { threadStates } from "../linux/thread-states.ts";
import { openWatchdog } from "../linux/watchdog.ts";
import { WatchdogDriver } from "../watchdog/driver.ts";
import type { WatchdogLimits } from "../watchdog/limits.ts";
import type { WatchdogDevice } from "../watchdog/ports.ts";
import { describeLastEnd, formatResetReason, parseResetReason, type ResetReason } from "../watchdog/reset-reason.ts";
import { type Attendant, attend } from "./attendant.ts";
import { openCage } from "./cage.ts";
import { openCheckInServer } from "./check-in-server.ts";
import { openPatientLog } from "./patient-log.ts";

export interface SupervisionOptions {
  /** What main is: program and arguments. */
  readonly command: readonly string[];
  /** Added to the environment of main; RINGFENCE_PARENT is set in any case. */
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: WatchdogLimits;
  /** Undefined: no device, nothing resets the box. */
  readonly device: string | undefined;
  readonly deviceTimeoutMs: number;
  /** Name of main's cgroup below the supervisor's own. */
  readonly cgroup: string;
  readonly socket: string;
  readonly lock: string;
  readonly log: string;
  readonly resetReason: string;
  /** Children beside main: none of them counts for the reset. */
  readonly attendants: readonly Attendant[];
}

/** Ten decisions a second: a restart after the first back-off of 0.2 s is not held up, and idle it costs 0.2 % of a core. */
const TICK_MS = 100;
const DEVICE_RETRY_MS = 5000;
/** The last lines of a controlled stop, ms. */
const FLUSH_TIMEOUT_MS = 500;

/** Runs until SIGTERM. Throws `locked` when another supervisor of this box lives. */
export function supervise(options: SupervisionOptions): void {
  for (const path of [options.socket, options.lock, options.log, options.resetReason])
    mkdirSync(dirname(path), { recursive: true });
  // A second one would kill the first one's main and pet for it.
  if (lockFile(options.lock) === undefined)
    throw new CodedError("locked", `Cannot supervise: another supervisor has "${options.lock}"`);
  const log = openPatientLog(options.log);
  const clock = createClock();
  const bootId = clock.bootId();
  let device = openDevice(options, (text) => log.write(text));
  const last = parseResetReason(textOf(options.resetReason));
  const lastEnd = describeLastEnd(last, bootId, device?.isCardReset);
  log.write(`supervisor starts, process ${process.pid}; last end: ${lastEnd}`);

  const writeReason = inOrder((reason: ResetReason["reason"], detail: string) =>
    replaceFile(options.resetReason, formatResetReason({ reason, bootId, at: new Date().toISOString(), detail })),
  );
  writeReason("presumed-watchdog", "").catch((error: unknown) => log.write(errorChain(error)));

  const server = openCheckInServer(
    options.socket,
    (line) => driver.checkIn(line),
    (text) => log.write(text),
  );
  const cage = openCage(options.cgroup, (text) => log.write(text));
  const driver = new WatchdogDriver(
    {
      now: () => clock.monotonicRaw(),
      get device() {
        return device;
      },
      cage,
      spawn: (ended) => {
        server.ensure();
        return spawnMain(options, cage.enter(options.command), ended);
      },
      terminate: (pid) => {
        try {
          process.kill(pid, "SIGTERM");
        } catch {
          // It has ended, which is what was wanted.
        }
      },
      threadStates,
      log: (text) => log.write(text),
      writeResetReason: writeReason,
      end: () => {
        log.write("supervisor ends");
        for (const attendant of attendants) attendant.stop();
        server.close();
        const leave = (): never => process.exit(0);
        Promise.race([log.flushed(), Bun.sleep(FLUSH_TIMEOUT_MS)]).then(leave, leave);
      },
    },
    options.limits,
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => driver.stop());
  setInterval(() => driver.tick(), TICK_MS);
  // Its driver may be loaded late, or the petter of the boot may still have it.
  if (device === undefined && options.device !== undefined)
    setInterval(() => {
      device ??= openDevice(options, () => undefined);
    }, DEVICE_RETRY_MS);
  driver.tick();
  // After main's start: a person may wait half a second longer, the cluster need not.
  const attendants = options.attendants.map((one) =>
    attend({ ...one, environment: { ...one.environment, RINGFENCE_LAST_END: lastEnd } }, (text) => log.write(text)),
  );
}

/** A device that cannot be opened is said and done without: a box without a watchdog is better than no box. */
function openDevice(options: SupervisionOptions, report: (text: string) => void): WatchdogDevice | undefined {
  if (options.device === undefined) {
    report("no watchdog device is configured: nothing resets this box when restarts do not help");
    return undefined;
  }
  try {
    const device = openWatchdog(options.device, options.deviceTimeoutMs);
    report(`watchdog "${options.device}" (${device.name}) armed with ${device.timeoutMs / 1000} s`);
    return device;
  } catch (error) {
    report(`${errorChain(error)}: nothing resets this box when restarts do not help`);
    return undefined;
  }
}

function spawnMain(
  options: SupervisionOptions,
  command: readonly string[],
  ended: (pid: number, code: number | null, how: string) => void,
): number {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...options.environment, RINGFENCE_PARENT: String(process.pid) },
    stdio: ["ignore", "inherit", "inherit"],
    // A process group of its own: a Ctrl-C for the supervisor does not reach main before its time.
    detached: true,
    onExit: (self, code, signal) => ended(self.pid, code, signal === null ? `exit code ${code}` : `signal ${signal}`),
  });
  return child.pid;
}

/** Calls one after the other: the newest reason is the one that stays. */
function inOrder<A extends readonly unknown[]>(act: (...words: A) => Promise<void>): (...words: A) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return (...words) => {
    const next = last.then(() => act(...words));
    last = next.catch(() => undefined);
    return next;
  };
}

/** As cluster/identity's, without ever waiting: aside, sync, rename. */
async function replaceFile(path: string, text: string): Promise<void> {
  try {
    const file = await open(`${path}.new`, "w", 0o640);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  } catch (error) {
    throw new CodedError("reset-reason", `Cannot write "${path}"`, error);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
