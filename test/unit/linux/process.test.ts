import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createClock } from "../../../src/linux/clock.ts";
import { lockFile, setThreadPriority } from "../../../src/linux/process.ts";
import { readSetting, writeSetting } from "../../../src/linux/sysctl.ts";

const module = fileURLToPath(new URL("../../../src/linux/process.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "linux-process-"));
process.once("exit", () => rmSync(directory, { recursive: true }));
const isAlive = (pid: number): boolean => spawnSync("kill", ["-0", String(pid)]).status === 0;

test("a lock is held by one process at a time and given back when it is killed", async () => {
  const path = join(directory, "lock");
  const code = `import { lockFile } from ${JSON.stringify(module)};
    if (lockFile(${JSON.stringify(path)})) console.log("locked"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  assert.is(lockFile(path), undefined);
  const isGone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await isGone;
  const lock = lockFile(path);
  assert.ok(lock);
  assert.is(lockFile(path), undefined, "not even the same process twice");
  lock?.release();
  assert.ok(lockFile(path));
  assert.throws(() => lockFile(join(directory, "no", "lock")), /no/);
});

test("a child that asked for it dies with its parent", async () => {
  const grandchild = `import { dieWithParent } from ${JSON.stringify(module)};
    if (!dieWithParent(process.ppid)) process.exit(3); console.log(process.pid); setInterval(() => {}, 1000);`;
  const code = `const { spawn } = require("node:child_process");
    spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}], { stdio: ["ignore", "inherit", "inherit"] });
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(await new Promise((resolve) => child.stdout.once("data", resolve)));
  assert.ok(pid > 1 && isAlive(pid));
  child.kill("SIGKILL");
  for (const end = performance.now() + 5000; isAlive(pid); await Bun.sleep(5)) {
    assert.ok(performance.now() < end, "still alive 5 s after its parent");
  }
});

test("the priority is the calling thread's", () => {
  setThreadPriority(5);
  const fields = readFileSync("/proc/thread-self/stat", "utf8").split(") ")[1]?.split(" ") ?? [];
  assert.is(fields[16], "5"); // field 19 of proc(5), nice
});

test("the clocks rise, the boot clock is not behind the monotonic one, and the boot id is a UUID", () => {
  const clock = createClock();
  for (const read of [clock.monotonicRaw, clock.monotonic, clock.bootTime]) {
    const before = read();
    assert.ok(read() >= before && before > 0);
  }
  assert.ok(clock.bootTime() >= clock.monotonic() - 1);
  assert.ok(Math.abs(clock.bootTime() - Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000) < 1000);
  assert.match(clock.bootId(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

test("a setting is written and read back; a name that is a path or unknown is an error", () => {
  const before = readSetting("lo", "arp_announce");
  writeSetting("lo", "arp_announce", before);
  assert.is(readSetting("lo", "arp_announce"), before);
  assert.throws(() => readSetting("../all", "arp_ignore"), /"\.\.\/all" is not an interface name/);
  assert.throws(() => readSetting("eth77", "arp_ignore"), /Cannot read arp_ignore of interface "eth77"/);
});

test.run();
