// An image boots, and its console answers and opens a shell. time-limit: 600 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, openShell, shell } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";

const image = await theImage();

/** Of no use to anybody: its private half is lost. */
const SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0eYZC8fGf4vGz8w0a0T2bVQKcJm0n1xk0q5b1gk7aE test";

test("BIOS, virtio: the box comes up healthy and its recovery console answers on the serial line", async () => {
  const box = await aBox(image, { files: { "ssh/authorized_keys": `${SSH_KEY}\n` } });
  try {
    await box.powerOn();
    const { slot } = await healthy(box);
    assert.is(slot, "A");
    await box.expect(/TEST key/, 1000);
    await box.say("", /slot +A: [\s\S]*> $/);
    await box.say("help", /more lines: Enter, or q to stop -- $/);
    await box.say("", /shell[\s\S]*> $/);
    await openShell(box);
    // The root cannot be written, and what has to be kept lies on the data partition.
    assert.match(await shell(box, "touch /usr/x"), /Read-only file system/);
    assert.match(await shell(box, "grep ' /data ' /proc/mounts"), / \/data ext4 rw/);
    const kibibytes = Number(await shell(box, "df -k /data | awk 'END { print $2 }'"));
    assert.ok(kibibytes > 1024 * 1024, `the data partition has ${kibibytes} KiB of a disk of 2 GiB`);
    assert.match(await shell(box, "cat /run/one/boot.json"), /"slot":"A","try":1,"mode":"normal".*"verity":true/);
    assert.match(await shell(box, "onezone show 0", 60_000), /STATE +: ENABLED/);
    assert.match(await shell(box, "ringfence status", 60_000), /leader/);
    assert.match(await shell(box, "echo | nc -w 5 127.0.0.1 22"), /SSH-2\.0-OpenSSH/);
  } finally {
    await box.remove();
  }
});

test.run();
