// The state database of store/state as it ships, real SQLite and all: one committed log, applied by three boxes that are
// killed, lose their last transactions and fail on their own disks. Slow, so few seeds. A seed makes the log and so the
// state at its end; how long SQLite takes decides which batches are split, and so on which statement a box's own error falls.

import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { type Entry, encodeEntry, type Outcome, type Statement } from "../../src/base/entry.ts";
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { openSqlitePackage } from "../../src/store/state/sqlite-package.ts";
import { openState, STATE_FILE } from "../../src/store/state/state.ts";
import type { CommittedEntry, Database, OpenDatabase, State } from "../../src/store/state/types.ts";
import { demand, Violation } from "./violation.ts";

const BOXES = 3;
const KEYS = 4;
/** As a client sees a box of its own disk fail. */
const LOCAL_ERROR = "SQLITE_IOERR";

export interface StateRun {
  readonly failure: Error | undefined;
  readonly hash: string;
  readonly counters: ReadonlyMap<string, number>;
}

/** One seed: a log, and three boxes that apply it each in its own way. */
export async function runStateSeed(seed: number, trace: (line: string) => void = () => undefined): Promise<StateRun> {
  const directory = fs.mkdtempSync(`${tmpdir()}/ringfence-sim-state-`);
  const run = new Run(seed, directory, trace);
  let failure: Error | undefined;
  try {
    await run.live();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    failure = error;
  } finally {
    await run.end();
    fs.rmSync(directory, { recursive: true, force: true });
  }
  return { failure, hash: run.hash, counters: run.counters };
}

/** A box's own disk fails once, after so many statements of what it applies. */
interface Trouble {
  in: number;
  isArmed: boolean;
}

class Run {
  readonly #random: Prng;
  readonly #directory: string;
  readonly #trace: (line: string) => void;
  readonly #entries: CommittedEntry[] = [];
  readonly #requests: string[] = [];
  /** By index: what the first box that got there says. */
  readonly #hashes: string[] = [];
  readonly #outcomes = new Map<string, string>();
  readonly #open = new Set<State>();
  readonly counters = new Map<string, number>();
  hash = "";

  constructor(seed: number, directory: string, trace: (line: string) => void) {
    this.#random = createPrng(seed);
    this.#directory = directory;
    this.#trace = trace;
  }

  async live(): Promise<void> {
    this.#write();
    for (let box = 1; box <= BOXES; box++) await this.#apply(box);
    this.hash = this.#hashes[this.#entries.length] ?? "";
  }

  async end(): Promise<void> {
    for (const state of this.#open) await state.close();
  }

  // --- the log ---

  #write(): void {
    const counter = "CREATE TABLE counter (key INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK (value < 12), note)";
    this.#entry("founder:1", [{ sql: counter, values: [] }]);
    for (let key = 1; key <= KEYS; key++)
      this.#entry(`founder:${key + 1}`, [{ sql: "INSERT INTO counter VALUES (?, 0, NULL)", values: [key] }]);
    for (let n = this.#random.range(15, 50); n > 0; n--) {
      const isRetry = this.#requests.length > 0 && this.#random.chance(0.2);
      const requestId = isRetry ? this.#random.pick(this.#requests) : `client${this.#random.range(1, 3)}:${n}`;
      this.#requests.push(requestId);
      this.#entry(requestId, this.#statements());
    }
  }

  #statements(): Statement[] {
    const key = this.#random.range(1, KEYS);
    const add = { sql: "UPDATE counter SET value = value + 1 WHERE key = ?", values: [key] };
    switch (this.#random.range(0, 5)) {
      case 0:
        return [{ sql: "UPDATE counter SET value = value + 1 WHERE key = ? RETURNING value", values: [key] }];
      case 1:
        // Two changes or none: the second may break the constraint.
        return [add, { sql: "UPDATE counter SET value = value + 5 WHERE key = ?", values: [(key % KEYS) + 1] }];
      case 2:
        return [{ sql: "INSERT INTO counter VALUES (?, 0, NULL)", values: [key] }];
      case 3:
        // Every box would note something else: it must be refused by all.
        return [{ sql: "UPDATE counter SET note = random() WHERE key = ? RETURNING note", values: [key] }];
      default:
        return [add];
    }
  }

  #entry(requestId: string, statements: readonly Statement[]): void {
    const guards =
      this.#entries.length > KEYS && this.#random.chance(0.3)
        ? [
            {
              sql: "SELECT value FROM counter WHERE key = 1",
              values: [],
              expect: [[this.#random.range(0, 3)]],
              why: "x",
            },
          ]
        : [];
    const entry: Entry = { version: 1, requestId, kind: "sim", at: 0, guards, statements, tags: [] };
    const index = this.#entries.length + 1;
    this.#entries.push({ index, term: 1, kind: "normal", data: encodeEntry(entry) });
  }

  // --- a box ---

  /** Applies all of the log, in batches of its own, over the ends of its processes. */
  async #apply(box: number): Promise<void> {
    const home = `${this.#directory}/${box}`;
    const isHit = this.#random.chance(0.4);
    const trouble: Trouble = { in: isHit ? this.#random.range(5, 60) : Number.POSITIVE_INFINITY, isArmed: false };
    let state = await this.#start(home, trouble);
    let saved = 0;
    while (state.appliedIndex < this.#entries.length) {
      const from = state.appliedIndex;
      const batch = this.#entries.slice(from, from + this.#random.range(1, 9));
      const isDone = await this.#batch(state, box, batch, trouble);
      if (isDone && this.#random.chance(0.15)) {
        await state.checkpoint();
        saved = state.durableAppliedIndex;
      }
      if (isDone && this.#random.chance(0.8)) continue;
      await this.#crash(state, home, this.#random.chance(0.5));
      state = await this.#start(home, trouble);
      demand(state.appliedIndex >= saved, "what a checkpoint made durable stays", () => `${state.appliedIndex}`);
      this.#judgeHash(state, box);
    }
    await this.#judgeRows(state, box);
    await this.#stop(state);
  }

  /** False when this box failed, as it must on an error of its own. */
  async #batch(state: State, box: number, batch: readonly CommittedEntry[], trouble: Trouble): Promise<boolean> {
    const before = state.appliedIndex;
    trouble.isArmed = true;
    try {
      for (const { index, requestId, outcome } of await state.apply(batch))
        this.#judgeOutcome(index, requestId, outcome);
    } catch (error) {
      if (error instanceof Violation) throw error;
      this.#count("local errors");
      this.#trace(`box ${box} fails after ${before}: ${error instanceof Error ? error.message : error}`);
      return false;
    } finally {
      trouble.isArmed = false;
    }
    this.#judgeHash(state, box);
    return true;
  }

  #judgeOutcome(index: number, requestId: string, outcome: Outcome): void {
    const text = JSON.stringify(outcome);
    const known = this.#outcomes.get(requestId);
    if (known === undefined) this.#outcomes.set(requestId, text);
    else demand(known === text, "a request has one outcome", () => `${requestId} at ${index}: ${known}, then ${text}`);
    this.#count(`${outcome.kind} outcomes`);
  }

  #judgeHash(state: State, box: number): void {
    const { index, hash } = state.hash;
    const known = this.#hashes[index];
    if (known === undefined) this.#hashes[index] = hash;
    else demand(known === hash, "one state per applied index", () => `box ${box} differs at ${index}`);
  }

  async #judgeRows(state: State, box: number): Promise<void> {
    const rows = JSON.stringify(await state.read("SELECT key, value, note FROM counter ORDER BY key"));
    const known = this.#outcomes.get("");
    if (known === undefined) this.#outcomes.set("", rows);
    else demand(known === rows, "all boxes hold the same rows", () => `box ${box}: ${rows}, box 1: ${known}`);
  }

  async #start(home: string, trouble: Trouble): Promise<State> {
    const openDatabase: OpenDatabase = async (path, mode) => failing(await openSqlitePackage(path, mode), trouble);
    const state = await openState(home, { featureLevel: 1, openDatabase });
    this.#open.add(state);
    return state;
  }

  async #stop(state: State): Promise<void> {
    this.#open.delete(state);
    await state.close();
  }

  /**
   * The process or the power goes: closing would tidy up, so what is on the disk is put aside before, and back after it.
   * A power cut takes the WAL, of which nothing was synced: what no checkpoint has moved is lost.
   */
  async #crash(state: State, home: string, isPowerCut: boolean): Promise<void> {
    const kept = isPowerCut ? [STATE_FILE] : [STATE_FILE, `${STATE_FILE}-wal`];
    const files = kept.filter((name) => fs.existsSync(`${home}/${name}`));
    const aside = `${home}-aside`;
    fs.mkdirSync(aside);
    for (const name of files) fs.copyFileSync(`${home}/${name}`, `${aside}/${name}`);
    await this.#stop(state);
    fs.rmSync(home, { recursive: true });
    fs.renameSync(aside, home);
    this.#count(isPowerCut ? "power cuts" : "kills");
  }

  #count(name: string): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }
}

/** The binding, with a disk that fails once after so many statements: an error of this box alone. */
function failing(database: Database, trouble: Trouble): Database {
  const meet = (): void => {
    if (!trouble.isArmed || --trouble.in !== 0) return;
    throw Object.assign(new Error("disk I/O error"), { kind: "local", result: LOCAL_ERROR });
  };
  return {
    run: async (sql, values) => {
      meet();
      return await database.run(sql, values);
    },
    all: async (sql, values) => {
      meet();
      return await database.all(sql, values);
    },
    allRows: (sql, values) => database.allRows(sql, values),
    script: async (sql) => {
      meet();
      await database.script(sql);
    },
    interrupt: () => database.interrupt(),
    close: () => database.close(),
  };
}
