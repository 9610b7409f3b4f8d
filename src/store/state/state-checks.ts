import { contentHash } from "./content-hash.ts";
import { isDatabaseError } from "./store-tables.ts";
import type { Database, OpenDatabase, StateCheck } from "./types.ts";

/** So many entries lie between two checks; a transaction ends at each. */
export const CHECK_ENTRIES = 1024;
/**
 * A look at the content takes 25 ms of a processor with 40 MB of state (measured), so under heavy writing only each 2nd,
 * 4th, … check has one, for about one in this time, ms (1 %) …
 */
const LOOK_EVERY_MS = 2_000;
/** … and at least each so-and-so many-th. Powers of two, because what one box looks at another that is busier must look at too. */
const STRIDE_MAX = 64;
/** A reader that takes longer keeps SQLite's log from being moved, ms. */
const LOOK_TIMEOUT_MS = 5_000;
/** Two ride with each heartbeat answer; a box that lags is compared by the older ones. */
const KEPT_MAX = 8;

/** Content that SQLite cannot read (a damaged page): no other box has this value, so it is found like a changed one. */
const UNREADABLE = "f".repeat(64);

/** What this box's state was at pinned indexes, to be compared with other boxes. */
export class StateChecks {
  readonly #path: string;
  readonly #openDatabase: OpenDatabase;
  readonly #comparable: string;
  #checks: StateCheck[] = [];
  #looking: Promise<void> = Promise.resolve();
  #isLooking = false;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #database: Database | undefined;

  /** `comparable` as in {@link StateHash}. */
  constructor(path: string, openDatabase: OpenDatabase, comparable: string) {
    this.#path = path;
    this.#openDatabase = openDatabase;
    this.#comparable = comparable;
  }

  /** Newest last. */
  all(): readonly StateCheck[] {
    return this.#checks;
  }

  /** Between two transactions, the first of which ended at `index`. Resolves when the content of now is pinned; never rejects. */
  async at(index: number, running: string): Promise<void> {
    const number = index / CHECK_ENTRIES;
    const now = performance.now();
    const isDue = number % strideFor(now - this.#checkedAt) === 0;
    this.#checkedAt = now;
    const check = { index, comparable: this.#comparable, running };
    if (this.#isLooking || !isDue) return this.#add({ ...check, content: "" });
    this.#isLooking = true;
    try {
      const database = await this.#pinned(index);
      this.#looking = this.#look(database, number).then((content) => {
        this.#isLooking = false;
        this.#add({ ...check, content });
      });
    } catch {
      // What cannot be read here is an error of the next read or write, which says so.
      this.#isLooking = false;
      this.#add({ ...check, content: "" });
    }
  }

  async close(): Promise<void> {
    await this.#looking;
    await this.#database?.close();
  }

  async #pinned(index: number): Promise<Database> {
    this.#database ??= await this.#openDatabase(this.#path, "read");
    const database = this.#database;
    await database.run("BEGIN", []);
    const [[applied] = []] = await database.all("SELECT applied_index FROM ringfence_state", []);
    if (applied === index) return database;
    await database.run("COMMIT", []);
    throw new Error(`the content of ${String(applied)} was pinned for ${index}`);
  }

  /** "" when it was not to be had in time. */
  async #look(database: Database, number: number): Promise<string> {
    const timer = setTimeout(() => database.interrupt(), LOOK_TIMEOUT_MS);
    try {
      return await contentHash(database, number);
    } catch (error) {
      return isDatabaseError(error) && error.kind === "local" ? UNREADABLE : "";
    } finally {
      clearTimeout(timer);
      await database.run("COMMIT", []).catch(() => undefined);
    }
  }

  #add(check: StateCheck): void {
    this.#checks = [...this.#checks, check].sort((a, b) => a.index - b.index).slice(-KEPT_MAX);
  }
}

/** Every how many-th check has a look, when checks are `intervalMs` apart. */
export function strideFor(intervalMs: number): number {
  let stride = 1;
  while (stride < STRIDE_MAX && stride * intervalMs < LOOK_EVERY_MS) stride *= 2;
  return stride;
}
