// A second line, of the slow kind: it answers, bears noise and a pulled cable, and makes guessing slow. time-limit: 900 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../src/base/prng.ts";
import { ANSWER_WITHIN_MS } from "../../src/console/state.ts";
import { aBox, healthy, machineConf, openShell, PASSWORD, run, shell } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { Line } from "../support/image/line.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const image = await theImage();
const PROMPT = /(\w+)> $/;
const CTRL_C = "\u0003";
/** Each waits for half a minute. */
const ASKS_MAX = 8;
const NOISE_BYTES = 16_384;
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e6));

/** The console of that line: its process, and since when it lives. */
const CONSOLE_OF = (device: string): string =>
  `for pid in $(cat /sys/fs/cgroup/ringfence-console-${device}/cgroup.procs); do cut -d' ' -f1,22 /proc/$pid/stat; done`;

/** What a slipping plug, another speed or a modem that calls make of a line. */
function noise(): Uint8Array {
  const random = createPrng(seed);
  const sequences = ["\u001b[6n", "\u001b[999;999H", "\u001bc", "\u001b[", "\0\0\0", "\u00ff\u00ff", "\r\n", "AT&F\r"];
  const bytes: number[] = [];
  while (bytes.length < NOISE_BYTES)
    if (random.chance(0.05)) bytes.push(...Buffer.from(random.pick(sequences), "latin1"));
    else bytes.push(random.range(0, 255));
  return Uint8Array.from(bytes);
}

test("a console on a second line at 9600 baud bears noise, endless lines, a pulled cable and wrong passwords", async () => {
  console.log(`seed ${seed}`);
  const conf = `SERVER_ID = -1\n${machineConf(image)}CONSOLE = [ DEVICE = "ttyS1", BAUD = 9600 ]\n`;
  const box = await aBox(image, { hasSecondLine: true, files: { "etc/box.conf": conf } });
  try {
    await box.powerOn();
    let line = await Line.of(box.secondLine);
    await healthy(box);
    assert.match(await line.say("", PROMPT, BOOT_MS), /ringfence \d+\.\d+\.\d+ {3}box \w+[\s\S]*help lists/);
    await openShell(box);
    assert.match(await shell(box, "stty -F /dev/ttyS1"), /speed 9600 baud/);
    const before = await shell(box, CONSOLE_OF("ttyS1"));
    assert.match(before, /^\d+ \d+\n/, `the console's process is "${before}"`);

    const answers = async (what: string): Promise<void> => {
      const began = performance.now();
      // As a person does: what comes faster than the box reads is lost with the noise around it.
      const from = line.text.length;
      for (let tries = 1; ; tries++) {
        await line.type(`${CTRL_C}\r`);
        const isDone = await line.expect(/help lists[^\n]*\r\n\w+> $/, 10_000, from).catch((error: unknown) => {
          if (tries === ASKS_MAX) throw error;
        });
        if (isDone !== undefined) break;
      }
      console.log(`${what}: answered after ${((performance.now() - began) / 1000).toFixed(0)} s`);
      assert.is(await shell(box, CONSOLE_OF("ttyS1")), before, `${what}: it is another console now`);
    };
    await line.type(noise());
    await answers("noise");
    await line.type("x".repeat(100_000));
    await answers("a line without an end");
    let shown = "";
    for (const end = performance.now() + BOOT_MS; !/STATE +: ENABLED/.test(shown); await Bun.sleep(2000)) {
      assert.ok(performance.now() < end, `${shown}\n${await shell(box, "tail -n 20 /var/log/one/supervisor.log")}`);
      shown = await shell(box, "onezone show 0", 60_000);
    }

    // Past the password already: the worst moment to leave a line to the next one who comes.
    await line.say("disarm", /Why: $/);
    await line.say("because", /Password: $/);
    await line.say(PASSWORD, /name[^\n]*: $/);
    line.pull();
    await Bun.sleep(ANSWER_WITHIN_MS + 10_000);
    line = await Line.of(box.secondLine);
    assert.match(await line.say("", PROMPT), /help lists/);
    assert.not.match(line.text, /disarmed/);
    assert.not.match(await shell(box, "ringfence console record", 60_000), /disarm/);
    assert.match(await shell(box, "ringfence fence status", 60_000), /ARMED +: yes/);

    // Three are free, then it takes longer and longer, and longer again on every other line; nobody is locked out.
    const waits: number[] = [];
    const guess = async (password: string, answer: RegExp): Promise<string> => {
      await line.say("arm", /Password: $/);
      return line.say(password, answer);
    };
    const ANSWER = /(Wrong password|in (\d+) s)[^\n]*\n[\s\S]*> $/;
    for (let at = 0; at < 10; at++) {
      const seconds = Number(ANSWER.exec(await guess(`wrong ${at}`, ANSWER))?.[2] ?? 0);
      if (seconds === 0) continue;
      waits.push(seconds);
      await Bun.sleep(seconds * 1000);
    }
    const [shortest = 0, longest = 0] = [waits[0], waits.at(-1)];
    assert.ok(waits.length >= 3 && longest > shortest, `it does not grow: ${waits.join(" ")}`);
    // The last wait may be over: one more is wrong, and the next one waits twice as long, on whatever line.
    while (!/Wrong password/.test(await guess("once more", ANSWER))) await Bun.sleep(1000);
    await box.say("exit", PROMPT);
    await box.say("arm", /Password: $/);
    await box.say(PASSWORD, /Too many wrong passwords: the next one is looked at in \d+ s/);
    const name = PROMPT.exec(line.text)?.[1] ?? "";
    for (;;) {
      const seconds = Number(
        /in (\d+) s/.exec(await guess(PASSWORD, /name[^\n]*: $|in \d+ s[^\n]*\n[\s\S]*> $/))?.[1] ?? 0,
      );
      if (seconds === 0) break;
      assert.ok(seconds <= 4 * longest, `the last wait was ${longest} s, this one is ${seconds} s`);
      await Bun.sleep(seconds * 1000);
    }
    const said = await line.say(name, PROMPT, 60_000);
    let record = "";
    for (const end = performance.now() + BOOT_MS; performance.now() < end; await Bun.sleep(2000)) {
      record = (await run(box, "ringfence", "console", "record")).text;
      if (/ttyS1: arm: done/.test(record)) break;
    }
    assert.match(record, /ttyS1: arm: done/, `the line said ${said}; on the record is ${record}`);
    assert.match(record, /wrong password/);
  } finally {
    await box.remove();
  }
});

test.run();
