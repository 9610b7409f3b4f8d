import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openProcessGroup } from "../../../src/linux/cgroup.ts";
import { threadStates } from "../../../src/linux/thread-states.ts";
import { openWatchdog } from "../../../src/linux/watchdog.ts";

const directory = mkdtempSync(join(tmpdir(), "linux-watchdog-"));
process.once("exit", () => rmSync(directory, { recursive: true }));
const fifo = join(directory, "dog");
spawnSync("mkfifo", [fifo]);

function bytesOf(path: string, act: () => void): string {
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  act();
  const buffer = new Uint8Array(100_000);
  const count = readSync(reader, buffer);
  closeSync(reader);
  return new TextDecoder().decode(buffer.subarray(0, count));
}

test("a FIFO gets a byte a pet, and V only when it is disarmed", () => {
  const orderly = bytesOf(fifo, () => {
    const dog = openWatchdog(fifo, 20_000);
    assert.is(dog.timeoutMs, 20_000);
    assert.is(dog.isCardReset, undefined);
    dog.pet();
    dog.pet();
    dog.close(true);
  });
  assert.is(orderly, "\0\0V");
  const armed = bytesOf(fifo, () => {
    const dog = openWatchdog(fifo, 20_000);
    dog.pet();
    dog.close(false);
  });
  assert.is(armed, "\0");
});

test("a dog that nobody reads never makes its petter wait or fail", () => {
  const dog = openWatchdog(fifo, 20_000);
  const since = performance.now();
  for (let count = 0; count < 70_000; count++) dog.pet();
  dog.close(true);
  assert.ok(performance.now() - since < 5000);
});

test("a missing device and a file in its place are errors that name it", () => {
  assert.throws(
    () => openWatchdog(join(directory, "none"), 20_000),
    (error: Error) => /Cannot find the watchdog ".*none"/.test(error.message),
  );
  writeFileSync(join(directory, "file"), "untouched");
  assert.throws(
    () => openWatchdog(join(directory, "file"), 20_000),
    (error: Error) => /it is no device/.test(error.message),
  );
  assert.is(readFileSync(join(directory, "file"), "utf8"), "untouched");
});

test("no child inherits the device: main could keep it open", () => {
  const dog = openWatchdog(fifo, 20_000);
  const { stdout } = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" });
  assert.not.match(stdout, /dog/);
  dog.close(false);
});

test("what each thread of a process does is seen from outside", () => {
  const lines = threadStates(process.pid);
  assert.ok(lines.length > 1);
  assert.match(lines[0] ?? "", new RegExp(`^thread ${process.pid} .+: R in .+, \\d+ ms of processor$`));
  assert.equal(threadStates(2 ** 22 + 1), []);
});

test("a cgroup knows and kills all that were started in it", async () => {
  const group = openProcessGroup(`test-linux-${process.pid}`);
  assert.ok(group.isEmpty());
  const child = Bun.spawn(["sh", "-c", "sleep 0.05; setsid sleep 60 & wait"], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  group.add(child.pid);
  const procs = (): readonly string[] => readFileSync(`${group.path}/cgroup.procs`, "utf8").split("\n").filter(Boolean);
  const until = async (isTrue: () => boolean): Promise<void> => {
    for (const end = performance.now() + 5000; !isTrue(); await Bun.sleep(5)) assert.ok(performance.now() < end);
  };
  await until(() => procs().length >= 2);
  // A second look at the same group finds them too: it is found by name.
  const again = openProcessGroup(`test-linux-${process.pid}`);
  assert.not.ok(again.isEmpty());
  again.kill();
  await until(() => group.isEmpty());
  await child.exited;
  assert.is(spawnSync("rmdir", [group.path]).status, 0);
});

test.run();
