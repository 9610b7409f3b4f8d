// How long a box votes for nobody after a start: the uptime counts only after a reboot of the same machine.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { beginLife, noteLife, startupPromiseMs, upMs } from "../../../src/parts/boot-credit.ts";

const now = { bootId: "boot-2", machine: "m1" };
const rebooted = { bootId: "boot-1", machine: "m1" };

test("in the same boot, on another machine, or where nobody knows, the whole promise is waited for", () => {
  assert.is(startupPromiseMs(600, { ...now }, now, 60_000), 600);
  assert.is(startupPromiseMs(600, undefined, now, 60_000), 600);
  assert.is(startupPromiseMs(600, { ...rebooted, machine: "m2" }, now, 60_000), 600);
  const nameless = { bootId: "boot-2", machine: "" };
  assert.is(startupPromiseMs(600, { bootId: "boot-1", machine: "" }, nameless, 60_000), 600);
});

test("after a reboot the certain part of the uptime counts, and never more than there is to wait", () => {
  assert.is(startupPromiseMs(600, rebooted, now, 10_000), 0);
  assert.is(startupPromiseMs(600, rebooted, now, 0), 600);
  // 10 ms of the reading and ρ are not certain.
  assert.is(startupPromiseMs(600, rebooted, now, 110), 600 - 99);
});

test("a life is noted before it promises anything, and the note of another boot is found once", () => {
  const directory = mkdtempSync(join(tmpdir(), "boot-"));
  const path = join(directory, "boot.json");
  assert.is(noteLife(path, rebooted), undefined);
  assert.equal(noteLife(path, rebooted), rebooted);
  assert.equal(noteLife(path, now), rebooted);
  assert.equal(noteLife(path, now), now);
  // Half a note counts as none, and is written anew.
  writeFileSync(path, '{"bootId":"boot-1"');
  assert.is(noteLife(path, now), undefined);
  assert.equal(JSON.parse(readFileSync(path, "utf8")), now);
  rmSync(directory, { recursive: true });
});

test("where no note can be written the older one goes: the next start of this boot credits nothing", () => {
  const directory = mkdtempSync(join(tmpdir(), "boot-"));
  const path = join(directory, "boot.json");
  noteLife(path, rebooted);
  // What the note is written into before it is renamed cannot be opened.
  mkdirSync(`${path}.new`);
  assert.equal(noteLife(path, now), rebooted);
  assert.is(noteLife(path, now), undefined);
  rmSync(directory, { recursive: true });
});

test("a restart within one boot waits for all of it", () => {
  const directory = mkdtempSync(join(tmpdir(), "boot-"));
  const clock = { bootId: () => "boot-1", bootTime: () => 1e9 };
  assert.is(beginLife(directory, 600, clock), 600);
  assert.is(beginLife(directory, 600, clock), 600);
  rmSync(directory, { recursive: true });
});

test("process 1 is as old as its start time says, whatever its name is", () => {
  const stat = (name: string): string => `1 (${name}) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6 7\n`;
  assert.is(upMs(20_000, stat("init")), 20_000 - 12_340);
  assert.is(upMs(20_000, stat("a) S 1 (b")), 20_000 - 12_340);
  assert.is(upMs(10_000, stat("init")), 0);
  assert.is(upMs(10_000, "nonsense"), 0);
  assert.ok(upMs(performance.now() + 1e9, readFileSync("/proc/1/stat", "utf8")) > 0);
});

test.run();
