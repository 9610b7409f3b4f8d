import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeEntry, type Statement } from "../../../src/base/entry.ts";
import { createPrng } from "../../../src/base/prng.ts";
import { contentHash } from "../../../src/store/state/content-hash.ts";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import { openState, STATE_FILE } from "../../../src/store/state/state.ts";
import { CHECK_ENTRIES, strideFor } from "../../../src/store/state/state-checks.ts";
import type { CommittedEntry, StateCheck } from "../../../src/store/state/types.ts";

let root = "";
test.before(() => {
  root = fs.mkdtempSync(join(tmpdir(), "checks-"));
});
test.after(() => fs.rmSync(root, { recursive: true }));

function entry(index: number, ...statements: Statement[]): CommittedEntry {
  const data = encodeEntry({
    ...{ version: 1, requestId: `c:${index}`, kind: "t", at: 0, guards: [], tags: [] },
    statements,
  });
  return { index, term: 1, kind: "normal", data };
}

/** A table whose rowids a copy numbers anew, one with a key, and entries of the short and of the long way. */
function entries(count: number): CommittedEntry[] {
  const all = [
    entry(
      1,
      { sql: "CREATE TABLE host (name TEXT PRIMARY KEY, size INTEGER NOT NULL)", values: [] },
      { sql: "CREATE TABLE note (a TEXT NOT NULL, b TEXT)", values: [] },
    ),
  ];
  for (let index = 2; index <= count; index++) {
    const host = { sql: "INSERT INTO host VALUES (?, ?)", values: [`h${(index * 7919) % 100_003}`, index] };
    const note = {
      sql: "INSERT INTO note VALUES (?, ?)",
      values: [`n${index % 13}`, index % 5 === 0 ? null : `${index}`],
    };
    const gone = { sql: "DELETE FROM note WHERE b = ?", values: [`${index - 40}`] };
    all.push(index % 50 === 0 ? entry(index, host, note, gone) : entry(index, index % 2 === 0 ? host : note));
  }
  return all;
}

async function run(name: string, all: readonly CommittedEntry[], size: () => number): Promise<readonly StateCheck[]> {
  const state = await openState(`${root}/${name}`, { featureLevel: 1 });
  for (let at = 0; at < all.length; ) {
    const next = Math.min(all.length, at + size());
    await state.apply(all.slice(at, next));
    at = next;
  }
  await state.close();
  return state.checks();
}

test("boxes that applied the same are equal at each check, whatever their batches", async () => {
  const all = entries(CHECK_ENTRIES * 3 + 100);
  const prng = createPrng(1);
  const one = await run("one", all, () => 256);
  const other = await run("other", all, () => prng.range(1, 300));
  assert.equal(
    one.map(({ index }) => index),
    [1, 2, 3].map((n) => n * CHECK_ENTRIES),
  );
  assert.equal(
    one.map(({ running, comparable }) => [running, comparable]),
    other.map(({ running, comparable }) => [running, comparable]),
  );
  // The first has a look at the content on every box; later ones as time allows.
  assert.match(one[0]?.content ?? "", /^[0-9a-f]{64}$/);
  for (const [at, check] of one.entries())
    if (check.content !== "" && other[at]?.content !== "") assert.is(check.content, other[at]?.content);
});

test("the busier a box, the fewer looks, and always some that all boxes take", () => {
  assert.equal([5000, 2000, 1999, 500, 499, 100, 1, 0].map(strideFor), [1, 1, 2, 4, 8, 32, 64, 64]);
  assert.is(strideFor(Number.POSITIVE_INFINITY), 1);
  // A stride divides each larger one: what the busiest looks at, all look at.
  for (const [slow, fast] of [
    [1000, 10],
    [250, 240],
  ] as const)
    assert.is(strideFor(fast) % strideFor(slow), 0);
});

test("every slice has its turn, also while tables grow from look to look", async () => {
  const path = `${root}/turns.db`;
  await change(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)");
  const database = await openSqlitePackage(path, "write");
  const grow = (rows: number): Promise<void> =>
    database.script(
      `WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < ${rows}) INSERT INTO t(x) SELECT 'x' FROM r`,
    );
  // The row's hash changes with its value: found when two looks of one number differ.
  await grow(5_000);
  let found = 0;
  for (let look = 0; look < 40 && found === 0; look++) {
    await grow(256);
    const before = await contentHash(database, look);
    await database.script("UPDATE t SET x = 'y' WHERE id = 3000");
    if ((await contentHash(database, look)) !== before) found = look;
    await database.script("UPDATE t SET x = 'x' WHERE id = 3000");
  }
  assert.ok(found > 0, "the row was in none of 40 looks");
  await database.close();
});

/** The hashes of so many looks that each row had its turn. */
async function looks(path: string): Promise<string[]> {
  const database = await openSqlitePackage(path, "read");
  const all: string[] = [];
  for (let look = 0; look < 12; look++) all.push(await contentHash(database, look));
  await database.close();
  return all;
}

async function change(path: string, sql: string): Promise<void> {
  const database = await openSqlitePackage(path, "write");
  await database.script(sql);
  await database.close();
}

test("a copy of the state is equal to it, and whatever one value, row or index is changed to is found", async () => {
  await run("whole", entries(2000), () => 256);
  const whole = `${root}/whole/${STATE_FILE}`;
  const before = await looks(whole);
  const copy = `${root}/copy.db`;
  await change(whole, `VACUUM INTO '${copy}'`);
  assert.equal(await looks(copy), before);
  const harms = [
    "UPDATE host SET size = size + 1 WHERE name = (SELECT name FROM host ORDER BY name LIMIT 1 OFFSET 700)",
    "UPDATE note SET b = b || ' ' WHERE rowid = (SELECT max(rowid) FROM note WHERE b IS NOT NULL)",
    "UPDATE note SET b = '' WHERE rowid = (SELECT min(rowid) FROM note WHERE b IS NULL)",
    "DELETE FROM host WHERE size = 2",
    "UPDATE ringfence_session SET outcome = outcome || ' ' WHERE slot = 5",
    "CREATE TABLE more (x)",
  ];
  for (const [n, sql] of harms.entries()) {
    const harmed = `${root}/harmed-${n}.db`;
    fs.copyFileSync(copy, harmed);
    await change(harmed, sql);
    const after = await looks(harmed);
    assert.ok(
      after.some((hash, look) => hash !== before[look]),
      sql,
    );
  }
});

test.run();
