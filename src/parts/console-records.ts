import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { errorChain } from "../base/error.ts";
import { createRpc } from "../cli/client/rpc.ts";
import type { ConsoleRecord } from "../console/ports.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/** What waits for the cluster; a person makes a dozen in a bad night, and wrong passwords come slower and slower. */
const WAITING_MAX = 500;
/** One that has not ended by then never will: its box lost its power in the middle. */
const BEGUN_MS_MAX = 600_000;
/** How often a box looks for what its consoles left, ms. */
const LOOK_EVERY_MS = 2000;

/** What was done on this box's consoles and is not on the cluster's record yet: a file each, in a directory. */
export class ConsoleRecords {
  readonly #directory: string;
  readonly #spare: string;

  /** `spare`: in memory, for when the disk takes nothing. */
  constructor(directory: string, spare: string) {
    this.#directory = directory;
    this.#spare = spare;
  }

  /** Never throws. `why`: it is not durable. The second call with the same id replaces the first. */
  put(fact: Omit<ConsoleRecord, "id" | "at"> & { readonly id?: string }): { id: string; why: string | undefined } {
    const { id = randomBytes(16).toString("hex"), ...rest } = fact;
    const text = JSON.stringify({ id, at: Date.now(), ...rest });
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      if (readdirSync(this.#directory).length >= WAITING_MAX) this.#dropOldest();
      writeFileDurably(`${this.#directory}/${id}.json`, text);
      return { id, why: undefined };
    } catch (error) {
      return { id, why: this.#putAside(id, text, errorChain(error)) };
    }
  }

  /** All that waits, oldest first; what cannot be read is no record. */
  waiting(): readonly ConsoleRecord[] {
    return [this.#directory, this.#spare]
      .flatMap((directory) =>
        existsSync(directory) ? readdirSync(directory).map((name) => `${directory}/${name}`) : [],
      )
      .filter((path) => path.endsWith(".json"))
      .flatMap((path) => readRecord(path))
      .sort((a, b) => a.at - b.at);
  }

  /** It is on the cluster's record. */
  drop(id: string): void {
    for (const directory of [this.#directory, this.#spare]) rmSync(`${directory}/${id}.json`, { force: true });
  }

  #putAside(id: string, text: string, why: string): string {
    try {
      mkdirSync(this.#spare, { recursive: true, mode: 0o700 });
      writeFileSync(`${this.#spare}/${id}.json`, text, { mode: 0o600 });
      return `${why}; kept in memory until the power goes`;
    } catch (error) {
      return `${why}; ${errorChain(error)}`;
    }
  }

  #dropOldest(): void {
    const paths = readdirSync(this.#directory).map((name) => `${this.#directory}/${name}`);
    const [oldest] = paths.sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs);
    if (oldest !== undefined) rmSync(oldest, { force: true });
  }
}

function readRecord(path: string): ConsoleRecord[] {
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as ConsoleRecord;
    return typeof value.id === "string" && typeof value.at === "number" ? [value] : [];
  } catch {
    return [];
  }
}

/**
 * Puts what this box's consoles left on the cluster's record, as soon as there is a quorum again; for the life of main.
 * A record that arrives twice is there once.
 */
export function deliverConsoleRecords(options: {
  readonly records: ConsoleRecords;
  readonly endpoint: string;
  readonly session: () => string | undefined;
  readonly log: (text: string) => void;
}): { stop(): void } {
  const { records, session, log } = options;
  const rpc = createRpc({ endpoint: () => options.endpoint, session: () => session() ?? "" });
  let isBusy = false;
  let lastWhy = "";
  const deliver = async (): Promise<void> => {
    const ready = records
      .waiting()
      .filter((one) => one.outcome !== "begun" || Date.now() - one.at > BEGUN_MS_MAX || one.at > Date.now());
    if (ready.length === 0 || session() === undefined) return;
    for (const record of ready) {
      await rpc.write("ringfence.console.record", JSON.stringify(record));
      records.drop(record.id);
      log(`console ${record.line}: ${record.action} ${record.detail}: ${record.outcome}, on the cluster's record`);
    }
    lastWhy = "";
  };
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    deliver()
      .catch((error: unknown) => {
        // Without a quorum this is every time: said once.
        const why = errorChain(error);
        if (why !== lastWhy) log(`what was done on a console waits for the cluster's record: ${why}`);
        lastWhy = why;
      })
      .finally(() => {
        isBusy = false;
      });
  }, LOOK_EVERY_MS);
  return { stop: () => clearInterval(timer) };
}
