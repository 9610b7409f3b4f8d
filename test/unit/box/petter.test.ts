// What feeds the watchdog in the initramfs: for a while, and longer only while a disk is worked on.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";

const INIT = readFileSync(resolve(import.meta.dir, "../../../appliance/boot/init"), "utf8");
const LIMITS = { PETS_MAX: 2, WORK_PETS_MAX: 3 };

function functionOf(name: string): string {
  const found = new RegExp(`^${name}\\(\\) \\{\\n[\\s\\S]*?^\\}\\n`, "m").exec(INIT);
  assert.ok(found, `init has no ${name}`);
  return found[0];
}

/** How often the dog is fed before it is left alone, beside a process that is said to work on the disk. */
async function feeds(worker: readonly string[] | undefined): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "petter-"));
  const words = [functionOf("disk_work_goes_on"), functionOf("pet")]
    .join("")
    .replaceAll("/run/one", directory)
    .replace("/dev/watchdog0", `${directory}/dog`)
    .replace("/dev/kmsg", `${directory}/said`)
    .replaceAll("/dev/null", `${directory}/null`)
    .replace("-t 4", "-t 1");
  const limits = Object.entries(LIMITS).map(([name, value]) => `${name}=${value}`);
  const work = worker === undefined ? undefined : Bun.spawn([...worker]);
  try {
    if (work !== undefined) writeFileSync(`${directory}/disk-work.pid`, `${work.pid}\n`);
    const script = `mkfifo ${directory}/petter.wait\n${limits.join(" ")}\n${words}pet\n`;
    const petter = Bun.spawn(["busybox", "sh", "-c", script], { stderr: "pipe" });
    // As when the initramfs moves /dev away under it.
    await Bun.sleep(500);
    for (const name of ["null", "dog", "said"]) renameSync(`${directory}/${name}`, `${directory}/${name}.moved`);
    assert.is(await petter.exited, 0, await new Response(petter.stderr).text());
    for (const name of ["null", "dog", "said"])
      assert.not.ok(existsSync(`${directory}/${name}`), `${name} is made anew`);
    assert.match(readFileSync(`${directory}/said.moved`, "utf8"), /nobody took the watchdog over/);
    return readFileSync(`${directory}/dog.moved`, "utf8").split("\n").length - 1;
  } finally {
    work?.kill();
    rmSync(directory, { recursive: true });
  }
}

test("it is fed for its time, longer while the disk's work reads and writes, and that not for ever", async () => {
  const [alone, beside] = await Promise.all([feeds(undefined), feeds(["dd", "if=/dev/zero", "of=/dev/null", "bs=64"])]);
  assert.is(alone, LIMITS.PETS_MAX);
  assert.is(beside, LIMITS.PETS_MAX + LIMITS.WORK_PETS_MAX);
});

test("work that hangs with its disk is not waited for", async () => {
  // What it has read before the first look counts once.
  assert.is(await feeds(["sleep", "60"]), LIMITS.PETS_MAX + 1);
});

test.run();
