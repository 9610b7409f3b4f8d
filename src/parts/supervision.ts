import { randomBytes, randomInt } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { CodedError, errorChain } from "../base/error.ts";
import type { WatchdogGpio } from "../config/config.ts";
import { createClock } from "../linux/clock.ts";
import { lockFile } from "../linux/process.ts";
import { threadStates } from "../linux/thread-states.ts";
import { enterBoot, formatBoots, LOOP_RESETS, parseBoots, resetsInARow, settle } from "../watchdog/boot-history.ts";
import { WatchdogDriver } from "../watchdog/driver.ts";
import type { WatchdogLimits } from "../watchdog/limits.ts";
import { describeLastEnd, formatResetReason, parseResetReason, type ResetReason } from "../watchdog/reset-reason.ts";
import { type Attendant, attend } from "./attendant.ts";
import { openCage } from "./cage.ts";
import { openCheckInServer } from "./check-in-server.ts";
import { openPatientLog } from "./patient-log.ts";
import { WatchdogDevices } from "./watchdog-devices.ts";

export interface SupervisionOptions {
  /** What main is: program and arguments. */
  readonly command: readonly string[];
  /** Added to the environment of main; RINGFENCE_PARENT is set in any case. */
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: WatchdogLimits;
  /** Undefined: the one that the boot has armed, or none, and then nothing resets the box. "none": it is disarmed. */
  readonly device: string | undefined;
  readonly deviceTimeoutMs: number;
  /** An external watchdog that wants a line toggled. */
  readonly gpio?: WatchdogGpio | undefined;
  /** Where the initramfs leaves the process id of its petter. */
  readonly petterFile?: string | undefined;
  /** Name of main's cgroup below the supervisor's own. */
  readonly cgroup: string;
  readonly socket: string;
  readonly lock: string;
  readonly log: string;
  readonly resetReason: string;
  /** The last boots of this machine: the loop breaker's memory. */
  readonly boots: string;
  /** One line, for who asks in this boot why the last one ended. */
  readonly lastEnd: string;
  /** There while main is left alone, with the reason: what else may start another slot looks here. */
  readonly recovery: string;
  /** Why main must not be started in this boot, from the boot itself (a data partition that is missing). */
  readonly bootRecovery?: string | undefined;
  /** Called once when such a boot has come so far that a person can work with it. */
  readonly inRecovery?: (() => Promise<void>) | undefined;
  /** Called once when main says that it needs a person. */
  readonly needsPerson?: (() => Promise<void>) | undefined;
  /** Where the consoles' records wait for the cluster. */
  readonly records: string;
  /** Called at a controlled stop and not waited for longer than the last lines of the log. */
  readonly atStop?: (() => Promise<void>) | undefined;
  /** Children beside main: none of them counts for the reset. */
  readonly attendants: readonly Attendant[];
}

/** Ten decisions a second: a restart after the first back-off of 0.2 s is not held up, and idle it costs 0.2 % of a core. */
const TICK_MS = 100;
/** A boot into recovery that lives for so long is one that a person can work with, ms. */
const RECOVERY_MS = 60_000;
/** The last lines of a controlled stop, ms. */
const FLUSH_TIMEOUT_MS = 500;

/** Runs until SIGTERM. Throws `locked` when another supervisor of this box lives. */
export function supervise(options: SupervisionOptions): void {
  for (const path of [options.socket, options.lock, options.log, options.resetReason, options.lastEnd])
    mkdirSync(dirname(path), { recursive: true });
  // A second one would kill the first one's main and pet for it.
  if (lockFile(options.lock) === undefined)
    throw new CodedError("locked", `Cannot supervise: another supervisor has "${options.lock}"`);
  const log = openPatientLog(options.log);
  const clock = createClock();
  const bootId = clock.bootId();
  const devices = new WatchdogDevices({
    ...{ device: options.device, timeoutMs: options.deviceTimeoutMs, gpio: options.gpio },
    ...{ petterFile: options.petterFile, now: () => clock.monotonicRaw(), log: (text) => log.write(text) },
  });
  const last = parseResetReason(textOf(options.resetReason));
  const lastEnd = describeLastEnd(last, bootId, devices.current?.isCardReset);
  log.write(`supervisor starts, process ${process.pid}; last end: ${lastEnd}`);
  const hasDevice = options.device !== undefined || devices.current !== undefined;
  const counted = hasDevice ? { isCardReset: devices.current?.isCardReset } : undefined;
  const boots = enterBoot(parseBoots(textOf(options.boots)), bootId, last, counted);
  const isSettled = clock.bootTime() >= options.limits.settledMs;
  // A supervisor that is started again in a boot that lives has no loop before it.
  const rest = restOf(options, isSettled ? 0 : resetsInARow(boots));

  const complain = (error: unknown): void => log.write(errorChain(error));
  const writeInOrder = inOrder(replaceFile);
  const writeReason = (reason: ResetReason["reason"], detail: string): Promise<void> =>
    writeInOrder(options.resetReason, formatResetReason({ reason, bootId, at: new Date().toISOString(), detail }));
  writeReason("presumed-watchdog", "").catch(complain);
  writeInOrder(options.boots, formatBoots(boots)).catch(complain);
  writeInOrder(options.lastEnd, `${lastEnd}\n`).catch(complain);
  if (rest !== undefined) {
    log.write(`recovery: main is not started: ${rest.why}`);
    writeInOrder(options.recovery, `${rest.why}\n`).catch(complain);
  }
  let isPersonNeeded = false;
  const { inRecovery } = options;
  if (options.bootRecovery !== undefined && inRecovery !== undefined)
    setTimeout(() => inRecovery().catch(complain), RECOVERY_MS);
  const settledInMs = options.limits.settledMs - (clock.bootTime() % options.limits.settledMs);
  setTimeout(
    () => writeInOrder(options.boots, formatBoots(settle(boots, bootId))).catch(complain),
    isSettled ? 0 : settledInMs,
  );

  const server = openCheckInServer(
    options.socket,
    (line) => driver.line(line),
    (text) => log.write(text),
  );
  const cage = openCage(options.cgroup, (text) => log.write(text));
  const driver = new WatchdogDriver(
    {
      now: () => clock.monotonicRaw(),
      get device() {
        return devices.current;
      },
      lastEnd,
      random: () => randomInt(1, 2 ** 32),
      record: (action, detail) => {
        keepRecord(options.records, action, detail).catch(complain);
      },
      cage,
      spawn: (ended) => {
        server.ensure();
        rm(options.recovery, { force: true }).catch(complain);
        return spawnMain(options, cage.enter(options.command), ended);
      },
      terminate: (pid) => {
        try {
          process.kill(pid, "SIGTERM");
        } catch {
          // It has ended, which is what was wanted.
        }
      },
      needsPerson: () => {
        if (!isPersonNeeded) options.needsPerson?.().catch(complain);
        isPersonNeeded = true;
      },
      threadStates,
      log: (text) => log.write(text),
      writeResetReason: writeReason,
      end: () => {
        log.write("supervisor ends");
        for (const attendant of attendants) attendant.stop();
        server.close();
        const leave = (): never => process.exit(0);
        const last = Promise.allSettled([log.flushed(), options.atStop?.()]);
        Promise.race([last, Bun.sleep(FLUSH_TIMEOUT_MS)]).then(leave, leave);
      },
    },
    options.limits,
    rest,
  );
  // A box whose main is left alone is asked, too.
  server.ensure();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => driver.stop());
  setInterval(() => {
    devices.look();
    driver.tick();
  }, TICK_MS);
  driver.tick();
  // After main's start: a person may wait half a second longer, the cluster need not.
  const attendants = options.attendants.map((one) =>
    attend({ ...one, environment: { ...one.environment, RINGFENCE_LAST_END: lastEnd } }, (text) => log.write(text)),
  );
}

/** Why main is left alone at first, and for how long. */
function restOf(
  { bootRecovery, limits }: SupervisionOptions,
  resets: number,
): { readonly why: string; readonly forMs: number } | undefined {
  if (bootRecovery !== undefined) return { why: bootRecovery, forMs: Number.POSITIVE_INFINITY };
  if (resets < LOOP_RESETS) return undefined;
  const minutes = (ms: number): string => `${Math.round(ms / 60_000)} minutes`;
  return {
    why: `${resets} resets in a row, each within ${minutes(limits.settledMs)} of its boot; tried again in ${minutes(limits.restMs)}, or by ringfence watchdog resume`,
    forMs: limits.restMs,
  };
}

/** More wait only when nobody reads them: the consoles' own bound. */
const RECORDS_MAX = 500;

/** What a person told this supervisor to do, beside the consoles' records; main delivers it. */
async function keepRecord(directory: string, action: string, detail: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await readdir(directory)).length >= RECORDS_MAX) return;
  const id = randomBytes(16).toString("hex");
  const record = { id, at: Date.now(), box: hostname(), line: "supervisor", action, detail, outcome: "done" };
  await replaceFile(`${directory}/${id}.json`, JSON.stringify(record));
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
    throw new CodedError("write", `Cannot write "${path}"`, error);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
