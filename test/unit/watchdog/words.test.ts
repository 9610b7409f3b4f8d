import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readConsoleLines } from "../../../src/parts/console-lines.ts";
import { readPanelSetting } from "../../../src/parts/panel-setting.ts";
import { readWatchdogConfig } from "../../../src/parts/watchdog-config.ts";
import { formatCheckIn, parseCheckIn, parseRequest } from "../../../src/watchdog/check-in-line.ts";
import { DEFAULT_LIMITS, limitsFor } from "../../../src/watchdog/limits.ts";
import {
  describeLastEnd,
  formatResetReason,
  parseResetReason,
  type ResetReason,
} from "../../../src/watchdog/reset-reason.ts";

const presumed: ResetReason = { reason: "presumed-watchdog", bootId: "a", at: "2026-01-02T03:04:05Z", detail: "why" };

test("a check-in is taken only if all of it is sound", () => {
  const good = { client: "main", pid: 7, phase: "starting", progress: 3, returned: { work: 5, raft: 6 } };
  const report = { pid: 7, phase: "starting", progress: 3, tokens: { work: 5, raft: 6 } } as const;
  assert.equal(parseCheckIn(JSON.stringify(good)), report);
  assert.equal(parseCheckIn(formatCheckIn(report)), report);
  for (const wrong of [
    { ...good, client: "console" },
    { ...good, pid: "7" },
    { ...good, pid: 1.5 },
    { ...good, pid: 1 },
    { ...good, phase: "asleep" },
    { ...good, progress: -1 },
    { ...good, returned: null },
    { ...good, returned: { work: "5" } },
    { ...good, returned: { other: 5 } },
    [],
    null,
    7,
  ])
    assert.is(parseCheckIn(JSON.stringify(wrong)), undefined, JSON.stringify(wrong));
  for (const text of ["", "{", "main"]) assert.is(parseCheckIn(text), undefined);
});

test("a request is taken only if all of it is sound, and who asks is kept short and printable", () => {
  assert.equal(parseRequest('{"ask":"status"}'), { kind: "status" });
  assert.equal(parseRequest('{"ask":"snooze","seconds":60,"by":"root\\n"}'), {
    kind: "snooze",
    seconds: 60,
    by: "root?",
  });
  assert.equal(parseRequest('{"ask":"freeze","client":"raft"}'), { kind: "freeze", client: "raft", by: "somebody" });
  for (const wrong of [
    { ask: "snooze" },
    { ask: "snooze", seconds: 0 },
    { ask: "snooze", seconds: 1e99 },
    { ask: "freeze", client: "api" },
    { ask: "disarm" },
  ])
    assert.is(parseRequest(JSON.stringify(wrong)), undefined, JSON.stringify(wrong));
});

test("a reset reason is read back; a torn one is none", () => {
  const text = formatResetReason(presumed);
  assert.equal(parseResetReason(text), presumed);
  for (let length = 0; length < text.length - 1; length++)
    assert.is(parseResetReason(text.slice(0, length)), undefined);
  assert.is(parseResetReason("null"), undefined);
  assert.is(parseResetReason('{"reason":"other","bootId":"","at":"","detail":""}'), undefined);
});

test("the last end is told apart: reset, controlled, lost supervisor, power, unknown", () => {
  const stopped: ResetReason = { ...presumed, reason: "controlled-stop", detail: "" };
  assert.match(describeLastEnd(presumed, "b", true), /^reset by the watchdog, says the device .*: why\)$/);
  assert.match(describeLastEnd(presumed, "b", false), /^presumed watchdog, or the power failed/);
  assert.match(describeLastEnd(presumed, "b", undefined), /^presumed watchdog, or the power failed/);
  assert.match(describeLastEnd(presumed, "a", undefined), /^the supervisor ended without a word/);
  assert.match(describeLastEnd(stopped, "b", undefined), /^controlled stop \(2026/);
  assert.match(describeLastEnd(stopped, "a", undefined), /^controlled stop of the supervisor in this boot/);
  assert.match(describeLastEnd(undefined, "a", undefined), /^no record/);
  assert.match(describeLastEnd(undefined, "a", true), /^reset by the watchdog/);
});

test("the device is found in a sound configuration, in a broken one, and nowhere", () => {
  const directory = mkdtempSync(join(tmpdir(), "watchdog-config-"));
  const oned = join(directory, "oned.conf");
  const box = join(directory, "box.conf");
  const read = (onedText: string, boxText: string): ReturnType<typeof readWatchdogConfig> => {
    writeFileSync(oned, onedText);
    writeFileSync(box, boxText);
    return readWatchdogConfig(oned, box);
  };
  const device = "/dev/watchdog0";
  const section = `WATCHDOG = [ DEVICE = "${device}", TIMEOUT = 12, HANG = 15 ]\n`;
  const sound = { device, timeoutMs: 12_000, hangMs: 15_000, gpio: undefined, isBroken: false };
  assert.equal(read("", section), sound);
  assert.equal(read("NONSENSE = 1\n", section), { ...sound, isBroken: true });
  assert.equal(read("", `${section}OTHER = [ A = \n`), { ...sound, isBroken: true });
  assert.equal(read("", `WATCHDOG = [\n  TIMEOUT = 3, HANG = 3,\n  DEVICE = ${device} ]\n`), {
    ...{ device, timeoutMs: 20_000, hangMs: 5000, gpio: undefined, isBroken: true },
  });
  assert.equal(read("X", `# ${section}`), {
    ...{ device: undefined, timeoutMs: 20_000, hangMs: 5000, gpio: undefined, isBroken: true },
  });
  assert.is(read("", "").device, undefined);
  rmSync(directory, { recursive: true });
  assert.equal(readWatchdogConfig(oned, box), {
    device: undefined,
    timeoutMs: 20_000,
    hangMs: 5000,
    gpio: undefined,
    isBroken: false,
  });
});

test("a box that may hang longer has all of main's limits longer in the same measure, by default none", () => {
  assert.equal(limitsFor(5000), DEFAULT_LIMITS);
  const { clientMs, goodMs, unkillableMs } = limitsFor(15_000);
  assert.equal(clientMs, { work: 15_000, raft: 30_000, apply: 60_000, disk: 90_000, api: 90_000 });
  assert.ok(goodMs > clientMs.work, "a hang right after the first check-in is no good start");
  assert.is(unkillableMs, DEFAULT_LIMITS.unkillableMs);
});

test("consoles and the panel are found in a sound configuration and in a broken one: the console is what mends it", () => {
  const directory = mkdtempSync(join(tmpdir(), "console-config-"));
  const oned = join(directory, "oned.conf");
  const box = join(directory, "box.conf");
  const read = (onedText: string, boxText: string): ReturnType<typeof readConsoleLines> => {
    writeFileSync(oned, onedText);
    writeFileSync(box, boxText);
    return readConsoleLines(oned, box);
  };
  const sections = 'CONSOLE = [ DEVICE = "ttyS0", BAUD = 9600 ]\nCONSOLE = [ DEVICE = tty0 ]\n';
  const both = [
    { device: "/dev/ttyS0", baudRate: 9600 },
    { device: "/dev/tty0", baudRate: 115_200 },
  ];
  assert.equal(read("", sections), both);
  assert.equal(read("NONSENSE = 1\n", sections), both);
  assert.equal(read(sections, "SERVER_ID = [\n"), both);
  assert.equal(read("", `X\n# ${sections.split("\n")[0]}`), []);
  const panel = 'GPIO = [ CHIP = gpiochip0, FAULT = "led-fault", ACTIVE_LOW = "fault" ]\n';
  const lines = { driver: "chip", chip: "gpiochip0", lines: { fault: "led-fault" }, activeLow: ["fault"] };
  for (const text of [panel, `NONSENSE = 1\n${panel}`, `${panel}SERVER_ID = [\n`]) {
    writeFileSync(box, text);
    assert.equal(readPanelSetting(oned, box), lines);
  }
  rmSync(directory, { recursive: true });
  assert.equal(readConsoleLines(oned, box), []);
  assert.is(readPanelSetting(oned, box), undefined);
});

test.run();
