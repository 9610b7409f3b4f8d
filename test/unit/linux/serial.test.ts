import { closeSync, constants, openSync } from "node:fs";
import { SerialPortStream } from "@serialport/stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type SerialLine, serialBinding } from "../../../src/linux/serial/binding.ts";
import { FarEnd } from "../../support/pty.ts";

async function withLine(story: (line: SerialLine, far: FarEnd) => Promise<void>, baudRate = 115_200): Promise<void> {
  const far = new FarEnd();
  const line = await serialBinding.open({ path: far.path, baudRate });
  try {
    await story(line, far);
  } finally {
    if (line.isOpen) await line.close();
    far.hangUp();
  }
}

/** The error that a promise ends with. */
async function failure(promise: Promise<unknown>): Promise<Error & { canceled?: boolean; disconnected?: boolean }> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, Error);
    return error as Error;
  }
  throw new Error("it did not fail");
}

async function readText(line: SerialLine, size: number): Promise<string> {
  const buffer = Buffer.alloc(size);
  for (let count = 0; count < size; ) count += (await line.read(buffer, count, size - count)).bytesRead;
  return buffer.toString("latin1");
}

test("every byte passes unchanged, both ways, with nothing echoed", () =>
  withLine(async (line, far) => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    far.send(all);
    assert.is(await readText(line, 256), Buffer.from(all).toString("latin1"));
    assert.is(far.text, "");
    await line.write(Buffer.from(all));
    await far.until("all came", () => far.byteCount === 256);
    assert.is(far.text, Buffer.from(all).toString("latin1"));
  }));

test("a read waits for a byte without holding up the process", () =>
  withLine(async (line, far) => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const read = readText(line, 3);
    await far.until("other work gets its turns", () => turns > 5);
    far.send("abc");
    assert.is(await read, "abc");
    clearInterval(timer);
  }));

test("a write waits for a slow far end, loses nothing, and drain waits for all", () =>
  withLine(async (line, far) => {
    far.bytesASecond = 400_000;
    const text = Array.from({ length: 5000 }, (_, index) => `line ${index}\r\n`).join("");
    await line.write(Buffer.from(text));
    await line.drain();
    await far.until("all came", () => far.byteCount >= text.length);
    assert.is(far.text, text);
  }));

test("a hang-up ends a waiting read with an error, and so does the next one", () =>
  withLine(async (line, far) => {
    const reading = failure(line.read(Buffer.alloc(8), 0, 8));
    far.hangUp();
    const error = await reading;
    assert.not.ok(error.canceled);
    assert.match(error.message, /pts/);
    await failure(line.read(Buffer.alloc(8), 0, 8));
    await failure(line.write(Buffer.from("x")));
  }));

test("closing cancels what waits", () =>
  withLine(async (line) => {
    const reading = failure(line.read(Buffer.alloc(8), 0, 8));
    await line.close();
    assert.is((await reading).canceled, true);
    assert.match((await failure(line.read(Buffer.alloc(8), 0, 8))).message, /not open/);
  }));

test("a second opener is refused until the first one closes", () =>
  withLine(async (line, far) => {
    const options = { path: far.path, baudRate: 9600 };
    assert.match((await failure(serialBinding.open(options))).message, /another process has it/);
    // The refused one has changed nothing.
    assert.is((await line.getBaudRate()).baudRate, 115_200);
    await line.close();
    const second = await serialBinding.open(options);
    assert.is((await second.getBaudRate()).baudRate, 9600);
    await second.close();
  }));

test("any speed is taken, and changed while open", () =>
  withLine(async (line) => {
    assert.is((await line.getBaudRate()).baudRate, 250_000);
    await line.update({ baudRate: 31_250 });
    assert.is((await line.getBaudRate()).baudRate, 31_250);
    assert.match((await failure(line.update({ baudRate: 0 }))).message, /0 baud/);
  }, 250_000));

test("a pseudo-terminal has no modem wires: all false, and setting them is no error", () =>
  withLine(async (line) => {
    assert.equal(await line.get(), { cts: false, dsr: false, dcd: false });
    await line.set({ dtr: true, rts: false });
  }));

test("flush throws away what was not read", () =>
  withLine(async (line, far) => {
    far.send("noise");
    await line.flush();
    far.send("word");
    assert.is(await readText(line, 4), "word");
  }));

test("what is no terminal, or not there, is refused, and nothing stays open", async () => {
  const before = openSync("/dev/null", constants.O_RDONLY);
  closeSync(before);
  assert.match(
    (await failure(serialBinding.open({ path: "/dev/null", baudRate: 9600 }))).message,
    /settings of a line/,
  );
  assert.match((await failure(serialBinding.open({ path: "/dev/none", baudRate: 9600 }))).message, /\/dev\/none/);
  const after = openSync("/dev/null", constants.O_RDONLY);
  closeSync(after);
  assert.is(after, before);
});

test("serialport's stream runs on it: data, drain, and its end with an error at a hang-up", async () => {
  const far = new FarEnd();
  const port = new SerialPortStream({ binding: serialBinding, path: far.path, baudRate: 115_200 });
  await new Promise((resolve) => port.once("open", resolve));
  let text = "";
  port.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  far.send("hello\r");
  await far.until("the port heard it", () => text === "hello\r");
  port.write("answer");
  await new Promise((resolve) => port.drain(resolve));
  await far.expect(/answer/);
  const closed = new Promise<Error | null>((resolve) => port.once("close", resolve));
  far.hangUp();
  assert.is(((await closed) as { disconnected?: boolean } | null)?.disconnected, true);
});

test("at least 5 MiB/s and at most 5 ms for a byte there and back", async () => {
  await withLine(async (line, far) => {
    far.keepsText = false;
    const size = 8 * 1024 * 1024;
    const startedAt = performance.now();
    await line.write(Buffer.alloc(size, 0x55));
    await far.until("all came", () => far.byteCount >= size);
    const mibPerSecond = size / 1024 / 1024 / ((performance.now() - startedAt) / 1000);
    const times: number[] = [];
    for (let count = 0; count < 200; count++) {
      const at = performance.now();
      // Reads before it is there: the way through the Worker is what counts.
      const read = readText(line, 1);
      far.send("x");
      await read;
      times.push(performance.now() - at);
    }
    const median = times.sort((a, b) => a - b)[100] ?? 0;
    console.log(`${mibPerSecond.toFixed(0)} MiB/s, ${median.toFixed(2)} ms`);
    assert.ok(mibPerSecond > 5);
    assert.ok(median < 5);
  });
});

test("a process with an open and closed line ends by itself", () => {
  const program = `
    const { serialBinding } = await import(${JSON.stringify(`${import.meta.dir}/../../../src/linux/serial/binding.ts`)});
    const { FarEnd } = await import(${JSON.stringify(`${import.meta.dir}/../../support/pty.ts`)});
    const far = new FarEnd();
    const line = await serialBinding.open({ path: far.path, baudRate: 9600 });
    line.read(Buffer.alloc(1), 0, 1).catch(() => undefined);
    await line.close();
    far.hangUp();
    console.log("closed");`;
  const result = Bun.spawnSync([process.execPath, "-e", program], { timeout: 20_000 });
  assert.is(result.exitCode, 0, result.stderr.toString());
  assert.match(result.stdout.toString(), /closed/);
});

test.run();
