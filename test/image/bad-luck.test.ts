// What a box meets that nobody wished for it: no clock, no network, a stick with a mistake, a full disk. time-limit: 900 s
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, consoleSays, healthy, makeTemplate, openShell, run, SESSION, shell } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS, type Machine } from "../support/image/machine.ts";
import { makeStick, Versions } from "../support/image/versions.ts";

const image = await theImage();
/** As the console says it. */
const FULL = /the disk of \/var\/lib\/one is (9[5-9]|100) % full/;
const directory = mkdtempSync(join(tmpdir(), "ringfence-luck-"));

test("a clock that has forgotten everything is raised to what is certain, and nothing is refused for it", async () => {
  const { builtAt } = new Versions(image).release;
  const box = await aBox(image, { clock: "1970-01-02" });
  try {
    await box.powerOn();
    const first = await healthy(box);
    assert.match(await makeTemplate(box, "made-in-1970"), /^ID: \d+/);
    await openShell(box);
    const now = Number(await shell(box, "date +%s"));
    assert.ok(now >= builtAt && now < builtAt + 3600, `the clock says ${now}, the image was built at ${builtAt}`);
    assert.match(await shell(box, "cat /var/log/one/network.log"), /the clock said 1970-01-02T\S+, which cannot be/);
    // A restart in order keeps what the clock has seen: it does not go back to the build.
    await shell(box, `date -s @${now + 86_400}`);
    box.type("reboot\r");
    const second = await healthy(box, first.end);
    await openShell(box);
    const later = Number(await shell(box, "date +%s"));
    assert.ok(later >= now + 86_400, `the clock went back from ${now + 86_400} to ${later}`);
    assert.is(second.slot, "A");
    assert.match((await run(box, "onetemplate", "show", "made-in-1970")).text, /MEMORY="64"/);
  } finally {
    await box.remove();
  }
});

test("a box without any network comes up, and its console and shell work", async () => {
  const box = await aBox(image, { hasNetwork: false });
  try {
    await box.powerOn();
    await healthy(box);
    await consoleSays(box, /leader/, BOOT_MS);
    await openShell(box);
    assert.match(await shell(box, "onezone show 0", 60_000), /STATE +: ENABLED/);
    assert.match(await shell(box, "ls /sys/class/net"), /^lo\s*$/);
  } finally {
    await box.remove();
  }
});

test("a stick with a mistake in its oned.conf changes nothing, and the box says in which file and line it is", async () => {
  const folder = join(directory, "ringfence");
  mkdirSync(folder);
  writeFileSync(join(folder, "oned.conf"), '# from a colleague\nPORT = 2633\nPORT = = "x"\n');
  writeFileSync(join(folder, "one_auth"), "oneadmin:another\n");
  const stick = join(directory, "stick.img");
  await makeStick(stick, [folder], 64);
  const kept = "# what the box had\n";
  const box = await aBox(image, { stick, files: { "etc/oned.conf": kept } });
  try {
    await box.powerOn();
    await healthy(box);
    await consoleSays(box, /oned\.conf:3/, BOOT_MS);
    await openShell(box);
    assert.is(await shell(box, "cat /etc/one/oned.conf"), kept);
    assert.is((await shell(box, "cat /var/lib/one/.one/one_auth")).trim(), SESSION);
    assert.match(await shell(box, "cat /var/log/one/network.log"), /oned\.conf:3: .*\n.*Nothing of \S+ was taken over/);
  } finally {
    await box.remove();
  }
});

test("a full data partition is said, survives a restart, and is nothing any more once there is room", async () => {
  const box = await aBox(image, { watchdog: "i6300esb" });
  try {
    await box.powerOn();
    const first = await healthy(box);
    assert.match(await makeTemplate(box, "before"), /^ID: \d+/);
    await openShell(box);
    // All of it: root may take the reserve, too.
    const fill = "fallocate -l $(df -k /data | awk 'END { print $4 }')K /data/fill; cat /dev/zero >>/data/fill";
    assert.match(await shell(box, fill, 120_000), /No space left/);
    assert.match(await makeTemplate(box, "meanwhile"), /no room on the disks of the cluster/);
    await box.say("exit", /> $/);
    // The box has a reserve of its own in there, which it gives up for its log.
    await consoleSays(box, FULL, BOOT_MS);
    await openShell(box);
    box.type("reboot\r");
    await box.expect(/try \d.*: (healthy in|not healthy after)/, 3 * BOOT_MS, first.end);
    await consoleSays(box, FULL, BOOT_MS);
    await openShell(box);
    await shell(box, "rm /data/fill");
    await box.say("exit", /> $/);
    await consoleSays(box, /leader[\s\S]*> $/, 2 * BOOT_MS);
    await makeTemplateWithin(box, "after", BOOT_MS);
    assert.match((await run(box, "onetemplate", "show", "before")).text, /MEMORY="64"/);
  } finally {
    await box.remove();
  }
});

async function makeTemplateWithin(box: Machine, name: string, withinMs: number): Promise<void> {
  let text = "";
  for (const end = performance.now() + withinMs; performance.now() < end; await Bun.sleep(1000)) {
    text = await makeTemplate(box, name);
    if (/^ID: \d+/.test(text)) return;
  }
  assert.unreachable(`no write goes through: ${text}`);
}

test.after(() => rmSync(directory, { recursive: true, force: true }));
test.run();
