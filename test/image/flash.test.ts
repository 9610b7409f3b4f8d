// An image is written to the disk that was meant, and to no other; the same source gives the same image. time-limit: 600 s
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command } from "../../appliance/command.ts";
import { buildInto, theBuild } from "../support/image/image.ts";

const REPOSITORY = resolve(import.meta.dir, "../..");
const DISK_BYTES = 1024 ** 3;

const { image, ...built } = await theBuild();
const directory = mkdtempSync(join(tmpdir(), "ringfence-flash-"));

/** A disk that the kernel knows, over a file; `use` gets both. */
async function withDisk(bytes: number, use: (device: string, file: string) => Promise<void>): Promise<void> {
  const file = join(directory, "disk");
  writeFileSync(file, "");
  truncateSync(file, bytes);
  const device = (await command(["losetup", "--show", "--find", file])).trim();
  try {
    await use(device, file);
  } finally {
    await command(["losetup", "--detach", device]);
    rmSync(file);
  }
}

async function flash(device: string, answer: string): Promise<{ readonly code: number; readonly said: string }> {
  const child = Bun.spawn([process.execPath, "appliance/main.ts", "flash", device, "--image", image], {
    cwd: REPOSITORY,
    stdin: new Blob([`${answer}\n`]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, said: out + err };
}

/** True if nothing but holes is in the file. */
async function isUntouched(file: string): Promise<boolean> {
  return (await command(["du", "--block-size=1", file])).startsWith("0\t");
}

test("the image is on the disk, is read back, and no older system's second table is left", async () => {
  await withDisk(DISK_BYTES, async (device, file) => {
    await command(["sh", "-c", 'echo "label: gpt" | sfdisk --quiet "$1"', "sh", device]);
    const { code, said } = await flash(device, device);
    assert.is(code, 0, said);
    assert.match(said, /reads back 100 %/);
    await command(["cmp", `--bytes=${Bun.file(image).size}`, image, file]);
    const end = readFileSync(file).subarray(-33 * 512);
    assert.is(Buffer.compare(end, Buffer.alloc(end.length)), 0);
  });
});

test("nothing is written when the name is not typed again, the disk is too small, mounted, or none", async () => {
  await withDisk(DISK_BYTES, async (device, file) => {
    const { code, said } = await flash(device, "/dev/sdz");
    assert.is(code, 1);
    assert.match(said, /Nothing was written: "\/dev\/sdz" is not/);
    assert.ok(await isUntouched(file));
    assert.match((await flash(file, file)).said, /is no block device/);
  });
  await withDisk(64 * 1024 ** 2, async (device, file) => {
    assert.match((await flash(device, device)).said, /is too small: 67108864 bytes/);
    assert.ok(await isUntouched(file));
  });
  await withDisk(DISK_BYTES, async (device) => {
    const place = mkdtempSync(join(directory, "mount-"));
    await command(["mkfs.ext4", "-q", device]);
    await command(["mount", device, place]);
    try {
      assert.match((await flash(device, device)).said, /is mounted on/);
    } finally {
      await command(["umount", place]);
    }
  });
});

test("the same source and key give the same bytes", async () => {
  const again = await buildInto(join(directory, "again"));
  for (const [one, other] of [
    [image, again.image],
    [built.bundle, again.bundle],
  ] as const)
    await command(["cmp", one, other]);
});

test.after(() => rmSync(directory, { recursive: true, force: true }));
test.run();
