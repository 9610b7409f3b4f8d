import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkGuard, checkStatement } from "../../../src/store/state/check-statement.ts";
import { statementShape } from "../../../src/store/state/sql-words.ts";

const allowed = [
  "INSERT INTO host (id, name) VALUES (?, ?)",
  "INSERT INTO host VALUES ((SELECT next FROM counter WHERE name = 'host'), ?)",
  "INSERT INTO host SELECT id, name FROM old ORDER BY id",
  "INSERT INTO t VALUES (?) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
  "REPLACE INTO t VALUES (1)",
  "UPDATE host SET changes = 1, date = ?, random = 'random()' WHERE id = ? RETURNING id",
  "UPDATE host SET name = replace(name, 'a', 'b'), text = 'datetime(''now'')' -- random()",
  "DELETE FROM host WHERE id IN (SELECT id FROM old ORDER BY id LIMIT 3)",
  "WITH w AS (SELECT 1) DELETE FROM host WHERE id IN (SELECT * FROM w);",
  "SELECT group_concat(name ORDER BY id) FROM host",
  "SELECT id FROM host ORDER BY id LIMIT 1",
  "CREATE TABLE t (id INTEGER PRIMARY KEY, date TEXT, time TEXT)",
  "CREATE INDEX i ON t (id)",
  "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE n SET n = n + 1; DELETE FROM u; END",
  "ALTER TABLE t ADD COLUMN c TEXT",
  "DROP TABLE t",
];

const refused = [
  "",
  "BEGIN",
  "commit",
  "ROLLBACK",
  "SAVEPOINT s",
  "PRAGMA user_version = 1",
  "ATTACH 'x' AS y",
  "VACUUM",
  "/* x */ END",
  "DELETE FROM a; DELETE FROM b",
  "INSERT INTO t VALUES (random())",
  "INSERT INTO t VALUES (RANDOM ())",
  "INSERT INTO t VALUES (hex(randomblob(8)))",
  "UPDATE t SET at = datetime('now')",
  "UPDATE t SET at = strftime('%s')",
  "UPDATE t SET at = unixepoch()",
  "UPDATE t SET at = julianday()",
  'UPDATE t SET at = "date"()',
  "INSERT INTO t VALUES (CURRENT_TIMESTAMP)",
  "CREATE TABLE t (at TEXT DEFAULT CURRENT_TIMESTAMP)",
  "INSERT INTO t VALUES (last_insert_rowid())",
  "INSERT INTO t VALUES (changes())",
  "INSERT INTO t SELECT * FROM u",
  "WITH w AS (SELECT 1 ORDER BY 1) INSERT INTO t SELECT * FROM w",
  "SELECT id FROM host LIMIT 1",
  "DELETE FROM t WHERE id IN (SELECT id FROM u LIMIT 1)",
  "DELETE FROM t WHERE id IN (SELECT id FROM u LIMIT 1) ORDER BY id",
  "SELECT group_concat(name) FROM host ORDER BY id",
  "SELECT json_group_array(name) FROM host",
  "INSERT OR ROLLBACK INTO t VALUES (1)",
  "INSERT OR FAIL INTO t VALUES (1)",
  "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)",
  "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'x'); END",
  "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (random()); END",
  "CREATE TEMP TABLE t (a)",
  "CREATE VIRTUAL TABLE t USING fts5(a)",
  "UPDATE ringfence_state SET applied_index = 0",
  'DELETE FROM "ringfence_session"',
  "DELETE FROM [Ringfence_Session]",
  "INSERT INTO t VALUES (1",
];

test("what gives the same on every box and stays in its transaction is allowed", () => {
  for (const sql of allowed) assert.is(checkStatement(sql), undefined, sql);
});

test("what may differ between boxes or leave its transaction is refused with a reason", () => {
  for (const sql of refused) assert.type(checkStatement(sql), "string", sql);
});

test("the answer is the same from the cache", () => {
  for (const sql of [...allowed, ...refused]) assert.is(checkStatement(sql), checkStatement(sql));
});

test("what a statement does is read from its words", () => {
  for (const [sql, changesRows, returnsRows] of [
    ["SELECT 1", false, true],
    ["with w as (delete) select 'INSERT RETURNING' from w", false, true],
    ["WITH w AS (SELECT 1) INSERT INTO t SELECT * FROM w", true, false],
    ["UPDATE t SET a = 'RETURNING' -- RETURNING", true, false],
    ["UPDATE t SET a = 1 returning a", true, true],
    ["REPLACE INTO t VALUES (1)", true, false],
    ["CREATE TABLE t (returning_ TEXT)", false, false],
  ] as const) {
    assert.equal(statementShape(sql), { changesRows, returnsRows }, sql);
  }
});

test("a guard is a query", () => {
  assert.is(checkGuard("SELECT id FROM host WHERE id = ?"), undefined);
  assert.is(checkGuard("WITH w AS (SELECT 1) SELECT * FROM w"), undefined);
  for (const sql of [
    "DELETE FROM host RETURNING id",
    "WITH w AS (SELECT 1) DELETE FROM host RETURNING id",
    "SELECT random()",
  ]) {
    assert.type(checkGuard(sql), "string", sql);
  }
});

test.run();
