// The image for arm64 in a machine with UEFI: console, shell, watchdog; lamps and button on a real chip. time-limit: 2400 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, consoleSays, healthy, machineConf, openShell, shell } from "../support/image/box.ts";
import { HANGS, HARDWARE_TIMEOUT_MS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS, type Machine } from "../support/image/machine.ts";

const image = await theImage("arm64");

test("ACPI: the box comes up healthy, its console opens a shell, a kernel that hangs is reset within T_hw", async () => {
  const box = await aBox(image, { watchdog: "i6300esb" });
  try {
    await box.powerOn();
    const first = await healthy(box);
    assert.is(first.slot, "A");
    await box.say("", /slot +A: [\s\S]*> $/);
    await openShell(box);
    assert.is((await shell(box, "uname -m")).trim(), "aarch64");
    assert.match(await shell(box, "touch /usr/x"), /Read-only file system/);
    assert.match(await shell(box, "cat /run/one/boot.json"), /"slot":"A","try":1,"mode":"normal".*"verity":true/);
    assert.match(await shell(box, "onezone show 0", 60_000), /STATE +: ENABLED/);
    assert.match(await shell(box, "ringfence status", 60_000), /leader/);

    const at = performance.now();
    box.type(`${HANGS[0].words}\r`);
    const bite = await box.event("WATCHDOG", at, HARDWARE_TIMEOUT_MS);
    assert.ok(bite.at - at <= HARDWARE_TIMEOUT_MS * 1.1, `reset after ${bite.at - at} ms`);
    await healthy(box, first.end);
    await consoleSays(box, /last end[^\n]*watchdog/i, BOOT_MS);
  } finally {
    await box.remove();
  }
});

/** The machine's pl061: its power button is on line 3 for 100 ms at a press. */
const PANEL = 'GPIO = [ CHIP = "gpiochip0", POWER = 0, HEALTH = 1, BUTTON = 3 ]\n';
/** How often the first lamp's level is another one, in 40 looks of some seconds. */
async function changes(box: Machine): Promise<number> {
  const look = `sed -n 's/.*ringfence *) out \\(..\\).*/\\1/p' /sys/kernel/debug/gpio | head -n 1`;
  const text = await shell(box, `for i in $(seq 40); do ${look}; usleep 50000; done | uniq`);
  return (text.match(/^(hi|lo) *$/gm)?.length ?? 0) - 1;
}

test("device tree: a lamp is lit, and a short press of the button has it blink", async () => {
  const files = { "etc/box.conf": `SERVER_ID = -1\n${machineConf(image)}${PANEL}` };
  const box = await aBox(image, { hasDeviceTree: true, files });
  try {
    await box.powerOn();
    await healthy(box);
    await openShell(box);
    await shell(box, "mount -t debugfs debugfs /sys/kernel/debug");
    assert.is(await changes(box), 0);
    await box.pressPower();
    assert.ok((await changes(box)) > 5, "the lamp blinks");
  } finally {
    await box.remove();
  }
});

test.run();
