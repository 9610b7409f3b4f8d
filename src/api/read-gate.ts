import type { SqlValue } from "../base/entry.ts";
import type { Row } from "../one/query.ts";
import type { ApiPorts } from "./ports.ts";

/**
 * Queries that are in the database's hands at once. It has four connections and refuses what would wait behind 256; a
 * burst of clients is to wait here, where the bound is that of the calls, and other parts of the box read meanwhile.
 */
const QUERIES_MAX = 64;

/** Lets a bounded number of queries through, the others in the order they came. */
export class ReadGate {
  readonly #query: ApiPorts["query"];
  readonly #waiting: (() => void)[] = [];
  #open = 0;

  constructor(query: ApiPorts["query"]) {
    this.#query = query;
  }

  async query(sql: string, values: readonly SqlValue[]): Promise<readonly Row[]> {
    if (this.#open >= QUERIES_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#open++;
    try {
      return await this.#query(sql, values);
    } finally {
      // The place is handed on, so that nobody who comes in between takes it.
      const next = this.#waiting.shift();
      if (next === undefined) this.#open--;
      else next();
    }
  }
}
