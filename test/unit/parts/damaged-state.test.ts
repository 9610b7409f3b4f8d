import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CodedError } from "../../../src/base/error.ts";
import { forgetDamage, isDamage, markDamaged, openSoundState } from "../../../src/parts/damaged-state.ts";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import type { State } from "../../../src/store/state/types.ts";

let data = "";
const said: string[] = [];
test.before.each(() => {
  data = fs.mkdtempSync(join(tmpdir(), "damaged-"));
  said.length = 0;
});
test.after.each(() => fs.rmSync(data, { recursive: true }));

const open = (): Promise<State> => openSoundState(data, { featureLevel: 1 }, (text) => said.push(text));

/** A state that has applied one no-op. */
async function madeState(): Promise<void> {
  const state = await open();
  await state.apply([{ index: 1, term: 1, kind: "normal", data: new Uint8Array(0) }]);
  await state.close();
}

test("a sound state is opened and nothing else happens", async () => {
  await madeState();
  const state = await open();
  assert.is(state.appliedIndex, 1);
  await state.close();
  assert.equal([said, fs.readdirSync(data)], [[], ["state"]]);
});

test("a file that is no database is set aside, and the state is empty", async () => {
  await madeState();
  fs.writeFileSync(`${data}/state/state.db`, Buffer.alloc(65_536, 0x5a));
  const state = await open();
  assert.is(state.appliedIndex, 0);
  await state.close();
  assert.match(said.join(), /ALERT the state database is damaged .*set aside/);
  assert.is(fs.readFileSync(`${data}/state.damaged/state.db`)[0], 0x5a);
});

test("a state in which damage was met is set aside at the next start, once; a snapshot in its place stays", async () => {
  await madeState();
  markDamaged(data, "page 7");
  const state = await open();
  assert.is(state.appliedIndex, 0);
  await state.apply([{ index: 1, term: 1, kind: "normal", data: new Uint8Array(0) }]);
  await state.close();
  const again = await open();
  assert.is(again.appliedIndex, 1);
  await again.close();
  markDamaged(data, "page 8");
  forgetDamage(data);
  const healed = await open();
  assert.is(healed.appliedIndex, 1);
  await healed.close();
});

test("a damaged page is damage wherever it is met, and no other error is", async () => {
  await madeState();
  const path = `${data}/state/state.db`;
  const database = await openSqlitePackage(path, "write");
  await database.script("CREATE TABLE t(x); INSERT INTO t SELECT hex(randomblob(2000)) FROM pragma_function_list");
  await database.close();
  const bytes = fs.readFileSync(path);
  bytes.fill(0xa5, bytes.length - 30 * 4096);
  fs.writeFileSync(path, bytes);
  const reader = await openSqlitePackage(path, "read");
  const met = await reader.all("SELECT sum(length(x)) AS n FROM t", []).catch((error: unknown) => error);
  assert.ok(isDamage(met), String(met));
  assert.ok(isDamage(new CodedError("state-failed", "Cannot apply entry 5", met)));
  const other = await reader.all("SELECT nothing", []).catch((error: unknown) => error);
  assert.not.ok(isDamage(other));
  await reader.close();
});

test("an error that is no damage is passed on, and the state stays where it is", async () => {
  fs.writeFileSync(`${data}/state`, "a file where the directory should be");
  const code = await open().then(
    () => "opened",
    (error: { code: string }) => error.code,
  );
  assert.is(code, "state-failed");
  assert.equal(fs.readdirSync(data), ["state"]);
});

test.run();
