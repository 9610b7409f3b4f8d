// The log of store/log as it ships, on a disk without mercy: one life with one disaster a seed, then what is left is read.

import { createPrng, type Prng } from "../../src/base/prng.ts";
import { openLog } from "../../src/store/log/log.ts";
import type { Append, Disk, Log, LogOptions } from "../../src/store/log/types.ts";
import { FakeDisk } from "../support/fake-disk.ts";
import { type Content, contentOf, LogModel, logOptions, logWorkload } from "../support/log-workload.ts";
import { demand, Violation } from "./violation.ts";

/** What a misdirected write puts elsewhere. */
const SECTOR_BYTES = 512;
/** The empty group that closes a burst: its head and its *durable-to*. It may lie across two sectors. */
const CLOSING_GROUP_BYTES = 48;
/** What happens to the disk, and with it to the process. */
const DISASTERS = [
  "power cut",
  "power cut",
  "power cut in a recovery",
  "process killed",
  "sync fails",
  "write fails",
  "read fails",
  "disk full for a while",
  "bit rot",
  "misdirected write",
] as const;
type Disaster = (typeof DISASTERS)[number];

export interface LogRun {
  readonly failure: Error | undefined;
  readonly hash: string;
  readonly counters: ReadonlyMap<string, number>;
}

/** One seed: a workload, a disaster, a recovery, and what holds of it. */
export async function runLogSeed(seed: number, trace: (line: string) => void = () => undefined): Promise<LogRun> {
  const run = new Run(seed, trace);
  let failure: Error | undefined;
  try {
    await run.live();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    failure = error;
  }
  return { failure, hash: Bun.hash(run.seen.join("\n")).toString(16), counters: run.counters };
}

class Run {
  readonly #random: Prng;
  readonly #disk = new FakeDisk();
  readonly #model = new LogModel();
  readonly #disaster: Disaster;
  readonly #trace: (line: string) => void;
  readonly counters = new Map<string, number>();
  readonly seen: string[] = [];
  /** Records that were acknowledged. */
  #acknowledged = 0;
  /** A write or sync failed: from here on nothing may be acknowledged. */
  #isPoisoned = false;
  #hasFailed = false;
  #life = 0;
  /** What waits for its time; here time is whoever asks. */
  #timers: (() => void)[] = [];

  constructor(seed: number, trace: (line: string) => void) {
    this.#random = createPrng(seed);
    this.#disaster = this.#random.pick(DISASTERS);
    this.#trace = trace;
  }

  async live(): Promise<void> {
    const appends = logWorkload(this.#random.split(), this.#random.range(10, 80));
    this.#note(`${appends.length} appends, ${this.#disaster}`);
    this.#count(this.#disaster);
    if (this.#disaster.startsWith("power cut")) this.#disk.powerLostAt = this.#random.range(0, 300);
    await this.#work(appends);
    switch (this.#disaster) {
      case "bit rot":
      case "misdirected write":
        return this.#decay();
      case "process killed":
      case "read fails":
      case "disk full for a while":
        this.#disk.restartProcess();
        break;
      case "sync fails":
      case "write fails":
        return this.#afterFailure();
      case "power cut in a recovery":
        this.#crash();
        await this.#recoverUntil(this.#random.range(0, 8));
        this.#crash();
        break;
      default:
        this.#crash();
    }
    await this.#recoverTwice("the recovery");
  }

  /** The box's life: appends, purges and reads until the disaster ends it, or until its end. */
  async #work(appends: readonly Append[]): Promise<void> {
    const trouble = this.#random.range(0, appends.length - 1);
    let log: Log;
    try {
      ({ log } = await openLog("", this.#options()));
    } catch {
      return;
    }
    const pending: Promise<void>[] = [];
    for (const [number, append] of appends.entries()) {
      if (number === trouble) this.#makeTrouble();
      // Whoever uses it ends then; what would be refused is not asked for.
      if (this.#isPoisoned) break;
      const records = this.#model.take(append);
      const done = log.append(append).then(
        () => this.#acknowledge(records),
        () => {
          this.#hasFailed = true;
        },
      );
      pending.push(done);
      if (this.#random.chance(0.05)) {
        this.#model.purgeable = Math.max(this.#model.purgeable, append.commit);
        log.purgeTo(append.commit);
      }
      if (this.#random.chance(0.5)) await Promise.race([done, this.#stalled()]);
      if (this.#random.chance(0.2)) this.#read(log);
    }
    if (Number.isFinite(this.#disk.capacityBytes)) await this.#freeSpace(pending);
    await Promise.all(pending);
    if (this.#disaster === "bit rot" || this.#disaster === "misdirected write") await log.close();
  }

  #makeTrouble(): void {
    if (this.#disaster === "sync fails") this.#disk.failNext = "fdatasync";
    if (this.#disaster === "write fails") this.#disk.failNext = "pwrite";
    if (this.#disaster === "read fails") this.#disk.failNext = "pread";
    if (this.#disaster === "disk full for a while") this.#disk.capacityBytes = 0;
  }

  #acknowledge(records: number): void {
    demand(!this.#hasFailed, "a log that failed acknowledges nothing any more", () => `${records} records`);
    this.#acknowledged = Math.max(this.#acknowledged, records);
  }

  /** While the disk is full an append may wait for as long as it likes. */
  async #stalled(): Promise<void> {
    if (!Number.isFinite(this.#disk.capacityBytes)) await new Promise(() => undefined);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }

  /** Room comes back: everything that waited is written, nothing was skipped, and nobody was restarted. */
  async #freeSpace(pending: readonly Promise<void>[]): Promise<void> {
    this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
    let isDone = false;
    const all = Promise.all(pending).then(() => {
      isDone = true;
    });
    for (let turn = 0; turn < 10_000 && !isDone; turn++) {
      const timers = this.#timers;
      this.#timers = [];
      for (const run of timers) run();
      await Promise.resolve();
    }
    demand(isDone, "a full disk that was freed goes on", () => "appends still wait");
    await all;
    demand(!this.#hasFailed, "a full disk refuses nothing", () => "an append was rejected");
    this.#count("full disk freed");
  }

  /** What is read is what was written, or an error. */
  #read(log: Log): void {
    const { entries } = this.#model.states[this.#model.states.length - 1] as Content;
    const lo = this.#random.range(log.firstIndex(), Math.max(log.firstIndex(), log.lastIndex()));
    try {
      for (const { index, term, data } of log.entries(lo, lo + 5, 4000)) {
        const expected = entries[index - 1];
        const isRight = expected === undefined || expected.startsWith(`${index} ${term} `);
        demand(isRight, "what is read was written", () => `${index}@${term}, ${data.length} bytes: ${expected}`);
      }
    } catch (error) {
      if (error instanceof Violation) throw error;
      this.#count("reads refused");
    }
  }

  #crash(): void {
    if (this.#disk.hasUnsyncedNames) this.#count("power lost between a rename and its directory's sync");
    this.#disk.crash(this.#random);
  }

  async #recoverUntil(steps: number): Promise<void> {
    this.#disk.powerLostAt = this.#disk.steps + steps;
    await openLog("", this.#options()).catch(() => undefined);
  }

  /** No rot was planted: whatever the power did, this is no damage, and what was acknowledged is there. */
  async #recover(where: string): Promise<Content> {
    this.#disk.failNext = undefined;
    const { log, recovered } = await openLog("", this.#options());
    demand(recovered.damage.kind === "none", "a crash is no corruption", () => JSON.stringify(recovered.damage));
    const content = contentOf(log, recovered);
    this.#note(`${where}: ${recovered.firstIndex}..${recovered.lastIndex}, ${recovered.tornBytes} torn bytes`);
    if (recovered.tornBytes > 0) this.#count("torn tails cut");
    demand(this.#model.allows(content, this.#acknowledged), "what was acknowledged is there, and nothing else", () => {
      return `${where} finds ${recovered.firstIndex}..${recovered.lastIndex} after ${this.#acknowledged} records`;
    });
    return content;
  }

  /**
   * After a failed sync the pages count as clean: what the process reads back may be in memory only. The next process
   * builds on what it reads, so it must have made that durable first.
   */
  async #afterFailure(): Promise<void> {
    this.#count(this.#hasFailed ? "a failure was answered" : "a failure met nobody");
    if (this.#random.chance(0.4)) this.#crash();
    else this.#disk.restartProcess();
    await this.#recoverTwice("after the failure");
  }

  /** What was cut never comes back and what was found stays, also when the power goes before anything else is written. */
  async #recoverTwice(where: string): Promise<void> {
    const before = await this.#recover(where);
    this.#crash();
    const after = await this.#recover(`${where} and a power cut`);
    demand(JSON.stringify(after) === JSON.stringify(before), "what a recovery found stays", () => {
      return `${before.entries.length} entries, then ${after.entries.length}`;
    });
  }

  /** One place of a log at rest changes: it must be reported, or change nothing. */
  async #decay(): Promise<void> {
    const before = await this.#contentNow();
    const names = this.#disk.list().sort();
    const name = this.#random.pick(names);
    let isEndGone = false;
    this.#disk.rot(name, (bytes) => {
      if (bytes.length === 0) return;
      if (this.#disaster === "bit rot") {
        const at = this.#random.range(0, bytes.length - 1);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#random.range(0, 7));
        return;
      }
      const to = this.#random.range(0, Math.floor(bytes.length / SECTOR_BYTES) - 1) * SECTOR_BYTES;
      const from = this.#random.range(0, Math.floor(bytes.length / SECTOR_BYTES) - 1) * SECTOR_BYTES;
      const end = bytes.findLastIndex((byte) => byte !== 0);
      isEndGone =
        name === names.filter((each) => /\d$/.test(each)).pop() &&
        to <= end &&
        end - CLOSING_GROUP_BYTES < to + SECTOR_BYTES;
      bytes.copyWithin(to, from, from + SECTOR_BYTES);
    });
    const { log, recovered } = await openLog("", this.#options());
    if (recovered.damage.kind === "corrupt") {
      this.#count("damage reported");
      const why = await log.append({ entries: [], commit: 0 }).then(
        () => "accepted",
        (error: Error & { code?: string }) => error.code,
      );
      demand(why === "log-damaged", "a damaged log is not written", () => String(why));
      return;
    }
    const content = contentOf(log, recovered);
    if (isEndGone && this.#model.allows(content, 0)) {
      // A log whose last sector went to another place ends before it, and nothing on this box can tell (consensus.md
      // section 3): the last records and the empty group behind them may share it. The other boxes have them.
      this.#count("the last sector is gone, and nobody can tell");
      return;
    }
    demand(JSON.stringify(content) === JSON.stringify(before), "corruption is reported and never served", () => {
      return `${name}: ${before.entries.length} entries, then ${recovered.lastIndex - recovered.firstIndex + 1}`;
    });
    this.#count("decay where nothing was");
  }

  async #contentNow(): Promise<Content> {
    const { log, recovered } = await openLog("", this.#options());
    const content = contentOf(log, recovered);
    await log.close();
    return content;
  }

  #options(): LogOptions {
    const after = (_delayMs: number, callback: () => void): (() => void) => {
      this.#timers.push(callback);
      return () => {
        this.#timers = this.#timers.filter((other) => other !== callback);
      };
    };
    const onPoison = (): void => {
      this.#isPoisoned = true;
    };
    return { ...logOptions(this.#disk, this.#random), disk: this.#diskOfLife(), after, onPoison };
  }

  /** The disk as one process sees it: once the next one has begun, nothing that the former one left behind reaches it. */
  #diskOfLife(): Disk {
    const life = ++this.#life;
    const alive = <T>(work: () => T): T => {
      if (life !== this.#life) throw new Error("this process is over");
      return work();
    };
    const disk = this.#disk;
    return {
      open: (name, mode) => {
        const file = alive(() => disk.open(name, mode));
        return {
          pread: (offset, length) => alive(() => file.pread(offset, length)),
          pwrite: (offset, bytes) => alive(() => file.pwrite(offset, bytes)),
          fdatasync: () => alive(() => file.fdatasync()),
          sizeBytes: () => alive(() => file.sizeBytes()),
          close: () => file.close(),
        };
      },
      rename: (from, to) => alive(() => disk.rename(from, to)),
      unlink: (name) => alive(() => disk.unlink(name)),
      list: () => alive(() => disk.list()),
      fsyncDirectory: () => alive(() => disk.fsyncDirectory()),
    };
  }

  #count(name: string): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }

  #note(line: string): void {
    this.seen.push(line);
    this.#trace(line);
  }
}
