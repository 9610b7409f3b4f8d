import { CodedError } from "../../base/error.ts";
import { isDatabaseError } from "./store-tables.ts";
import type { Database, OpenDatabase } from "./types.ts";

/** Reads that wait for a connection. More is an answer (busy), not a longer queue. */
const WAITING_MAX = 256;

/** Reading connections, opened when needed; each read is bounded in time. */
export class Readers {
  readonly #path: string;
  readonly #openDatabase: OpenDatabase;
  readonly #connectionsMax: number;
  readonly #timeoutMs: number;
  #idle: Database[] = [];
  #active = 0;
  #waiting: (() => void)[] = [];
  #paused: { readonly drained: () => void } | undefined;

  constructor(path: string, openDatabase: OpenDatabase, connectionsMax: number, timeoutMs: number) {
    this.#path = path;
    this.#openDatabase = openDatabase;
    this.#connectionsMax = connectionsMax;
    this.#timeoutMs = timeoutMs;
  }

  async read<T>(sql: string, work: (database: Database) => Promise<T>): Promise<T> {
    await this.#enter(sql);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let database: Database | undefined;
    try {
      database = this.#idle.pop() ?? (await this.#open());
      const running = database;
      timer = setTimeout(() => running.interrupt(), this.#timeoutMs);
      return await work(running);
    } catch (error) {
      if (isDatabaseError(error) && error.kind === "interrupted") {
        throw new CodedError("read-timeout", `Cannot read "${sql}": it took more than ${this.#timeoutMs} ms`, error);
      }
      throw new CodedError("read-failed", `Cannot read "${sql}"`, error);
    } finally {
      clearTimeout(timer);
      if (database !== undefined) this.#idle.push(database);
      this.#leave();
    }
  }

  /** Lets the running reads end (each is bounded), holds new ones, runs `work`. */
  async paused<T>(work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#paused = { drained: resolve };
      if (this.#active === 0) resolve();
    });
    try {
      return await work();
    } finally {
      this.#paused = undefined;
      for (let free = this.#connectionsMax - this.#active; free > 0; free--) this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    await this.paused(async () => {
      for (const database of this.#idle) await database.close();
      this.#idle = [];
    });
  }

  async #enter(sql: string): Promise<void> {
    if (this.#paused !== undefined || this.#active >= this.#connectionsMax) {
      if (this.#waiting.length >= WAITING_MAX) {
        throw new CodedError("read-busy", `Cannot read "${sql}": ${WAITING_MAX} reads are waiting`);
      }
      await new Promise<void>((resolve) => {
        this.#waiting.push(() => {
          this.#active++;
          resolve();
        });
      });
      return;
    }
    this.#active++;
  }

  #leave(): void {
    this.#active--;
    if (this.#paused === undefined) this.#waiting.shift()?.();
    else if (this.#active === 0) this.#paused.drained();
  }

  async #open(): Promise<Database> {
    const database = await this.#openDatabase(this.#path, "read");
    try {
      await database.all("PRAGMA query_only = ON", []);
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }
}
