// time-limit: 900 s
/** An image from power-on to a healthy box, its console, and its watchdog's bite. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { builtImage } from "../support/image/built.ts";
import { BOOT_MS, Machine } from "../support/image/machine.ts";

const PASSWORD = "correct horse";
/** No name was given to this box yet: it is called as its image is. */
const BOX = "ringfence";
/** ash asks a terminal where its cursor is, right behind its prompt. */
const SHELL = /# \S*$/;
const HEALTHY = /ringfence \S+ slot A try \d+: healthy in (\d+) s/;

let machine: Machine;
test.before(async () => {
  machine = await Machine.of(await builtImage());
  await machine.powerOn();
});
test.after(async () => {
  await machine?.remove();
});

/** Does a dangerous action of the console: password, then the box's name. */
async function dangerous(action: string, answer: RegExp): Promise<number> {
  await machine.say(action, /Password: $/);
  await machine.say(PASSWORD, /name: /);
  return machine.say(BOX, answer);
}

test("an image boots to a healthy box, and says in one line how", async () => {
  const at = await machine.expect(HEALTHY, BOOT_MS);
  assert.match(machine.text.slice(0, at + 200), /TEST key: anybody can make updates/);
});

test("the recovery console answers on the serial line, and knows the slot", async () => {
  const from = machine.text.length;
  await machine.say("", /ringfence> $/);
  assert.match(machine.text.slice(from), /slot +A: \d+\.\d+\.\d+ [0-9a-f]{8}, try \d+, verified/);
});

test("the root is read-only and watched by dm-verity, data is on its partition, the supervisor has the watchdog", async () => {
  await machine.say("password", /New password: $/);
  await machine.say(PASSWORD, /Once more: $/);
  await machine.say(PASSWORD, /Password: $/);
  await machine.say(PASSWORD, /name: /);
  await machine.say(BOX, /is set/);
  await machine.expect(/ringfence> $/, 20_000, machine.text.length - 200);
  await dangerous("shell", SHELL);
  const from = machine.text.length;
  await machine.say(
    "touch /usr/x; grep -E ' / | /data ' /proc/mounts; cat /run/one/boot.json; echo END",
    /END[\s\S]*# /,
  );
  const said = machine.text.slice(from);
  assert.match(said, /touch: \/usr\/x: Read-only file system/);
  assert.match(said, /\/dev\/mapper\/root \/ squashfs ro/);
  assert.match(said, /\/dev\/vda5 \/data ext4 rw/);
  assert.match(said, /"verity":true/);
  await machine.say("ringfence watchdog status; echo END", /END[\s\S]*# /, 60_000);
  assert.match(machine.text.slice(from), /i6300/i);
});

test("a box that is petted no more is reset by its watchdog, comes back and says why", async () => {
  const from = machine.text.length;
  await machine.say("ringfence watchdog test --stop-petting --yes", /reset within \d+(\.\d+)? s/, 60_000);
  const at = await machine.expect(/ringfence: slot A, try \d/, 60_000, from);
  await machine.expect(HEALTHY, BOOT_MS, at);
  const screen = machine.text.length;
  await machine.say("", /ringfence> $/);
  assert.match(machine.text.slice(screen), /last end +reset by the watchdog, says the device/);
});

test("a power cut while it runs: it boots again", async () => {
  await machine.powerCut();
  const from = machine.text.length;
  await machine.powerOn();
  await machine.expect(HEALTHY, BOOT_MS, from);
});

test.run();
