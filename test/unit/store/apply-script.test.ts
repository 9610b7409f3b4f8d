import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Change, type Entry, encodeEntry, type SqlValue } from "../../../src/base/entry.ts";
import { createPrng, type Prng } from "../../../src/base/prng.ts";
import { planScript } from "../../../src/store/state/apply-script.ts";
import { Sessions } from "../../../src/store/state/sessions.ts";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import { openState } from "../../../src/store/state/state.ts";
import type { Applied, CommittedEntry, Database } from "../../../src/store/state/types.ts";

const root = `/tmp/ringfence-apply-script-${process.pid}`;
fs.rmSync(root, { recursive: true, force: true });

function committed(index: number, requestId: string, change: Partial<Change>): CommittedEntry {
  const entry: Entry = {
    ...{ version: 1, requestId, kind: "test", at: 0 },
    ...{ guards: change.guards ?? [], statements: change.statements ?? [], tags: change.tags ?? [] },
  };
  return { index, term: 1, kind: "normal", data: encodeEntry(entry) };
}

/** How many of these entries, alone, the short way takes. */
function taken(change: Partial<Change>): number {
  return planScript([committed(1, "a:1", change)], new Sessions([], 0), 64).applied.length;
}

const update = (value: SqlValue): Change => ({
  guards: [{ sql: "SELECT version FROM t WHERE id=?", values: [1], expect: [[1]], why: "changed" }],
  statements: [{ sql: "UPDATE t SET version=version+1,body=? WHERE id=?", values: [value, 1] }],
  tags: [],
});

test("a plain change of rows goes the short way, whatever stands in its values", () => {
  for (const value of ["it's", '"; DROP TABLE t; --', "/* ? */", "", null, 0, -1, 2 ** 40, -(2 ** 40)]) {
    assert.is(taken(update(value)), 1, JSON.stringify(value));
  }
});

test("what SQLite would not read back as it was bound, and what is not plain, goes the long way", () => {
  for (const value of [1.5, "a\0b", "\ud800"]) assert.is(taken(update(value)), 0, JSON.stringify(value));
  const texts = [
    "UPDATE t SET body='x",
    "UPDATE t SET body=1 -- note",
    "UPDATE t SET body=1 /* open",
    'UPDATE t SET "body"=1',
    "UPDATE t SET body=?1",
    "UPDATE t SET body=:name",
    "UPDATE t SET body=1;",
    "UPDATE t SET body=1 RETURNING id",
    "INSERT INTO t SELECT * FROM u ORDER BY ?",
    "SELECT 1",
    "CREATE TABLE u (id INTEGER)",
  ];
  for (const sql of texts) assert.is(taken({ statements: [{ sql, values: [] }] }), 0, sql);
  assert.is(taken({ statements: [{ sql: "UPDATE t SET body=?", values: [] }] }), 0, "a value too few");
  const guard = { sql: "SELECT id FROM t", values: [], expect: [[1], [2]], why: "" };
  assert.is(taken({ guards: [guard] }), 0, "a guard of two rows");
});

test("requests that meet each other, or push one another out of the window, go the long way", () => {
  const plan = (ids: readonly string[]): number =>
    planScript(
      ids.map((id, at) => committed(at + 1, id, update("x"))),
      new Sessions([], 0),
      64,
    ).applied.length;
  assert.is(plan(["a:1", "b:1", "a:2", "a:64"]), 4);
  assert.is(plan(["a:1", "a:1"]), 1);
  assert.is(plan(["a:9", "a:1", "a:64"]), 3, "overtaking within the window is all right");
  assert.is(plan(["a:65", "a:1"]), 1);
  assert.is(plan(["a:1", "a:65"]), 1);
  assert.is(plan(["nonsense", "a:1"]), 0);
  const known = new Sessions([{ client: "a", sequence: 100, at: 1, outcome: "{}" }], 0);
  for (const id of ["a:100", "a:36"])
    assert.is(planScript([committed(2, id, update("x"))], known, 64).applied.length, 0);
});

/** Never takes the short way: its text fails as a wager that was lost does. */
async function openLongWay(path: string, mode: "read" | "write"): Promise<Database> {
  const database = await openSqlitePackage(path, mode);
  return {
    run: (sql, values) => database.run(sql, values),
    all: (sql, values) => database.all(sql, values),
    allRows: (sql, values) => database.allRows(sql, values),
    script: async (sql) => {
      if (!sql.startsWith("BEGIN")) return database.script(sql);
      await database.script("BEGIN IMMEDIATE");
      throw Object.assign(new Error("not as foreseen"), { kind: "result", result: "SQLITE_ERROR" });
    },
    interrupt: () => database.interrupt(),
    close: () => database.close(),
  };
}

const VALUES: readonly SqlValue[] = [
  0,
  1,
  2,
  -1,
  "1",
  "2",
  "it's",
  "A",
  "a",
  "?",
  "--",
  null,
  1.5,
  2 ** 40,
  `${2 ** 40}`,
  "a\0b",
];

function randomEntry(random: Prng, index: number): CommittedEntry {
  const value = (): SqlValue => random.pick(VALUES);
  const id = (): number => random.range(0, 5);
  if (random.chance(0.8)) {
    const own = random.range(0, 2);
    // Neighbours may have changed places.
    return committed(index, `c${own}:${index + (random.chance(0.2) ? random.range(-3, 3) : 0)}`, {
      guards: [
        { sql: "SELECT id, whole IS ? AS same FROM t WHERE id=?", values: [null, own], expect: [[own, 0]], why: "id" },
      ],
      statements: [{ sql: "UPDATE t SET whole=? WHERE id=?", values: [random.pick(VALUES) ?? index, own] }],
      tags: [`own:${own}`],
    });
  }
  const statements = Array.from({ length: random.range(0, 2) }, () =>
    random.pick([
      { sql: "UPDATE t SET body=? WHERE id=?", values: [value(), id()] },
      { sql: "UPDATE t SET whole=? WHERE id=?", values: [value(), id()] },
      { sql: "UPDATE t SET version=version-? WHERE id=?", values: [random.range(-2, 2), id()] },
      { sql: "INSERT INTO t VALUES (?,1,?,?,'?')", values: [id(), value(), value()] },
      { sql: "INSERT OR REPLACE INTO t VALUES (?,1,?,?,'A')", values: [id(), value(), value()] },
      { sql: "DELETE FROM t WHERE id=? AND body IS ?", values: [id(), value()] },
      { sql: "DELETE FROM t WHERE id>?", values: [2] },
      { sql: "UPDATE t SET body=? WHERE id=? RETURNING id, body", values: [value(), id()] },
      { sql: "UPDATE nothing SET body=?", values: [value()] },
    ]),
  );
  const guards = Array.from({ length: random.range(0, 2) }, () =>
    random.pick([
      { sql: "SELECT body FROM t WHERE id=?", values: [id()], expect: [[value()]], why: "body" },
      { sql: "SELECT version, whole FROM t WHERE id=?", values: [id()], expect: [[1, value()]], why: "both" },
      { sql: "SELECT id FROM t WHERE id=?", values: [id()], expect: [], why: "gone" },
      { sql: "SELECT count(*) AS c FROM t", values: [], expect: [[random.range(0, 5)]], why: "count" },
      { sql: "SELECT folded FROM t WHERE id=?", values: [id()], expect: [["?"]], why: "folded" },
      { sql: "SELECT ? AS given", values: [value()], expect: [[value()]], why: "given" },
    ]),
  );
  const sequence = random.chance(0.1) ? random.range(1, index) : index;
  return committed(index, `c${random.range(0, 2)}:${sequence}`, { guards, statements, tags: [`t:${index}`] });
}

async function applyAll(
  name: string,
  entries: readonly CommittedEntry[],
  options: { random: Prng; openDatabase: typeof openSqlitePackage },
): Promise<{ applied: Applied[]; hash: string; rows: SqlValue[][]; sessions: SqlValue[][]; tags: string[] }> {
  const { random, openDatabase } = options;
  const directory = `${root}/${name}`;
  const state = await openState(directory, { featureLevel: 1, openDatabase });
  const tags: string[] = [];
  state.onApplied((some) => tags.push(...some));
  const applied: Applied[] = [];
  for (let at = 0; at < entries.length; ) {
    const count = random.range(1, random.pick([1, 2, 100]));
    applied.push(...(await state.apply(entries.slice(at, at + count))));
    at += count;
  }
  const { hash } = state.hash;
  await state.close();
  // What a restart finds, not what memory says.
  const again = await openState(directory, { featureLevel: 1 });
  const rows = await again.read("SELECT * FROM t ORDER BY id");
  // What has left the window may still lie in its slot, depending on where the batches were cut.
  const sessions = await again.read(
    `SELECT client, sequence, at, outcome FROM ringfence_session AS one
     WHERE sequence > (SELECT max(sequence) FROM ringfence_session WHERE client=one.client) - 64 ORDER BY client, sequence`,
  );
  await again.close();
  return { applied, hash, rows, sessions, tags: [...new Set(tags)].sort() };
}

test("both ways give the same outcomes, rows, sessions and tags, in batches cut anywhere", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = createPrng(seed);
    const schema = committed(1, "s:1", {
      statements: [
        {
          sql: "CREATE TABLE t (id INTEGER PRIMARY KEY, version INTEGER CHECK (version < 4), body TEXT UNIQUE, whole INTEGER, folded TEXT COLLATE NOCASE)",
          values: [],
        },
      ],
    });
    const rows = committed(2, "s:2", {
      statements: [{ sql: "INSERT INTO t VALUES (0,1,0,0,'?'),(1,1,1,1,'?'),(2,1,2,2,'?')", values: [] }],
    });
    const entries = [schema, rows, ...Array.from({ length: 150 }, (_, at) => randomEntry(random, at + 3))];
    let scripts = 0;
    const openShort = async (path: string, mode: "read" | "write"): Promise<Database> => {
      const database = await openSqlitePackage(path, mode);
      const script = async (sql: string): Promise<void> => {
        await database.script(sql);
        if (sql.startsWith("BEGIN")) scripts++;
      };
      return { ...bound(database), script };
    };
    const short = await applyAll(`short-${seed}`, entries, { random: random.split(), openDatabase: openShort });
    const long = await applyAll(`long-${seed}`, entries, { random: random.split(), openDatabase: openLongWay });
    assert.equal(short, long, `seed ${seed}`);
    assert.ok(scripts > 0, `seed ${seed}: the short way was taken`);
    assert.ok(
      short.applied.some(({ outcome }) => outcome.kind === "rejected"),
      `seed ${seed}: some are rejected`,
    );
  }
  fs.rmSync(root, { recursive: true, force: true });
});

function bound(database: Database): Omit<Database, "script"> {
  return {
    run: (sql, values) => database.run(sql, values),
    all: (sql, values) => database.all(sql, values),
    allRows: (sql, values) => database.allRows(sql, values),
    interrupt: () => database.interrupt(),
    close: () => database.close(),
  };
}

test.run();
