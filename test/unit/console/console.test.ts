// time-limit: 150 s
// The console as its own process on a pseudo-terminal, with main dead: what a person with a cable sees.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BOX, ConsoleBed, exitOf, PASSWORD, withConsole } from "../../support/console-bed.ts";

test("with main dead the first screen says so in main's last words, on a line that reports a width of 0", async () => {
  const bed = new ConsoleBed();
  try {
    writeFileSync(
      `${bed.directory}/log/ringfence.log`,
      "2026-01-02T03:04:05.678Z starts\n2026-01-02T03:04:06.000Z ends: Cannot read identity\n",
    );
    writeFileSync(`${bed.directory}/lib/identity.json`, "{");
    bed.far.setSize(0, 0);
    bed.start();
    const screen = await bed.far.expect(new RegExp(`${BOX}> $`));
    assert.match(screen, /! this box's program does not answer: Cannot read identity/);
    assert.ok(screen.split("\r\n").every((line) => line.length < 80));
  } finally {
    await bed.end();
  }
});

test("what needs main fails in bounded time with the reason, and is on the record with its outcome", () =>
  withConsole(async (bed) => {
    const said = await bed.dangerous("disarm work on the switch", new RegExp(`${BOX}> $`));
    assert.match(said, /Connection refused|Failed/);
    const [record, ...more] = bed.records;
    assert.is(more.length, 0);
    assert.is(record?.action, "disarm");
    assert.is(record?.detail, "work on the switch");
    assert.is(record?.box, BOX);
    assert.match(record?.outcome ?? "", /^failed .*TCP connection/);
    assert.not.ok(JSON.stringify(record).includes(PASSWORD));
    await bed.say("verify\r", new RegExp(`log.*${BOX}> $`, "s"));
    await bed.say("record\r", /Not on the cluster's record yet:\r\n.*disarm work on the switch/);
  }));

test("the tenth wrong password waits, harmless actions do not, and the right one works in the end", () =>
  withConsole(async (bed) => {
    for (let count = 1; count <= 10; count++) {
      await bed.say("restart\r", /Password: $/);
      const said = await bed.say(`wrong ${count}\r`, new RegExp(`${BOX}> $`));
      if (count <= 3) assert.match(said, /Wrong password/);
      else {
        assert.match(said, /Too many wrong passwords/);
        // As a patient person: each wait is longer than the one before.
        bed.forgetTime();
        await bed.say("restart\r", /Password: $/);
        assert.match(await bed.say(`wrong ${count}\r`, new RegExp(`${BOX}> $`)), /Wrong password/);
      }
    }
    await bed.say("restart\r", /Password: $/);
    assert.match(await bed.say(`${PASSWORD}\r`, new RegExp(`${BOX}> $`)), /looked at in (2[45]\d) s/);
    assert.match(await bed.say("help\r", /more lines/), /For anyone at the rack/);
    await bed.say("q", new RegExp(`${BOX}> $`));
    bed.forgetTime();
    assert.match(await bed.dangerous("restart", new RegExp(`${BOX}> $`)), /program does not run/);
    assert.is(JSON.parse(readFileSync(`${bed.directory}/run/console-attempts.json`, "utf8")).wrong, 0);
    assert.is(bed.records.filter((one) => one.outcome === "wrong password").length, 10);
  }));

test("a console password of one's own takes the place of oneadmin's, and needs the old one", () =>
  withConsole(async (bed) => {
    await bed.say("password\r", /New password: $/);
    await bed.say("a new secret\r", /Once more: $/);
    await bed.say("a new secret\r", /Password: $/);
    await bed.say(`${PASSWORD}\r`, /type this box's name: $/);
    await bed.say(`${BOX}\r`, /is set\.\r\n/);
    assert.match(readFileSync(`${bed.directory}/lib/console-password`, "utf8"), /^\$argon2id\$/);
    assert.not.ok(bed.far.text.includes("a new secret"));
    assert.not.ok(JSON.stringify(bed.records).includes("a new secret"));
    await bed.say("arm\r", /Password: $/);
    await bed.say(`${PASSWORD}\r`, /Wrong password/);
    await bed.say("restart\r", /Password: $/);
    await bed.say("a new secret\r", /type this box's name: $/);
  }));

test("a box that nobody has taken lets the first one set its password, and do nothing else that is dangerous", () =>
  withConsole(
    async (bed) => {
      await bed.say("shell\r", /Password: $/);
      await bed.say("\r", /keeps no password yet/);
      await bed.say("password\r", /New password: $/);
      await bed.say("a new secret\r", /Once more: $/);
      await bed.say("a new secret\r", /Password: $/);
      await bed.say("\r", /type this box's name: $/);
      await bed.say(`${BOX}\r`, /is set\./);
    },
    { hasPassword: false },
  ));

test("a full disk takes nothing away but the safety of the record", () =>
  withConsole(
    async (bed) => {
      assert.match(bed.far.text, /the disk of \/var\/lib\/one is 100 % full/);
      const said = await bed.dangerous("restart", new RegExp(`${BOX}> $`));
      assert.match(said, /Not safe on the record of this box \(.*kept in memory.*it goes on/s);
      assert.match(said, /does not run/);
      assert.is(bed.records.length, 1);
    },
    { isFull: true },
  ));

test("line noise leaves a working console behind", () =>
  withConsole(async (bed) => {
    let seed = 7;
    const noise = Uint8Array.from({ length: 3000 }, () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return (seed >> 16) & 0xff;
    });
    for (let at = 0; at < noise.length; at += 100) {
      bed.far.send(noise.subarray(at, at + 100));
      await Bun.sleep(5);
    }
    const from = bed.far.text.length;
    bed.far.send("\x03\x15");
    await bed.far.expect(new RegExp(`${BOX}> $`), from);
    await bed.say("config\r", new RegExp(`${BOX}> $`));
    assert.equal(bed.records, []);
  }));

test("at the pace of 9600 baud a whole dialogue works, characters one by one", () =>
  withConsole(async (bed) => {
    bed.far.bytesASecond = 960;
    const type = async (text: string): Promise<void> => {
      for (const letter of text) {
        bed.far.send(letter);
        await Bun.sleep(2);
      }
    };
    const from = bed.far.text.length;
    await type("help\r");
    await bed.far.expect(/more lines: Enter, or q to stop -- $/, from);
    // As many pages as there are actions for.
    for (let page = bed.far.text.length; !bed.far.text.endsWith(`${BOX}> `); page = bed.far.text.length) {
      await type("\r");
      await bed.far.expect(new RegExp(`(or q to stop -- |${BOX}> )$`), page);
    }
    await bed.far.expect(new RegExp(`exec ACTION.*${BOX}> $`, "s"), from);
    const at = bed.far.text.length;
    await type("restart\r");
    await bed.far.expect(/Password: $/, at);
    await type(`${PASSWORD}\r`);
    await bed.far.expect(/name: $/, at);
    await type(`${BOX}\r`);
    await bed.far.expect(new RegExp(`does not run.*${BOX}> $`, "s"), at);
  }));

test("a cable pulled in the middle of a dialogue: nothing is done, and the process ends for the next one", async () => {
  const bed = new ConsoleBed();
  try {
    const child = bed.start();
    await bed.far.expect(new RegExp(`${BOX}> $`));
    await bed.say("restart\r", /Password: $/);
    await bed.say(`${PASSWORD}\r`, /name: $/);
    bed.far.hangUp();
    assert.is(await exitOf(child), 0);
    assert.equal(bed.records, []);
  } finally {
    await bed.end();
  }
});

test("a cable pulled while an action runs: it comes to its end, and its outcome is on the record", async () => {
  const bed = new ConsoleBed();
  try {
    const child = bed.start();
    await bed.far.expect(new RegExp(`${BOX}> $`));
    await bed.say("arm\r", /Password: $/);
    await bed.say(`${PASSWORD}\r`, /name: $/);
    bed.far.send(`${BOX}\r`);
    // The front-end is dead: the command tries for five seconds.
    await bed.far.until("it is begun", () => bed.records.some((one) => one.outcome === "begun"));
    bed.far.hangUp();
    assert.is(await exitOf(child), 0);
    assert.match(bed.records[0]?.outcome ?? "", /^failed /);
    assert.is(bed.records.length, 1);
  } finally {
    await bed.end();
  }
});

test("a shell has the line to itself, and its exit comes back to the console", () =>
  withConsole(async (bed) => {
    await bed.dangerous("shell", /# $/);
    await bed.say("echo $((6*7)) >&2; tty\r", /42\r\n\/dev\/pts\/\d+\r\n# $/);
    // Ctrl-C is the shell's own signal, and ends neither it nor the console.
    bed.far.send("sleep 30\r");
    await Bun.sleep(200);
    await bed.say("\x03", /# $/);
    await bed.say("exit\r", new RegExp(`The shell ended with \\d+\\.\\r\\n${BOX}> $`));
    await bed.say("help\r", /more lines/);
  }));

test("console exec does the same for programs: exit code, no paging, questions from standard input", async () => {
  const bed = new ConsoleBed();
  try {
    const status = await bed.command(["ringfence", "console", "exec", "status"]);
    assert.is(status.code, 0, status.err);
    assert.match(status.out, /^ringfence .* box testbox/);
    const help = await bed.command(["ringfence", "console", "exec", "help"]);
    assert.match(help.out, /exec ACTION/);
    const restart = await bed.command(["ringfence", "console", "exec", "restart"], `${PASSWORD}\n${BOX}\n`);
    assert.is(restart.code, 1);
    assert.match(restart.out, /does not run/);
    assert.not.ok(restart.out.includes(PASSWORD));
    const without = await bed.command(["ringfence", "console", "exec", "restart"]);
    assert.is(without.code, 1);
    assert.match(without.out, /Nothing was done/);
    assert.equal(
      bed.records.map((one) => [one.line, one.action]),
      [["exec", "restart"]],
    );
    assert.ok(!existsSync(`${bed.directory}/lib/console-password`));
  } finally {
    await bed.end();
  }
});

test.run();
