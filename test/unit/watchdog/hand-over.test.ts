// time-limit: 120 s
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Bed, isAlive, TIMEOUT_MS, withBed } from "../../support/watchdog/bed.ts";
import { SHORT_LIMITS } from "../../support/watchdog/short-limits.ts";

function ask(bed: Bed, request: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const socket = connect(`${bed.directory}/supervisor.sock`, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("error", reject);
    socket.on("data", (bytes) => {
      socket.end();
      resolve(JSON.parse(bytes.toString()) as Record<string, unknown>);
    });
  });
}

test("the boot's petter is relieved, and petting goes on without a gap or a disarming", () =>
  withBed("check-in", async (bed) => {
    const petter = spawn("sh", ["-c", `exec 3>"${bed.directory}/dog"; while :; do printf . >&3; sleep 0.1; done`]);
    try {
      await bed.until("the petter pets", () => bed.pets.length > 2);
      const petterFile = `${bed.directory}/petter.pid`;
      writeFileSync(petterFile, `${petter.pid}\n`);
      const since = performance.now();
      bed.start({ petterFile });
      await bed.running();
      assert.match(bed.log, /relieves the boot's petter/);
      await bed.until("the petter has ended", () => !isAlive(petter.pid ?? 0));
      assert.not.ok(existsSync(petterFile));
      assert.not.ok(bed.isDisarmed);
      assert.ok(bed.longestGapSince(since) < 3 * TIMEOUT_MS, `a gap of ${bed.longestGapSince(since)} ms`);
    } finally {
      petter.kill("SIGKILL");
    }
  }));

test("the supervisor tells its state over its socket, root's only, and a stranger's lines do nothing", () =>
  withBed("check-in", async (bed) => {
    bed.start();
    const pid = await bed.running();
    const status = await ask(bed, { ask: "status" });
    assert.is((status["main"] as { pid: number }).pid, pid);
    assert.match(String(status["lastEnd"]), /^no record/);
    assert.is(readFileSync(`${bed.directory}/last-end`, "utf8").trim(), status["lastEnd"]);
    const socket = connect(`${bed.directory}/supervisor.sock`);
    socket.on("error", () => undefined);
    socket.write(`${"x".repeat(5000)}`);
    await bed.until("a line without an end is cut off", () => socket.destroyed || socket.closed);
    assert.is((await ask(bed, { ask: "resume", by: "root" }))["isDone"], false);
  }));

test("a frozen client is found though all others go on, and main is started again; it is on the record", () =>
  withBed("check-in", async (bed) => {
    bed.start();
    const first = await bed.running();
    assert.is((await ask(bed, { ask: "freeze", client: "raft", by: "root" }))["isDone"], true);
    await bed.running(2);
    assert.not.ok(isAlive(first));
    assert.match(bed.log, /main hangs: the raft loop is silent for/);
    const [record = ""] = readdirSync(`${bed.directory}/records`);
    const kept = JSON.parse(readFileSync(`${bed.directory}/records/${record}`, "utf8")) as Record<string, unknown>;
    assert.is(kept["action"], "watchdog test");
  }));

test("a bite on purpose: the last pet, with the reason on the disk", () =>
  withBed("check-in", async (bed) => {
    bed.start();
    await bed.running();
    assert.is((await ask(bed, { ask: "stop-petting", by: "root" }))["isDone"], true);
    await bed.until("the hardware's time is over", () => performance.now() - (bed.pets.at(-1) ?? 0) > 2 * TIMEOUT_MS);
    assert.match(bed.reason?.detail ?? "", /a test of the watchdog by root/);
  }));

test("a box in a loop of resets rests: no main, the dog is petted, and a person can have it started", () =>
  withBed("check-in", async (bed) => {
    const boots = ["a", "b", "c"].map((bootId) => JSON.stringify({ bootId, isSettled: false, wasReset: true }));
    writeFileSync(`${bed.directory}/boots`, `${boots.join("\n")}\n`);
    bed.start({ limits: { ...SHORT_LIMITS, settledMs: 2_000_000_000 } });
    await bed.until("it rests", () => existsSync(`${bed.directory}/recovery`));
    const since = performance.now();
    await bed.until("it is petted for long", () => performance.now() - since > 2 * TIMEOUT_MS);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS);
    assert.equal(bed.starts, []);
    assert.match(bed.log, /recovery: main is not started: [34] resets in a row/);
    assert.is((await ask(bed, { ask: "resume", by: "root" }))["isDone"], true);
    await bed.running();
    await bed.until("the mark is gone", () => !existsSync(`${bed.directory}/recovery`));
  }));

test.run();
