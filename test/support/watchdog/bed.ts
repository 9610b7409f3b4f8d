/** A real supervisor process with a stand-in for main, and a FIFO for the hardware: whoever reads it is the dog. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { openProcessGroup } from "../../../src/linux/cgroup.ts";
import type { SupervisionOptions } from "../../../src/parts/supervision.ts";
import { parseResetReason } from "../../../src/watchdog/reset-reason.ts";

export const program = fileURLToPath(new URL("./supervised.ts", import.meta.url));
const DEADLINE_MS = 15_000;
/** Of the double: supervised.ts. */
export const TIMEOUT_MS = 1000;
/** False, with a word why, on a machine without a writable cgroup2 file system. */
export const isCgroupWritable = canMakeCgroup();

/** What the stand-in does: stand-in.ts. */
export type Conduct = "check-in" | "hang" | "end" | "need-person" | "leave-child" | "ignore-term";

/** Everything of one story; end() leaves nothing behind. */
export class Bed {
  readonly directory = mkdtempSync(join(tmpdir(), "watchdog-"));
  readonly #dog: number;
  readonly #buffer = new Uint8Array(1024);
  readonly #timer: ReturnType<typeof setInterval>;
  /** Names of cgroups. */
  readonly #groups = new Set<string>();
  /** Instants of pets. */
  readonly pets: number[] = [];
  isDisarmed = false;
  supervisor: ChildProcess | undefined;

  constructor(conduct: Conduct) {
    const path = `${this.directory}/dog`;
    assert.is(spawnSync("mkfifo", [path]).status, 0);
    this.#dog = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.#timer = setInterval(() => this.#read(), 10);
    this.behave(conduct);
  }

  #read(): void {
    let count = 0;
    try {
      count = readSync(this.#dog, this.#buffer);
    } catch {
      return; // Nothing to read.
    }
    for (const byte of this.#buffer.subarray(0, count)) {
      if (byte === 0x56) this.isDisarmed = true;
      else this.pets.push(performance.now());
    }
  }

  behave(conduct: Conduct): void {
    writeFileSync(`${this.directory}/conduct`, conduct);
  }

  start(options: Partial<SupervisionOptions> = {}): ChildProcess {
    const child = spawn(process.execPath, [program, this.directory, JSON.stringify(options)], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    this.supervisor = child;
    this.#groups.add(options.cgroup ?? `test-${child.pid}`);
    return child;
  }

  /** Process ids and instants (wall ms) of the stand-in's starts. */
  get starts(): readonly { readonly pid: number; readonly at: number }[] {
    return this.lines("starts").map((line) => ({ pid: Number(line.split(" ")[0]), at: Number(line.split(" ")[1]) }));
  }

  lines(file: string): readonly string[] {
    const path = `${this.directory}/${file}`;
    return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
  }

  get log(): string {
    return this.lines("supervisor.log").join("\n");
  }

  get reason(): ReturnType<typeof parseResetReason> {
    return parseResetReason(this.lines("reset-reason").join("\n"));
  }

  /** How often a main has begun to check in, over all supervisors. */
  get checkIns(): number {
    return this.log.split("main checks in").length - 1;
  }

  /** The process id of the latest stand-in, once it checks in. */
  async running(count = 1): Promise<number> {
    await this.until(`start ${count} checks in`, () => this.checkIns >= count);
    return this.starts.at(-1)?.pid ?? 0;
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    for (const end = performance.now() + DEADLINE_MS; !isTrue(); await Bun.sleep(10))
      assert.ok(performance.now() < end, `waited in vain until ${what}; the log:\n${this.log}`);
  }

  longestGapSince(instant: number): number {
    const pets = [instant, ...this.pets.filter((at) => at > instant), performance.now()];
    return pets.reduce((most, at, index) => Math.max(most, at - (pets[index - 1] ?? at)), 0);
  }

  async end(): Promise<void> {
    this.supervisor?.kill("SIGKILL");
    for (const { pid } of this.starts) await this.until("main is gone", () => !isAlive(pid));
    for (const pid of this.lines("children").map(Number)) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    clearInterval(this.#timer);
    closeSync(this.#dog);
    if (isCgroupWritable) for (const name of this.#groups) await removeCgroup(name);
    rmSync(this.directory, { recursive: true });
  }
}

function canMakeCgroup(): boolean {
  try {
    rmdirSync(openProcessGroup(`test-${process.pid}`).path);
    return true;
  } catch (error) {
    console.log(`without a writable cgroup2 file system the cgroup's tests are left out: ${String(error)}`);
    return false;
  }
}

async function removeCgroup(name: string): Promise<void> {
  const group = openProcessGroup(name);
  for (const end = performance.now() + DEADLINE_MS; !group.isEmpty() && performance.now() < end; ) {
    group.kill();
    await Bun.sleep(10);
  }
  rmdirSync(group.path);
}

/** A dead process that nobody has buried counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

export async function withBed(conduct: Conduct, story: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = new Bed(conduct);
  try {
    await story(bed);
  } finally {
    await bed.end();
  }
}
