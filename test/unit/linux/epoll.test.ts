import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Epoll } from "../../../src/linux/epoll/epoll.ts";
import { EPOLL } from "../../../src/linux/epoll-calls.ts";
import { watchReadiness } from "../../../src/linux/readiness.ts";

/** A FIFO's one descriptor, read and written by us. */
async function withFifo(story: (file: number) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "epoll-"));
  assert.is(Bun.spawnSync(["mkfifo", `${directory}/fifo`]).exitCode, 0);
  const file = openSync(`${directory}/fifo`, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    await story(file);
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !isTrue(); await Bun.sleep(2))
    assert.ok(performance.now() < end, `waited in vain until ${what}`);
}

test("readiness is told once, and again only when armed again", () =>
  withFifo(async (file) => {
    let told = 0;
    const watch = watchReadiness(file, () => told++);
    writeSync(file, "x");
    watch.arm(EPOLL.IN);
    await until("it is told", () => told === 1);
    writeSync(file, "y");
    // The level still holds. Another descriptor's news, which comes later, shows that there was no second report.
    await withFifo(async (other) => {
      let isOtherTold = false;
      const second = watchReadiness(other, () => {
        isOtherTold = true;
      });
      writeSync(other, "z");
      second.arm(EPOLL.IN);
      await until("the other is told", () => isOtherTold);
      second.end();
    });
    assert.is(told, 1);
    watch.arm(EPOLL.IN);
    await until("it is told again", () => told === 2);
    watch.end();
  }));

test("an ended watch tells nothing, and a descriptor's next owner gets no report of the one before", () =>
  withFifo(async (file) => {
    let told = 0;
    const first = watchReadiness(file, () => told++);
    writeSync(file, "x");
    first.arm(EPOLL.IN);
    // Long enough for the report to be on its way to this thread, which does not get to it meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    first.end();
    let isSecondTold = false;
    const second = watchReadiness(file, () => {
      isSecondTold = true;
    });
    await Bun.sleep(20);
    assert.is(told, 0);
    assert.is(isSecondTold, false, "it was not armed yet");
    second.arm(EPOLL.IN);
    await until("the second is told", () => isSecondTold);
    second.end();
    first.arm(EPOLL.IN);
    assert.is(told, 0);
  }));

test("a regular file is refused", () => {
  const directory = mkdtempSync(join(tmpdir(), "epoll-"));
  const file = openSync(`${directory}/file`, "w+");
  const watch = watchReadiness(file, () => undefined);
  assert.throws(() => watch.arm(EPOLL.IN), /EPERM/);
  watch.end();
  closeSync(file);
  rmSync(directory, { recursive: true });
});

test("the epoll package: every edge in order, until it is removed", () =>
  withFifo(async (file) => {
    const seen: string[] = [];
    const byte = Buffer.alloc(1);
    const poller = new Epoll((error, descriptor, events) => {
      assert.is(error, null);
      assert.is(descriptor, file);
      assert.ok((events & Epoll.EPOLLIN) !== 0);
      readSync(file, byte);
      seen.push(byte.toString());
    });
    poller.add(file, Epoll.EPOLLIN | Epoll.EPOLLET);
    assert.throws(() => poller.add(file, Epoll.EPOLLIN), /already/);
    for (const letter of "abcdefghij") {
      const count = seen.length;
      writeSync(file, letter);
      await until(`"${letter}" is seen`, () => seen.length > count);
    }
    assert.is(seen.join(""), "abcdefghij");
    poller.remove(file);
    assert.throws(() => poller.remove(file), /not watched/);
    writeSync(file, "k");
    poller.close();
    assert.is(poller.closed, true);
    assert.throws(() => poller.add(file, Epoll.EPOLLIN), /closed/);
    assert.is(seen.length, 10);
  }));

test("onoff gets our epoll, not the add-on", () => {
  const onoff = createRequire(createRequire(import.meta.url).resolve("onoff"));
  assert.is((onoff("epoll") as { Epoll: unknown }).Epoll, Epoll);
});

test.run();
