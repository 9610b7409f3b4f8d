// time-limit: 120 s
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { provision } from "../../../src/box/provision/driver.ts";
import { type ProvisionedFile, type ProvisionFacts, planProvision } from "../../../src/box/provision/planner.ts";
import type { Medium } from "../../../src/box/provision/ports.ts";
import type { ActionResult } from "../../../src/console/types.ts";
import { mediumOf } from "../../../src/parts/provisioning.ts";
import { findSticks, listSticks, openSticks } from "../../../src/parts/usb-sticks.ts";

const TOKEN = `rf1.${"a".repeat(40)}`;
const KEY = `ssh-ed25519 ${"A".repeat(68)} somebody`;
const fresh: ProvisionFacts = { found: {}, kept: {}, isMember: false };

test("what is whole is taken over, secrets are wiped, and the token is written last", () => {
  const found = {
    "join-token": `${TOKEN}\r\n`,
    "oned.conf": "PORT = 2633\n",
    authorized_keys: `${KEY}\n`,
    one_auth: "oneadmin:pw",
  };
  const plan = planProvision("/dev/sdb1", { ...fresh, found });
  assert.equal(plan.problems, []);
  assert.equal(
    plan.writes.map((one) => one.file),
    ["oned.conf", "authorized_keys", "one_auth", "join-token"],
  );
  assert.is(plan.writes.at(-1)?.text, `${TOKEN}\n`);
  assert.equal([...plan.wipes].sort(), ["join-token", "one_auth"]);
});

test("one mistake in one file refuses all of them, with file and line; nothing is written or wiped", () => {
  for (const [found, pattern] of [
    [{ "oned.conf": "PORT = 2633\nNONSENSE = 1\n" }, /^\/dev\/sdb1\/oned\.conf:2: unknown setting "NONSENSE"$/],
    [{ "oned.conf": "RAFT = [ X" }, /oned\.conf:1: /],
    [{ "box.conf": "INTERFACE = [ NAME = eth0, ADDRESS = 1 ]" }, /box\.conf:1: INTERFACE eth0/],
    [{ "join-token": "short" }, /join-token:1: this is no join token/],
    [{ one_auth: "nopassword" }, /one_auth:1: this is not name:password/],
    [{ authorized_keys: `# mine\n${KEY}\ncommand="x" ${KEY}\n` }, /authorized_keys:3: /],
    [{ "oned.conf": undefined }, /larger than 256 KiB, or no text/],
  ] as const) {
    const plan = planProvision("/dev/sdb1", { ...fresh, found: { "join-token": TOKEN, ...found } });
    assert.match(plan.problems.join("\n"), pattern);
    assert.equal([plan.writes, plan.wipes], [[], []]);
  }
});

test("a new oned.conf is read together with the box.conf that is there", () => {
  const kept = { "box.conf": "PORT = 99999\n" };
  const plan = planProvision("/dev/sdb1", { ...fresh, found: { "oned.conf": "" }, kept });
  assert.match(plan.problems.join(), /^\/etc\/one\/box\.conf:1: /);
});

test("a stick that stays in the box changes nothing the second time, and a member takes no token", () => {
  const found = { "oned.conf": "PORT = 2633\n", authorized_keys: `${KEY}\n` };
  const kept = { "oned.conf": "PORT = 2633\n", authorized_keys: `ssh-rsa other\n${KEY}\n` };
  assert.equal(planProvision("s", { ...fresh, found, kept }).writes, []);
  const member = planProvision("s", { ...fresh, found: { "join-token": TOKEN }, isMember: true });
  assert.equal(member.writes, []);
  assert.match(member.said.join(), /belongs to a cluster already/);
  assert.equal(member.wipes, ["join-token"], "a token that lies about is a token that is found");
});

/** A box of the tests, and what it was told. */
class Box {
  readonly directory = mkdtempSync(join(tmpdir(), "provision-"));
  readonly said: string[] = [];
  readonly refused: string[] = [];
  readonly records: string[] = [];
  kept: Partial<Record<ProvisionedFile, string>> = {};

  run(...media: Medium[]): Promise<boolean> {
    return provision({
      media: () => media,
      kept: () => this.kept,
      isMember: () => false,
      write: (file, text) => {
        this.kept[file] = text;
      },
      say: (text) => this.said.push(text),
      refused: (problem) => this.refused.push(problem),
      record: (source, outcome) => this.records.push(`${source} ${outcome}`),
    });
  }
}

function folderMedium(path: string, isReadOnly = false): Medium {
  return {
    name: "stick",
    use: async (isWritable, work) => {
      if (isWritable && isReadOnly) throw new Error("write protected");
      return work(existsSync(path) ? path : undefined);
    },
  };
}

test("a broken oned.conf is refused on the console and on the record, and the old one stays", async () => {
  const box = new Box();
  box.kept = { "oned.conf": "PORT = 2633\n" };
  writeFileSync(`${box.directory}/oned.conf`, "\n\nPORT = many\n");
  writeFileSync(`${box.directory}/join-token`, TOKEN);
  assert.not.ok(await box.run(folderMedium(box.directory)));
  assert.equal(box.kept, { "oned.conf": "PORT = 2633\n" });
  assert.match(box.said.join("\n"), /stick\/oned\.conf:3: PORT = "many" is not a whole number/);
  assert.match(box.refused.join(), /^stick\/oned\.conf:3: [^,]*$/);
  assert.match(box.records.join(), /refused/);
  assert.ok(existsSync(`${box.directory}/join-token`), "the token is needed when the file is mended");
  rmSync(box.directory, { recursive: true });
});

test("a write-protected stick gives what it has, and the person is told of the secret that is still on it", async () => {
  const box = new Box();
  writeFileSync(`${box.directory}/join-token`, TOKEN);
  assert.ok(await box.run(folderMedium(box.directory, true)));
  assert.is(box.kept["join-token"], `${TOKEN}\n`);
  assert.match(box.said.join("\n"), /COULD NOT BE WIPED .*write protected/);
  rmSync(box.directory, { recursive: true });
});

test("a medium that cannot be read, is empty or has rubbish keeps the next one from nothing", async () => {
  const box = new Box();
  const broken: Medium = { name: "broken", use: () => Promise.reject(new Error("I/O error")) };
  const rubbish = mkdtempSync(join(tmpdir(), "rubbish-"));
  writeFileSync(`${rubbish}/box.conf`, Buffer.from([0xff, 0xfe, 0, 1]));
  mkdirSync(`${rubbish}/oned.conf`);
  mkdirSync(`${box.directory}/good`);
  writeFileSync(`${box.directory}/good/box.conf`, "\uFEFFSERVER_ID = 3\r\n");
  assert.ok(
    await box.run(broken, folderMedium("/nowhere"), folderMedium(rubbish), folderMedium(`${box.directory}/good`)),
  );
  assert.is(box.kept["box.conf"], "SERVER_ID = 3\n");
  assert.match(box.said.join("\n"), /broken is left alone: I\/O error/);
  for (const path of [box.directory, rubbish]) rmSync(path, { recursive: true });
});

for (const type of ["vfat", "ext4"]) {
  const canMount =
    process.getuid?.() === 0 &&
    /\n/.test(readFileSync("/proc/filesystems", "utf8")) &&
    new RegExp(`\\b${type}$`, "m").test(readFileSync("/proc/filesystems", "utf8"));
  if (!canMount) {
    console.log(`a stick with ${type} is left out: this kernel cannot mount it`);
    continue;
  }
  test(`a stick with ${type}: its token is taken over, and no byte of it is left on it`, async () => {
    const box = new Box();
    const image = `${box.directory}/stick.img`;
    const loop = makeStick(type, image, { "join-token": TOKEN, "oned.conf": "PORT = 2633\n" });
    try {
      assert.ok(readFileSync(image).includes(TOKEN));
      assert.ok(await box.run(mediumOf(loop, "stick")), box.said.join("\n"));
      assert.is(box.kept["join-token"], `${TOKEN}\n`);
      sh("blockdev", "--flushbufs", loop);
      assert.not.ok(readFileSync(image).includes(TOKEN));
      // A second boot with it finds the configuration, which is in force already.
      assert.not.ok(await box.run(mediumOf(loop, "stick")));
    } finally {
      sh("losetup", "-d", loop);
      rmSync(box.directory, { recursive: true });
    }
  });

  test(`sticks with ${type}: a backup is written to the only one, listed, and found again by its name`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "sticks-"));
    const loops = ["a", "b"].map((name) => makeStick(type, `${directory}/${name}.img`, {}));
    const all = loops.map((device) => ({ device, label: "Test Stick" }));
    try {
      const one = openSticks(all.slice(0, 1));
      const written = await one.write(async (at) => {
        writeFileSync(`${at}/monday.backup`, "content");
        return { isDone: true, text: "Stored.\n" };
      });
      assert.match(written.text, /^Stored\.\nIt is on .*the stick can be pulled/);
      assert.match(
        (await listSticks(openSticks(all))).text,
        /Test Stick\n {2}monday\.backup, 1 KiB\n.*\n {2}no backups/,
      );
      const found = await openSticks(all).find("monday.backup", async (path) => ({
        isDone: true,
        text: readFileSync(path, "utf8"),
      }));
      assert.is(found.text, "content");
      assert.match((await openSticks(all).find("tuesday.backup", nothing)).text, /There is no/);
      assert.match((await openSticks(all).write(nothing)).text, /more than one place/);
      assert.match((await openSticks([]).write(nothing)).text, /no USB stick/);
      await assertRejects(() => openSticks([{ device: "/dev/null", label: "" }]).write(nothing));
    } finally {
      for (const loop of loops) sh("losetup", "-d", loop);
      rmSync(directory, { recursive: true });
    }
  });
}

test("only what hangs on a USB bus is a stick, and never the disk that the box runs from", () => {
  const sys = mkdtempSync(join(tmpdir(), "sys-"));
  mkdirSync(`${sys}/class/block`, { recursive: true });
  const usb = "devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block";
  for (const [path, isPartition] of [
    ["devices/pci0000:00/ata1/host0/block/sda", false],
    ["devices/pci0000:00/ata1/host0/block/sda/sda1", true],
    [`${usb}/sdb`, false],
    [`${usb}/sdb/sdb1`, true],
    [`${usb.replace("2-1", "2-2")}/sdc`, false],
    [`${usb.replace("2-1", "2-3")}/sdd`, false],
    [`${usb.replace("2-1", "2-3")}/sdd/sdd5`, true],
  ] as const) {
    mkdirSync(`${sys}/${path}`, { recursive: true });
    if (isPartition) writeFileSync(`${sys}/${path}/partition`, "1\n");
    symlinkSync(`${sys}/${path}`, `${sys}/class/block/${path.split("/").at(-1)}`);
  }
  assert.equal(
    findSticks("/dev/sdd", sys).map((one) => one.device),
    ["/dev/sdb1", "/dev/sdc"],
  );
  rmSync(sys, { recursive: true });
});

const nothing = async (): Promise<ActionResult> => {
  throw new Error("nothing is to be done with it");
};

function makeStick(type: string, image: string, files: Readonly<Record<string, string>>): string {
  sh("truncate", "-s", "16M", image);
  sh(`mkfs.${type}`, ...(type === "ext4" ? ["-q", "-F"] : []), image);
  const loop = sh("losetup", "--show", "-f", image).trim();
  const at = mkdtempSync(join(tmpdir(), "stick-"));
  sh("mount", "-t", type, loop, at);
  mkdirSync(`${at}/ringfence`);
  for (const [name, text] of Object.entries(files)) writeFileSync(`${at}/ringfence/${name}`, text);
  sh("umount", at);
  rmSync(at, { recursive: true });
  return loop;
}

function sh(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8" });
  assert.is(status, 0, `${program} ${words.join(" ")}: ${stderr}`);
  return stdout;
}

async function assertRejects(work: () => Promise<unknown>): Promise<void> {
  await work().then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /Cannot read "\/dev\/null"/),
  );
}

test.run();
