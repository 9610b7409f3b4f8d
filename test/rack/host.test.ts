/** A hypervisor of the rack, as the boxes use it: ssh with a key, libvirt, guests that move. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { waitFor } from "../support/rack/command.ts";
import { domainXml } from "../support/rack/guest/domain-example.ts";
import { doubleRun, lastRecord, ringRecords } from "../support/rack/guest/record.ts";
import type { Rack } from "../support/rack/rack.ts";
import { freshRack } from "./fresh-rack.ts";

let rack: Rack;

test.before(async () => {
  rack = await freshRack({ name: "thos", boxes: 1, hosts: 2, bare: true });
});
test.after(async () => {
  await rack?.down();
});

test("a host lets in whose key it was given, and nobody else, with one host key for life", async () => {
  const [box, host] = [rack.box(0), rack.host(0)];
  await box.exec(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/var/lib/one/key"]);
  const strict = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-i", "/var/lib/one/key"];
  const login = () => box.exec(["ssh", ...strict, `root@${host.address}`, "hostname; virsh list --all"]);
  assert.match((await login()).stderr, /Permission denied/);
  host.authorize(readFileSync(`${rack.place.dataDirectory}/box0/lib/key.pub`, "utf8"));
  const first = await login();
  assert.is(first.code, 0, first.stderr);
  assert.match(first.stdout, /^hv0\n.*Id.*Name.*State/s);
  await host.powerCut();
  await host.powerOn();
  // A changed host key would be refused: the box has the first one in its known_hosts.
  const second = await login();
  assert.is(second.code, 0, second.stderr);
});

test("both hosts have the shared datastore, identities of their own and no emulation by the processor", async () => {
  const [a, b] = [rack.host(0), rack.host(1)];
  await a.exec(["sh", "-c", "echo shared >/var/lib/one/datastores/1/word"]);
  assert.is((await b.exec(["cat", "/var/lib/one/datastores/1/word"])).stdout, "shared\n");
  const uuid = async (host: typeof a) =>
    /<uuid>(.*)<\/uuid>/.exec((await host.exec(["virsh", "capabilities"])).stdout)?.[1];
  assert.equal([await uuid(a), await uuid(b)], [a.uuid, b.uuid]);
  assert.is.not(a.uuid, b.uuid);
  assert.is((await a.exec(["ls", "/dev/kvm"])).code, 2);
});

test("a guest that is migrated live goes on with its boot id, and is no double run", async () => {
  const guest = await rack.guest(0);
  const [here, there] = [rack.host(0), rack.host(1)];
  const xml = domainXml({ ...guest, serialFile: "/var/log/libvirt/qemu/guest0-serial.log" });
  const created = await here.exec(["sh", "-c", "cat >/tmp/guest.xml && virsh create /tmp/guest.xml"], { stdin: xml });
  assert.is(created.code, 0, created.stderr);
  const reaches = (number: number) =>
    waitFor("records", 10_000, () => (lastRecord(guest.diskPath)?.number ?? 0) >= number);
  await reaches(3);
  const moved = await here.exec(["virsh", "migrate", "--live", "--unsafe", guest.name, there.libvirtUri]);
  assert.is(moved.code, 0, moved.stderr);
  assert.equal(there.processes().filter((process) => process.name === guest.name).length, 1);
  await reaches((lastRecord(guest.diskPath)?.number ?? 0) + 3);
  const records = ringRecords(guest.diskPath);
  assert.is(new Set(records.map((record) => record.bootId)).size, 1);
  assert.equal(doubleRun(records), []);
  there.kill(guest.name);
  await waitFor(
    "libvirt to miss it",
    5000,
    async () => !(await there.exec(["virsh", "list"])).stdout.includes(guest.name),
    50,
  );
});

test.run();
