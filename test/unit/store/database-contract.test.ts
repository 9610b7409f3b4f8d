import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import { isDatabaseError } from "../../../src/store/state/store-tables.ts";
import type { Database, DatabaseErrorKind, OpenDatabase } from "../../../src/store/state/types.ts";

// What every binding must do. A second binding is added to this list and nowhere else.
const bindings: Record<string, OpenDatabase> = { "sqlite3 package": openSqlitePackage };

const root = `/tmp/ringfence-test-database-${process.pid}`;

async function failure(work: Promise<unknown>): Promise<DatabaseErrorKind> {
  try {
    await work;
  } catch (error) {
    assert.ok(isDatabaseError(error), String(error));
    return error.kind;
  }
  throw new Error("it did not fail");
}

for (const [name, open] of Object.entries(bindings)) {
  const withDatabase = (title: string, work: (database: Database, path: string) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      fs.mkdirSync(root, { recursive: true });
      const path = `${root}/test.db`;
      const database = await open(path, "write");
      try {
        await database.all("PRAGMA journal_mode = WAL", []);
        await database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, x)", []);
        await work(database, path);
      } finally {
        await database.close();
        fs.rmSync(root, { recursive: true, force: true });
      }
    });
  };

  withDatabase("statements run in the order of the calls, without being awaited", async (database) => {
    for (let round = 0; round < 50; round++) {
      void database.run("BEGIN", []);
      void database.run("INSERT INTO t (id) VALUES (?)", [round]);
      const rows = database.all("SELECT count(*) FROM t", []);
      void database.run("COMMIT", []);
      assert.equal(await rows, [[round + 1]]);
    }
  });

  withDatabase("rows come as columns in the query's order, and as objects", async (database) => {
    await database.run("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', NULL)", []);
    assert.equal(await database.all("SELECT x, name, id FROM t ORDER BY id", []), [
      [1.5, "a", 1],
      [null, "b", 2],
    ]);
    assert.equal(await database.allRows("SELECT name AS n, id FROM t WHERE id = ?", [2]), [{ n: "b", id: 2 }]);
  });

  withDatabase("a column whose place JavaScript would change is refused", async (database) => {
    assert.is(await failure(database.all("SELECT 'a' AS a, 1", [])), "result");
    assert.equal(await database.all("SELECT 1", []), [[1]]);
  });

  withDatabase("change counts are of this statement, and 0 for one that changes nothing", async (database) => {
    assert.is((await database.run("INSERT INTO t (id) VALUES (1), (2), (3)", [])).changes, 3);
    assert.is((await database.run("CREATE TABLE u (a)", [])).changes, 0);
    assert.is((await database.run("SELECT count(*) FROM t", [])).changes, 0);
    assert.is(
      (await database.run("WITH w AS (SELECT 'DELETE') SELECT replace('a', 'b', 'UPDATE') FROM w", [])).changes,
      0,
    );
    assert.is((await database.run("UPDATE t SET x = 1 WHERE id > 9", [])).changes, 0);
    assert.is((await database.run("WITH w AS (SELECT 1) DELETE FROM t WHERE id > 1", [])).changes, 2);
  });

  withDatabase("integers are exact up to 2^53 and refused beyond, both ways", async (database) => {
    await database.run("INSERT INTO t (id, x) VALUES (1, ?)", [Number.MAX_SAFE_INTEGER]);
    await database.run("INSERT INTO t (id, x) VALUES (2, ?)", [-Number.MAX_SAFE_INTEGER]);
    assert.equal(await database.all("SELECT x, typeof(x) AS type FROM t ORDER BY id", []), [
      [Number.MAX_SAFE_INTEGER, "integer"],
      [-Number.MAX_SAFE_INTEGER, "integer"],
    ]);
    for (const value of [2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, 1n, undefined, true, new Uint8Array(1)]) {
      const values = [value] as unknown as number[];
      assert.is(await failure(database.run("INSERT INTO t (id, x) VALUES (3, ?)", values)), "result", String(value));
    }
    await database.run("INSERT INTO t (id, x) VALUES (4, 9007199254740993)", []);
    assert.is(await failure(database.all("SELECT x FROM t WHERE id = 4", [])), "result");
    assert.equal(await database.all("SELECT count(*) FROM t", []), [[3]]);
  });

  withDatabase("an integer stays an integer, whatever its size and its column", async (database) => {
    const at = 1_700_000_000_000;
    const sql = "SELECT typeof(?) AS t, '?' || ?2 AS \"?\", json_array(?) AS j, ?3 = ? AS e -- ?";
    assert.equal(await database.all(sql, [at, -at, at, at]), [["integer", `?${-at}`, `[${at}]`, 1]]);
    await database.run("INSERT INTO t VALUES (?, ?, ?)", [1, at, 2 ** 31]);
    assert.equal(await database.all("SELECT name, typeof(x) AS t FROM t", []), [[String(at), "integer"]]);
  });

  withDatabase("constraint, type and text errors are results of the input", async (database) => {
    await database.run("INSERT INTO t (id, name) VALUES (1, 'a')", []);
    assert.is(await failure(database.run("INSERT INTO t (id, name) VALUES (2, 'a')", [])), "result");
    assert.is(await failure(database.run("INSERT INTO t (id) VALUES ('x')", [])), "result");
    assert.is(await failure(database.run("INSERT INTO nowhere VALUES (1)", [])), "result");
    assert.is(await failure(database.run("INSERT INTO", [])), "result");
    assert.is((await database.run("INSERT INTO t (id) VALUES (2)", [])).changes, 1, "and the connection goes on");
  });

  withDatabase("a full database, a lock and a read-only connection are errors of this box", async (database, path) => {
    await database.all("PRAGMA max_page_count = 8", []);
    assert.is(await failure(database.run("INSERT INTO t (id, x) VALUES (1, ?)", ["x".repeat(100_000)])), "local");
    await database.run("BEGIN IMMEDIATE", []);
    const other = await open(path, "write");
    await other.all("PRAGMA busy_timeout = 0", []);
    assert.is(await failure(other.run("INSERT INTO t (id) VALUES (1)", [])), "local");
    await other.close();
    await database.run("ROLLBACK", []);
    const reader = await open(path, "read");
    assert.is(await failure(reader.run("INSERT INTO t (id) VALUES (1)", [])), "local");
    await reader.close();
  });

  withDatabase("a statement that runs can be interrupted, and the connection goes on", async (database) => {
    const endless = database.all(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
      [],
    );
    const timer = setInterval(() => database.interrupt(), 5);
    assert.is(await failure(endless), "interrupted");
    clearInterval(timer);
    assert.equal(await database.all("SELECT 2", []), [[2]]);
  });

  withDatabase("a script runs in its turn and stops at the first error", async (database) => {
    void database.run("INSERT INTO t (id) VALUES (1)", []);
    await database.script("UPDATE t SET id = 2; INSERT INTO t (id) VALUES (3)");
    assert.equal(await database.all("SELECT id FROM t ORDER BY id", []), [[2], [3]]);
    assert.is(
      await failure(database.script("DELETE FROM t WHERE id = 2; INSERT INTO t (id) VALUES (3); DELETE FROM t")),
      "result",
    );
    assert.equal(await database.all("SELECT id FROM t", []), [[3]]);
  });

  withDatabase("more texts than are kept prepared", async (database) => {
    for (let n = 0; n < 600; n++) assert.equal(await database.all(`SELECT ${n} AS n`, []), [[n]]);
    assert.equal(await database.all("SELECT 0 AS n", []), [[0]]);
  });
}

test.run();
