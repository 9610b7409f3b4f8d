import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Change, type Entry, encodeEntry, type Outcome, type SqlValue } from "../../../src/base/entry.ts";
import { createPrng } from "../../../src/base/prng.ts";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import { openState } from "../../../src/store/state/state.ts";
import type { Applied, CommittedEntry, Database, State, StateOptions } from "../../../src/store/state/types.ts";

const root = `/tmp/ringfence-test-state-${process.pid}`;
let directories = 0;

const schema = [
  {
    sql: "CREATE TABLE host (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL)",
    values: [],
  },
  { sql: "CREATE TABLE counter (name TEXT PRIMARY KEY, next INTEGER NOT NULL)", values: [] },
  { sql: "INSERT INTO counter VALUES ('host', 0)", values: [] },
];

/** Makes committed entries with indexes that follow each other. */
class Log {
  index = 0;
  sequence = 0;

  entry(change: Partial<Change>, requestId?: string): CommittedEntry {
    this.sequence++;
    const entry: Entry = {
      version: 1,
      requestId: requestId ?? `box1:${this.sequence}`,
      kind: "test",
      at: 0,
      guards: change.guards ?? [],
      statements: change.statements ?? [],
      tags: change.tags ?? [],
    };
    return this.raw(encodeEntry(entry));
  }

  raw(data: Uint8Array, kind: "normal" | "membership" = "normal"): CommittedEntry {
    this.index++;
    return { index: this.index, term: 1, kind, data };
  }

  host(id: SqlValue, name: SqlValue, requestId?: string): CommittedEntry {
    return this.entry(
      { statements: [{ sql: "INSERT INTO host VALUES (?, ?, 0)", values: [id, name] }], tags: [`host:${id}`] },
      requestId,
    );
  }
}

async function withState(work: (state: State, log: Log, directory: string) => Promise<void>): Promise<void> {
  directories++;
  const directory = `${root}/${directories}`;
  const state = await openState(directory, { featureLevel: 1 });
  try {
    const log = new Log();
    await state.apply([log.entry({ statements: schema })]);
    await work(state, log, directory);
  } finally {
    await state.close();
    fs.rmSync(root, { recursive: true, force: true });
  }
}

async function rejection(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "resolved";
}

async function one(state: State, entry: CommittedEntry): Promise<Outcome> {
  const [applied] = await state.apply([entry]);
  if (applied === undefined) throw new Error("nothing applied");
  return applied.outcome;
}

test("an entry's statements are done together, with rows, change counts, index and term", () =>
  withState(async (state, log) => {
    const outcome = await one(
      state,
      log.entry({
        statements: [
          { sql: "UPDATE counter SET next = next + 1 WHERE name = 'host' RETURNING next - 1 AS id", values: [] },
          { sql: "INSERT INTO host SELECT next - 1, ?, 0 FROM counter WHERE name = 'host' ORDER BY 1", values: ["a"] },
          { sql: "UPDATE host SET version = 1 WHERE id = 99", values: [] },
        ],
      }),
    );
    assert.equal(outcome, { kind: "done", index: 2, rows: [[[0]], [], []], changes: [1, 1, 0] });
    assert.equal(await state.read("SELECT id, name FROM host"), [[0, "a"]]);
    assert.equal(await state.readRows("SELECT name FROM host WHERE id = ?", [0]), [{ name: "a" }]);
    assert.is(state.appliedIndex, 2);
    assert.is(state.appliedTerm, 1);
  }));

test("no-ops and memberships only move the applied index", () =>
  withState(async (state, log) => {
    const applied = await state.apply([log.raw(new Uint8Array(0)), log.raw(new Uint8Array([1, 2]), "membership")]);
    assert.equal(
      applied.map(({ requestId, outcome }) => [requestId, outcome.kind]),
      [
        ["", "done"],
        ["", "done"],
      ],
    );
    assert.is(state.appliedIndex, 3);
  }));

test("a failed guard rejects, says why, and changes nothing", () =>
  withState(async (state, log) => {
    await state.apply([log.host(1, "a")]);
    const change = (version: number): CommittedEntry =>
      log.entry({
        guards: [
          { sql: "SELECT name FROM host WHERE id = ?", values: [1], expect: [["a"]], why: "gone" },
          { sql: "SELECT version FROM host WHERE id = ?", values: [1], expect: [[version]], why: "changed meanwhile" },
          { sql: "SELECT id FROM host WHERE id = 2", values: [], expect: [], why: "taken" },
        ],
        statements: [{ sql: "UPDATE host SET version = version + 1 WHERE id = 1", values: [] }],
      });
    assert.is((await one(state, change(0))).kind, "done");
    assert.equal(await one(state, change(0)), { kind: "rejected", index: 4, by: "guard", why: "changed meanwhile" });
    assert.equal(await state.read("SELECT version FROM host"), [[1]]);
  }));

test("a constraint or type error rejects the whole entry and no other of its batch", () =>
  withState(async (state, log) => {
    const applied = await state.apply([
      log.host(1, "a"),
      log.entry({
        statements: [
          { sql: "INSERT INTO host VALUES (2, 'b', 0)", values: [] },
          { sql: "INSERT INTO host VALUES (3, 'a', 0)", values: [] },
        ],
      }),
      log.host(4, null),
      log.host("x", "y"),
      log.entry({ statements: [{ sql: "INSERT INTO nowhere VALUES (1)", values: [] }] }),
      log.host(5, "e"),
    ]);
    assert.equal(
      applied.map(({ outcome }) => (outcome.kind === "rejected" ? outcome.by : outcome.kind)),
      ["done", "constraint", "constraint", "constraint", "constraint", "done"],
    );
    assert.equal(await state.read("SELECT id FROM host ORDER BY id"), [[1], [5]]);
    assert.is(state.appliedIndex, 7);
  }));

test("an entry may change the schema, and is rejected whole when it cannot", () =>
  withState(async (state, log) => {
    const bad = log.entry({
      statements: [
        { sql: "CREATE TABLE a (x)", values: [] },
        { sql: "CREATE TABLE host (x)", values: [] },
      ],
    });
    const good = log.entry({
      statements: [
        { sql: "ALTER TABLE host ADD COLUMN im TEXT", values: [] },
        { sql: "INSERT INTO host VALUES (1, 'a', 0, 'kvm')", values: [] },
      ],
    });
    const kinds = (await state.apply([bad, good])).map(({ outcome }) => outcome.kind);
    assert.equal(kinds, ["rejected", "done"]);
    assert.equal(await state.read("SELECT name FROM sqlite_schema WHERE name = 'a'"), []);
    assert.equal(await state.read("SELECT im FROM host"), [["kvm"]]);
  }));

test("what would leave the transaction or differ between boxes is rejected when applied, too", () =>
  withState(async (state, log) => {
    for (const sql of [
      "COMMIT",
      "INSERT OR ROLLBACK INTO host VALUES (1,'a',0)",
      "INSERT INTO host VALUES (random(), 'r', 0)",
    ]) {
      const outcome = await one(state, log.entry({ statements: [{ sql, values: [] }] }));
      assert.is(outcome.kind, "rejected", sql);
    }
    assert.equal(await state.read("SELECT count(*) FROM host"), [[0]]);
  }));

test("an integer above 2^53 is rejected, not rounded", () =>
  withState(async (state, log) => {
    const big = log.entry({ statements: [{ sql: "INSERT INTO host VALUES (?, 'a', 0)", values: [2 ** 53] }] });
    assert.is((await one(state, big)).kind, "rejected");
    assert.is((await one(state, log.host(2 ** 53 - 1, "b"))).kind, "done");
    assert.equal(await state.read("SELECT id FROM host"), [[2 ** 53 - 1]]);
  }));

test("a repeated request gets its first outcome and executes nothing", () =>
  withState(async (state, log, directory) => {
    const first = await one(state, log.host(1, "a", "cli:1"));
    const rejected = await one(state, log.host(1, "b", "cli:2"));
    const heard: string[] = [];
    state.onApplied((tags) => heard.push(...tags));
    assert.equal(await one(state, log.host(7, "g", "cli:1")), first);
    assert.equal(await one(state, log.host(8, "h", "cli:2")), rejected);
    assert.equal(state.outcomeOf("cli:1"), first);
    assert.is(state.outcomeOf("cli:3"), undefined);
    assert.equal(heard, [], "nothing is announced");
    await state.close();
    const again = await openState(directory, { featureLevel: 1 });
    assert.equal(await one(again, log.host(9, "i", "cli:1")), first, "also after a restart");
    assert.equal(await again.read("SELECT id FROM host"), [[1]]);
    await again.close();
  }));

test("an outcome with quotes and control characters is kept as it is", () =>
  withState(async (state, log, directory) => {
    const text = "it's \" \\ \u0000 \n '); DROP TABLE host; --";
    const returning = { sql: "INSERT INTO host VALUES (1, ?, 0) RETURNING name", values: ["it's ');--\n"] };
    const done = await one(state, log.entry({ statements: [returning] }, "c'l\"i:1"));
    const guard = { sql: "SELECT 1 AS x", values: [], expect: [], why: text };
    const rejected = await one(state, log.entry({ guards: [guard] }, "c'l\"i:2"));
    await state.close();
    const again = await openState(directory, { featureLevel: 1 });
    assert.equal(again.outcomeOf("c'l\"i:1"), done);
    assert.equal(again.outcomeOf("c'l\"i:2"), rejected);
    assert.equal(done.kind === "done" && done.rows, [[["it's ');--\n"]]]);
    assert.equal(rejected.kind === "rejected" && rejected.why, text);
    await again.close();
  }));

test("a repeat inside one batch executes once", () =>
  withState(async (state, log) => {
    const applied = await state.apply([log.host(1, "a", "cli:1"), log.host(2, "b", "cli:1")]);
    assert.equal(applied[1]?.outcome, applied[0]?.outcome);
    assert.equal(await state.read("SELECT id FROM host"), [[1]]);
  }));

test("a request below its client's window is expired and not executed", () =>
  withState(async (state, log) => {
    await state.apply([log.host(1, "a", "cli:1"), log.host(2, "b", "cli:65")]);
    assert.equal(await one(state, log.host(3, "c", "cli:1")), { kind: "expired" });
    assert.is((await one(state, log.host(4, "d", "cli:2"))).kind, "done", "never seen, in the window");
    assert.equal(await state.read("SELECT id FROM host ORDER BY id"), [[1], [2], [4]]);
  }));

test("of 1,025 clients the one unused for longest is forgotten, the same after a restart", () =>
  withState(async (state, log, directory) => {
    const noop = (client: string): CommittedEntry => log.entry({}, `${client}:1`);
    const name = (n: number): string => `c${n}@1`;
    await state.apply(Array.from({ length: 1024 }, (_, n) => noop(name(n))));
    await state.apply([log.entry({}, `${name(0)}:2`), noop(name(1024))]);
    const check = async (opened: State): Promise<void> => {
      assert.is(opened.outcomeOf(`${name(0)}:1`)?.kind, "done", "used again");
      assert.is(opened.outcomeOf(`${name(1)}:1`), undefined, "forgotten");
      assert.is(opened.outcomeOf(`${name(2)}:1`)?.kind, "done");
    };
    await check(state);
    assert.equal(
      await one(state, noop(name(1))),
      { kind: "expired" },
      "its name says that it is older than the forgotten",
    );
    await state.close();
    const again = await openState(directory, { featureLevel: 1 });
    await check(again);
    assert.equal(await one(again, noop(name(1))), { kind: "expired" });
    await one(again, log.entry({}, "fresh:1"));
    assert.is(again.outcomeOf(`${name(2)}:1`), undefined, "the next in the order of use");
    assert.is(again.outcomeOf(`${name(3)}:1`)?.kind, "done");
    await again.close();
  }));

test("tags of done entries are announced, each once, when readers see the batch", () =>
  withState(async (state, log) => {
    const heard: [readonly string[], number][] = [];
    const seen: Promise<SqlValue[][]>[] = [];
    const remove = state.onApplied((tags, index) => {
      heard.push([tags, index]);
      seen.push(state.read("SELECT count(*) FROM host"));
    });
    const insert = { sql: "INSERT INTO host VALUES (1, 'a', 0)", values: [] };
    await state.apply([log.entry({ statements: [insert], tags: ["host:1", "vm:7", "host:1"] })]);
    await state.apply([log.host(1, "rejected")]);
    assert.equal(heard, [[["host:1", "vm:7"], 2]]);
    assert.equal(await Promise.all(seen), [[[1]]]);
    remove();
    await state.apply([log.host(5, "e")]);
    assert.is(heard.length, 1);
  }));

test("the same entries give the same hash, whatever the batches and restarts; another effect gives another", async () => {
  const prng = createPrng(3);
  const log = new Log();
  const entries = [log.entry({ statements: schema })];
  for (let n = 0; n < 200; n++) {
    const id = prng.range(1, 60);
    const client = `c${prng.range(1, 5)}:${prng.range(1, 100)}`;
    entries.push(
      prng.chance(0.5)
        ? log.host(id, `n${id}`, client)
        : log.entry(
            {
              guards: [{ sql: "SELECT count(*) FROM host WHERE id = ?", values: [id], expect: [[1]], why: "gone" }],
              statements: [
                { sql: "UPDATE host SET version = version + 1 WHERE id = ? RETURNING version", values: [id] },
                { sql: "INSERT INTO host VALUES (?, ?, 0)", values: [id + 100, `m${prng.range(1, 40)}`] },
              ],
            },
            client,
          ),
    );
  }
  const run = async (directory: string, batch: () => number, reopen: boolean, input: CommittedEntry[]) => {
    let state = await openState(`${root}/${directory}`, { featureLevel: 1 });
    const outcomes: Applied[] = [];
    for (let at = 0; at < input.length; ) {
      const size = batch();
      outcomes.push(...(await state.apply(input.slice(at, at + size))));
      at += size;
      if (!reopen) continue;
      await state.close();
      state = await openState(`${root}/${directory}`, { featureLevel: 1 });
    }
    const dump = await state.read("SELECT id, name, version FROM host ORDER BY id");
    const { hash } = state;
    await state.close();
    return { hash, outcomes, dump };
  };
  const whole = await run("a", () => 1000, false, entries);
  const pieces = await run("b", () => prng.range(1, 20), true, entries);
  assert.equal(pieces, whole);
  const kinds = new Set(whole.outcomes.map(({ outcome }) => outcome.kind));
  assert.equal([...kinds].sort(), ["done", "expired", "rejected"], "the test meets every kind");
  const other = await run("c", () => 64, false, [
    ...entries.slice(0, -1),
    { ...log.host(9999, "zz"), index: entries.length },
  ]);
  assert.is.not(other.hash.hash, whole.hash.hash);
  fs.rmSync(root, { recursive: true, force: true });
});

test("an error of this box stops it before the applied index moves, and for good", async () => {
  const failing: { on: string | undefined; result: string } = { on: undefined, result: "SQLITE_IOERR" };
  const openFailing = async (path: string, mode: "read" | "write"): Promise<Database> => {
    const database = await openSqlitePackage(path, mode);
    const failIf = (sql: string): void => {
      // A text of several statements fails at any of them.
      if (failing.on === undefined || !sql.includes(failing.on)) return;
      throw Object.assign(new Error(`${failing.result}: injected`), { kind: "local", result: failing.result });
    };
    return {
      run: async (sql, values) => {
        failIf(sql);
        return database.run(sql, values);
      },
      all: (sql, values) => database.all(sql, values),
      allRows: (sql, values) => database.allRows(sql, values),
      script: async (sql) => {
        failIf(sql);
        return database.script(sql);
      },
      interrupt: () => database.interrupt(),
      close: () => database.close(),
    };
  };
  for (const on of ["BEGIN", "INSERT INTO host", "INSERT OR REPLACE INTO ringfence"]) {
    const options: StateOptions = { featureLevel: 1, openDatabase: openFailing };
    const log = new Log();
    failing.on = undefined;
    const state = await openState(`${root}/fail`, options);
    await state.apply([log.entry({ statements: schema }), log.host(1, "a")]);
    failing.on = on;
    assert.is(await rejection(state.apply([log.host(2, "b"), log.host(3, "c")])), "state-failed", on);
    failing.on = undefined;
    assert.is(state.appliedIndex, 2);
    assert.is(await rejection(state.apply([{ ...log.host(2, "b"), index: 3 }])), "state-failed");
    assert.is(await rejection(state.read("SELECT 1")), "state-failed");
    await state.close();
    const again = await openState(`${root}/fail`, options);
    assert.is(again.appliedIndex, 2);
    assert.equal(await again.read("SELECT id FROM host"), [[1]]);
    await again.close();
    fs.rmSync(root, { recursive: true, force: true });
  }
});

test("a full disk stops the box and says so", async () => {
  let writer: Database | undefined;
  const state = await openState(`${root}/full`, {
    featureLevel: 1,
    openDatabase: async (path, mode) => {
      const database = await openSqlitePackage(path, mode);
      if (mode === "write") writer ??= database;
      return database;
    },
  });
  const log = new Log();
  await state.apply([log.entry({ statements: schema })]);
  await writer?.all("PRAGMA max_page_count = 20", []);
  let message = "";
  try {
    for (let n = 0; n < 50; n++) await state.apply([log.host(n, "x".repeat(10_000) + n)]);
  } catch (error) {
    message = (error as Error).message;
  }
  assert.match(message, /disk is full/);
  await state.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test("a full disk is waited for: the batch is rolled back, done once there is room, and its outcomes are those of a roomy disk", async () => {
  /** Batches with all that sessions must not remember of a batch that was rolled back: repeats, rejections, rows. */
  const work = async (
    state: State,
    log: Log,
    limit: (pages: number) => Promise<unknown>,
  ): Promise<readonly Applied[]> => {
    const applied = [...(await state.apply([log.entry({ statements: schema })]))];
    for (let n = 0; n < 12; n++) {
      await limit(n % 3 === 2 ? 1 : 1_000_000);
      const returning = { sql: "INSERT INTO host VALUES (?, ?, 0) RETURNING id", values: [1000 + n, `r${n}`] };
      applied.push(
        ...(await state.apply([
          // The first fits on a page that is there, and is noted; what finds no room is the last but one.
          log.entry({ statements: [returning] }, `own:${n + 1}`),
          log.entry({ statements: [returning] }, `own:${n + 1}`),
          log.host(n, "x".repeat(9000) + n),
          log.host(n, "taken"),
        ])),
      );
    }
    return applied;
  };
  /** Rows after so many entries: the schema, then fours of a new row, its repetition, another new row, one refused. */
  const rowsAfter = (index: number): number => 2 * Math.floor((index - 1) / 4) + Math.ceil(((index - 1) % 4) / 2);
  const run = async (name: string, isTight: boolean): Promise<{ applied: unknown; rows: unknown; hash: string }> => {
    let writer: Database | undefined;
    const limit = async (pages: number): Promise<unknown> =>
      isTight ? writer?.all(`PRAGMA max_page_count = ${pages}`, []) : undefined;
    let waits = 0;
    const state = await openState(`${root}/${name}`, {
      featureLevel: 1,
      openDatabase: async (path, mode) => {
        const database = await openSqlitePackage(path, mode);
        if (mode === "write") writer ??= database;
        return database;
      },
      whenFull: async () => {
        waits++;
        // Readers see what is applied, whole, and nothing of what waits. On a slow machine one batch is two transactions.
        const [[rows] = []] = await state.read("SELECT count(*) FROM host");
        assert.is(Number(rows), rowsAfter(state.appliedIndex));
        if (waits % 3 === 0) await limit(1_000_000);
      },
    });
    const applied = await work(state, new Log(), limit);
    assert.is(waits, isTight ? 12 : 0);
    const rows = await state.read("SELECT id, name FROM host ORDER BY id");
    const { hash } = state.hash;
    await state.close();
    const again = await openState(`${root}/${name}`, { featureLevel: 1 });
    assert.equal(again.hash.hash, hash);
    await again.close();
    return { applied, rows, hash };
  };
  assert.equal(await run("tight", true), await run("roomy", false));
  fs.rmSync(root, { recursive: true, force: true });
});

test("a state that gives up waiting for room is a failed one", async () => {
  let writer: Database | undefined;
  const state = await openState(`${root}/gives-up`, {
    featureLevel: 1,
    openDatabase: async (path, mode) => {
      const database = await openSqlitePackage(path, mode);
      if (mode === "write") writer ??= database;
      return database;
    },
    whenFull: () => Promise.reject(new Error("the box stops")),
  });
  const log = new Log();
  await state.apply([log.entry({ statements: schema })]);
  await writer?.all("PRAGMA max_page_count = 1", []);
  assert.is(await rejection(state.apply([log.host(1, "x".repeat(9000))])), "state-failed");
  assert.is(state.appliedIndex, 1);
  await state.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test("bytes that no box could have written stop the box", () =>
  withState(async (state, log) => {
    assert.is(await rejection(state.apply([log.raw(new Uint8Array([1, 2, 3]))])), "state-failed");
    assert.is(state.appliedIndex, 1);
  }));

test("a gap in the entries is a programmer's error", () =>
  withState(async (state, log) => {
    const entry = log.host(1, "a");
    assert.match(await rejection(state.apply([{ ...entry, index: 7 }])), /applied after/);
  }));

test("a read is interrupted at its bound, and the next one works", async () => {
  const state = await openState(`${root}/slow`, { featureLevel: 1, readTimeoutMs: 50, readersMax: 1 });
  const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
  assert.is(await rejection(state.read(endless)), "read-timeout");
  assert.equal(await state.read("SELECT 1"), [[1]]);
  assert.is(await rejection(state.read("SELECT nothing")), "read-failed");
  assert.is(await rejection(state.read("DELETE FROM ringfence_state")), "read-failed");
  const many = await Promise.all(Array.from({ length: 300 }, () => rejection(state.read("SELECT 1"))));
  assert.is(many.filter((code) => code === "resolved").length, 257);
  assert.is(many.filter((code) => code === "read-busy").length, 43);
  await state.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test("a checkpoint makes durable what was applied before it, and only if complete", () =>
  withState(async (state, log, directory) => {
    await state.apply([log.host(1, "a")]);
    assert.is(state.durableAppliedIndex, 0);
    assert.equal(await state.checkpoint(), { durableAppliedIndex: 2, complete: true });
    const reader = await openSqlitePackage(`${directory}/state.db`, "read");
    await reader.run("BEGIN", []);
    await reader.all("SELECT * FROM host", []);
    await state.apply([log.host(2, "b")]);
    assert.equal(await state.checkpoint(), { durableAppliedIndex: 2, complete: false }, "an old reader holds the WAL");
    await reader.run("COMMIT", []);
    await reader.close();
    assert.equal(await state.checkpoint(), { durableAppliedIndex: 3, complete: true });
  }));

test("the WAL stays bounded although there is always a reader", async () => {
  const bound = 256 * 1024;
  const state = await openState(`${root}/wal`, { featureLevel: 1, walBytesMax: bound });
  const log = new Log();
  await state.apply([log.entry({ statements: schema })]);
  let reading = true;
  const slow =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT count(*), (SELECT count(*) FROM host) AS h FROM n";
  const readers = [0, 1, 2].map(async () => {
    while (reading) await state.read(slow);
  });
  let largest = 0;
  for (let n = 0; n < 200; n++) {
    await state.apply([log.host(n, `${n}-${"x".repeat(10_000)}`)]);
    largest = Math.max(largest, fs.statSync(`${root}/wal/state.db-wal`).size);
  }
  reading = false;
  await Promise.all(readers);
  assert.ok(largest < bound + 64 * 1024, `largest WAL ${largest}`);
  await state.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test.run();
