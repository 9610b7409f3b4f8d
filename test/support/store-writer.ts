/**
 * A process that writes a log or a state as fast as it can and prints each acknowledged index, until it is killed:
 *
 *     bun store-writer.ts log|state DIRECTORY
 */
import { type Entry, encodeEntry } from "../../src/base/entry.ts";
import { openLog } from "../../src/store/log/log.ts";
import { openState } from "../../src/store/state/state.ts";
import type { CommittedEntry } from "../../src/store/state/types.ts";

const [what, directory = ""] = process.argv.slice(2);

if (what === "log") await writeLog();
else await writeState();

async function writeLog(): Promise<void> {
  const { log } = await openLog(directory, { segmentSizeBytes: 65_536 });
  for (;;) {
    const first = log.lastIndex() + 1;
    const batch = Array.from({ length: 1 + (first % 7) }, (_, at) => ({
      index: first + at,
      term: 1,
      kind: "normal" as const,
      data: new Uint8Array(50 + ((first + at) % 400)).fill((first + at) & 0xff),
    }));
    const waiting = batch.map((entry) => log.append({ entries: [entry], commit: first - 1 }));
    await Promise.all(waiting);
    process.stdout.write(`${first + batch.length - 1}\n`);
  }
}

/** Each entry writes two rows that must agree with each other and with the applied index. */
async function writeState(): Promise<void> {
  const state = await openState(directory, { featureLevel: 1 });
  const entry = (index: number, statements: Entry["statements"]): CommittedEntry => ({
    index,
    term: 1,
    kind: "normal",
    data: encodeEntry({
      version: 1,
      requestId: `writer:${index}`,
      kind: "test",
      at: 0,
      guards: [],
      statements,
      tags: [],
    }),
  });
  if (state.appliedIndex === 0) {
    const tables = ["CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (id INTEGER PRIMARY KEY, text TEXT)"];
    await state.apply([
      entry(
        1,
        tables.map((sql) => ({ sql, values: [] })),
      ),
    ]);
  }
  for (;;) {
    const first = state.appliedIndex + 1;
    const entries = Array.from({ length: 1 + (first % 50) }, (_, at) =>
      entry(first + at, [
        { sql: "INSERT INTO a VALUES (?)", values: [first + at] },
        { sql: "INSERT INTO b VALUES (?, ?)", values: [first + at, "x".repeat(500)] },
      ]),
    );
    await state.apply(entries);
    process.stdout.write(`${state.appliedIndex}\n`);
    if (first % 3 === 0) await state.checkpoint();
  }
}
