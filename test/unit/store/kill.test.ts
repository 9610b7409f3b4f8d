import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { openState } from "../../../src/store/state/state.ts";

const root = `/tmp/ringfence-test-kill-${process.pid}`;
const ROUNDS = 6;
const prng = createPrng(process.pid);

/** Lets the writer run until it acknowledged something and a random moment longer, kills it; returns the last acknowledged index. */
async function writeAndKill(what: "log" | "state", directory: string): Promise<number> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/../../support/store-writer.ts`, what, directory], {
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, UV_THREADPOOL_SIZE: "16" },
  });
  let text = "";
  const decoder = new TextDecoder();
  let killed = false;
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk);
    if (killed || text.length < 40) continue;
    killed = true;
    setTimeout(() => child.kill("SIGKILL"), prng.range(0, 120));
  }
  await child.exited;
  assert.ok(killed, "the writer ended by itself");
  const lines = text.slice(0, text.lastIndexOf("\n")).split("\n");
  return Number(lines.at(-1));
}

test("a log whose process is killed has every acknowledged entry, and goes on", async () => {
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const last = await writeAndKill("log", `${root}/log`);
    assert.ok(last > acknowledged, "it goes on");
    acknowledged = last;
    const { log, recovered } = await openLog(`${root}/log`, { segmentSizeBytes: 65_536 });
    assert.equal(recovered.damage, { kind: "none" });
    assert.ok(recovered.lastIndex >= acknowledged, `${recovered.lastIndex} is before ${acknowledged}`);
    for (const { index, data } of log.entries(1, recovered.lastIndex, Number.POSITIVE_INFINITY)) {
      assert.ok(data.length === 50 + (index % 400) && data.every((byte) => byte === (index & 0xff)), `entry ${index}`);
    }
    await log.close();
  }
  fs.rmSync(root, { recursive: true, force: true });
});

test("a state whose process is killed agrees with its applied index, and has what was acknowledged", async () => {
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const last = await writeAndKill("state", `${root}/state`);
    assert.ok(last > acknowledged, "it goes on");
    acknowledged = last;
    const state = await openState(`${root}/state`, { featureLevel: 1 });
    assert.ok(state.appliedIndex >= acknowledged, `${state.appliedIndex} is before ${acknowledged}`);
    const rows = state.appliedIndex - 1;
    for (const table of ["a", "b"]) {
      const [found] = await state.read(`SELECT count(*) AS c, min(id) AS low, max(id) AS high FROM ${table}`);
      assert.equal(found, [rows, 2, state.appliedIndex], table);
    }
    assert.is(state.outcomeOf(`writer:${state.appliedIndex}`)?.kind, "done", "sessions are of the same transaction");
    assert.is(state.outcomeOf(`writer:${state.appliedIndex + 1}`), undefined);
    await state.close();
  }
  fs.rmSync(root, { recursive: true, force: true });
});

test("the log's writer thread works on a real disk: segments turn over, purge recycles, failures poison", async () => {
  const directory = `${root}/worker`;
  const poisons: Error[] = [];
  const { log } = await openLog(directory, { segmentSizeBytes: 65_536, onPoison: (error) => poisons.push(error) });
  const data = new Uint8Array(1000).fill(3);
  const write = async (last: number): Promise<void> => {
    while (log.lastIndex() < last) {
      const index = log.lastIndex() + 1;
      await log.append({ entries: [{ index, term: 1, kind: "normal", data }], commit: index - 1 });
    }
  };
  await write(600);
  assert.ok(log.statistics().rotations >= 9);
  const before = fs.readdirSync(directory).filter((name) => name.startsWith("log-")).length;
  log.purgeTo(500);
  await write(610);
  const after = fs.readdirSync(directory).filter((name) => name.startsWith("log-")).length;
  assert.ok(after < before && after <= 3, `${after} segments of ${before}`);
  assert.ok(log.firstIndex() > 400 && log.firstIndex() <= 501);
  fs.rmSync(directory, { recursive: true });
  let code = "";
  // The next rotation finds no directory.
  for (let n = 0; n < 200 && code === ""; n++) {
    await write(log.lastIndex() + 1).catch((error: { code: string }) => {
      code = error.code;
    });
  }
  assert.is(code, "log-poisoned");
  assert.is(poisons.length, 1);
  await log.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test.run();
