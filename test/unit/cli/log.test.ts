// `ringfence log verify` and `log dump` on files: exit codes, words, and that no secret is printed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, encodeEntry } from "../../../src/base/entry.ts";
import { maskSecrets } from "../../../src/cli/ringfence/mask-secrets.ts";
import { RINGFENCE_PROGRAM } from "../../../src/cli/ringfence/program.ts";
import { run } from "../../../src/cli/run.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { fakeTerminal } from "./fake-terminal.ts";

const HASH = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
const ENTRY: Entry = {
  version: 1,
  requestId: "client@1:7",
  kind: "one.user.allocate",
  at: 0,
  tags: ["user:1"],
  guards: [{ sql: "SELECT count(*) FROM user WHERE name=?", values: ["ann"], expect: [[0]], why: "taken" }],
  statements: [{ sql: "INSERT INTO user(name,password)\n  VALUES(?,?)", values: ["ann", HASH] }],
};

let directory = "";
test.before.each(async () => {
  directory = mkdtempSync(join(tmpdir(), "cli-log-"));
  const { log } = await openLog(directory, { segmentSizeBytes: 65_536 });
  await log.append({
    entries: [
      { index: 1, term: 1, kind: "normal", data: new Uint8Array(0) },
      { index: 2, term: 1, kind: "normal", data: encodeEntry(ENTRY) },
      { index: 3, term: 1, kind: "normal", data: new TextEncoder().encode("{}") },
    ],
    hardState: { term: 1, vote: "0011223344556677", promiseMs: 500, commit: 0 },
    commit: 2,
  });
  await log.close();
});
test.after.each(() => rmSync(directory, { recursive: true }));

async function command(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const terminal = fakeTerminal();
  const code = await run(RINGFENCE_PROGRAM, words, terminal, "");
  return { code, ...terminal.written };
}

test("verify tells of a whole log and ends with 0, as text and as one document", async () => {
  const { code, out } = await command("log", "verify", directory);
  assert.is(code, 0);
  assert.match(out, `${directory}: 1 segments`);
  assert.match(out, "entries 1 to 3, commit 2");
  assert.match(out, "term 1, vote 0011223344556677, largest promise 500 ms");
  assert.match(out, "good: every record is whole");
  const view = JSON.parse((await command("log", "verify", directory, "--json")).out);
  assert.is(view.verdict.kind, "good");
  assert.match(view.segments[0].salt, /^[0-9a-f]{8}$/);
});

test("a flipped bit ends with 1 and names the place; nothing is repaired", async () => {
  const file = join(directory, "log-000000000001");
  const bytes = readFileSync(file);
  bytes[1300] = (bytes[1300] ?? 0) ^ 4;
  writeFileSync(file, bytes);
  const { code, err } = await command("log", "verify", directory);
  assert.is(code, 1);
  assert.match(err, /DAMAGED at segment 1 offset \d+: .*A box does not vote with this log/);
  assert.is((await command("log", "dump", directory)).code, 1);
  assert.ok(readFileSync(file).equals(bytes));
});

test("where there is no log it ends with 2", async () => {
  const empty = mkdtempSync(join(tmpdir(), "cli-log-"));
  assert.is((await command("log", "verify", empty)).code, 2);
  assert.is((await command("log", "verify", join(empty, "absent"))).code, 2);
  assert.is((await command("log", "dump", directory, "--from", "two")).code, 2);
  rmSync(empty, { recursive: true });
});

test("dump prints entries with their statements, and no secret", async () => {
  const { code, out } = await command("log", "dump", directory);
  assert.is(code, 0);
  assert.is(
    out,
    [
      "1 term 1 no-op",
      "2 term 1 one.user.allocate request client@1:7 at 1970-01-01T00:00:00.000Z user:1",
      '  guard SELECT count(*) FROM user WHERE name=? ["ann"]',
      '  INSERT INTO user(name,password) VALUES(?,?) ["ann","***"]',
      "3 term 1 (not known to be committed) UNREADABLE: Cannot decode entry: version undefined is not 1",
      "",
    ].join("\n"),
  );
  const lines = (await command("log", "dump", directory, "--from", "2", "--count", "1", "--json")).out;
  const entry = JSON.parse(lines);
  assert.equal([entry.index, entry.committed, entry.requestId], [2, true, "client@1:7"]);
  assert.equal(entry.statements[0].values, ["ann", "***"]);
});

test("whatever may be a secret reads ***, and the rest stays", () => {
  const hidden: [string, string][] = [
    ["sealed:AbC+/=", "***"],
    [
      'FENCE=[ ADDRESS="10.0.0.1", PASSWORD="a\\"b c", USER="x" ]',
      'FENCE=[ ADDRESS="10.0.0.1", PASSWORD="***", USER="x" ]',
    ],
    ['{"PASSWORD":"x","N":1}', '{"PASSWORD":"***","N":1}'],
    ["<ROOT_PASSWORD><![CDATA[x]]></ROOT_PASSWORD>", "<ROOT_PASSWORD>***</ROOT_PASSWORD>"],
    [HASH, "***"],
    ["ann", "ann"],
    ["0011223344556677", "0011223344556677"],
  ];
  for (const [given, shown] of hidden) assert.is(maskSecrets(given), shown);
  assert.is(maskSecrets(5), 5);
  assert.is(maskSecrets(null), null);
});

test.run();
