/** Building and taking away. Each test file has a rack of its own name and leaves a person's rack alone. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { run, waitFor } from "../support/rack/command.ts";
import { placeOf } from "../support/rack/place.ts";
import { openRack, upRack } from "../support/rack/rack.ts";
import { down } from "../support/rack/up.ts";

const name = "tud";

/** All traces that a rack of this name could leave on this machine. */
async function traces(): Promise<Record<string, readonly string[]>> {
  const listOf = (path: string) => (existsSync(path) ? readdirSync(path) : []).filter((entry) => entry.includes(name));
  const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid);
  const mentions = (path: string) => readOrNothing(path).includes(`ringfence-rack-${name}`);
  // One that is dying has no words any more; who buries it, and when, is not the rack's business.
  const isAlive = (pid: string) => readOrNothing(`/proc/${pid}/cmdline`) !== "";
  return {
    namespaces: listOf("/run/netns"),
    run: listOf("/run"),
    data: listOf("/var/tmp"),
    cgroups: listOf("/sys/fs/cgroup").concat(listOf("/sys/fs/cgroup/unified")),
    mounts: readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`rf-${name}`) || line.includes(`ringfence-rack-${name}`)),
    processes: processes
      .filter((pid) => isAlive(pid) && (mentions(`/proc/${pid}/cgroup`) || mentions(`/proc/${pid}/cmdline`)))
      .map((pid) => `${pid} ${readOrNothing(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`),
    links: (await run(["ip", "-o", "link", "show"])).stdout.split("\n").filter((line) => /box|hv\d|rf-/.test(line)),
    mountPoints: ["/etc/one", "/var/lib/one", "/var/log/one"].map((path) => `${path} ${existsSync(path)}`),
  };
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It ended while we looked.
  }
}

test("down leaves nothing of what up made", async () => {
  await down(placeOf(name)); // An earlier run may have been broken off.
  const before = await traces();
  const rack = await upRack({ name, boxes: 2, hosts: 1 });
  const during = await traces();
  for (const kind of ["namespaces", "run", "data", "cgroups", "processes"]) {
    assert.ok((during[kind]?.length ?? 0) > (before[kind]?.length ?? 0), `the test sees ${kind}`);
  }
  // Not only a tidy rack: with a watcher, a frozen box, a program inside and a node without power.
  await rack.watchAddresses();
  await rack.box(0).freeze();
  void rack.box(1).exec(["sleep", "1000"]);
  await waitFor("the program inside", 5000, () =>
    rack
      .box(1)
      .processes()
      .some((each) => each.name === "sleep"),
  );
  await rack.host(0).powerCut();
  assert.is(await rack.down(), true);
  assert.equal(await traces(), before);
  assert.is(await rack.down(), false, "a second down finds nothing");
});

test("a second up changes nothing, and leaves a node off that was switched off", async () => {
  const rack = await upRack({ name, boxes: 2, hosts: 0, bare: true });
  const bootId = await rack.box(0).exec(["cat", "/proc/sys/kernel/random/boot_id"]);
  await rack.box(1).powerCut();
  const again = await upRack({ name });
  assert.equal(again.state, rack.state);
  assert.is(again.box(1).isOn(), false);
  assert.equal(await again.box(0).exec(["cat", "/proc/sys/kernel/random/boot_id"]), bootId);
  await rack.down();
});

test("up with another size than the rack has is refused by name", async () => {
  const rack = await upRack({ name, boxes: 1, hosts: 0, bare: true });
  const refusal = await upRack({ name, boxes: 3 }).catch((error: unknown) => String(error));
  assert.match(String(refusal), /boxes 3: it is up with 1/);
  await rack.down();
});

test("a size that the address plan cannot hold is refused before anything is made", async () => {
  const before = await traces();
  for (const boxes of [6, -1, 1.5]) {
    const refusal = await upRack({ name, boxes }).catch((error: unknown) => String(error));
    assert.match(String(refusal), new RegExp(`boxes "${boxes}"`));
  }
  // The lock's directory is what a refused up may leave; down takes it away.
  await run([process.execPath, `${import.meta.dirname}/../support/rack/main.ts`, "down", "--rack", name]);
  assert.equal(await traces(), before);
});

test("a box has its own files, processes, host name and boot id, and sees none of this machine's", async () => {
  const rack = await upRack({ name, boxes: 2, hosts: 0, bare: true });
  const shell = async (number: number, script: string) =>
    (await rack.box(number).exec(["sh", "-c", script])).stdout.trim();
  assert.is(await shell(0, "hostname"), "box0");
  assert.is(await shell(0, "ls /dev/kvm /dev/watchdog /run/netns 2>/dev/null"), "", "nothing dangerous is in reach");
  assert.is(await shell(0, "tr '\\0' ' ' </proc/1/cmdline"), `sh ${process.cwd()}/test/support/rack/node-init.sh`);
  assert.match(await shell(0, "cat /etc/one/box.conf"), /SERVER_ID = -1[\s\S]*MGMT = "10.77.0.10", BMC = "10.77.1.10"/);
  assert.match(await shell(1, "cat /etc/one/box.conf"), /SERVER_ID = 1\n/);
  assert.match(await shell(1, "cat /etc/one/oned.conf"), /VIP = \[ INTERFACE = "eth0", ADDRESS = "10.77.0.2\/24" \]/);
  assert.is.not(
    await shell(0, "cat /proc/sys/kernel/random/boot_id"),
    await shell(1, "cat /proc/sys/kernel/random/boot_id"),
  );
  await shell(0, "echo kept >/var/lib/one/file; echo gone >/run/one/file; echo gone >/tmp/file");
  const bootId = await shell(0, "cat /proc/sys/kernel/random/boot_id");
  await rack.box(0).powerCut();
  await rack.box(0).powerOn();
  assert.is(
    await shell(0, "cat /var/lib/one/file /run/one/file /tmp/file 2>/dev/null"),
    "kept",
    "only the disk survives",
  );
  assert.is.not(await shell(0, "cat /proc/sys/kernel/random/boot_id"), bootId);
  assert.is((await rack.box(0).exec(["cat"], { stdin: "said\n" })).stdout, "said\n");
  await rack.down();
});

test("taking one rack down leaves another one whole", async () => {
  const rack = await upRack({ name, boxes: 1, hosts: 1, bare: true });
  const { address } = rack.host(0);
  const look = () =>
    rack.box(0).exec(["sh", "-c", `cat /etc/one/box.conf; mount | grep -c one; ping -c1 -W1 ${address} >&2`]);
  const before = await look();
  assert.is(before.code, 0, before.stderr);
  const other = await upRack({ name: `${name}2`, boxes: 1, hosts: 1, bare: true });
  await other.down();
  assert.is((await look()).stdout, before.stdout);
  assert.is(rack.host(0).isOn(), true);
  await rack.down();
});

test("opening a rack that is down says so", () => {
  assert.throws(() => openRack(name), /it is down/);
});

test.run();
