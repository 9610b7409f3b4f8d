/** Power: a cut is silent on the wire, a BMC's button is real, and what was frozen dies too. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { waitFor } from "../support/rack/command.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { freshRack } from "./fresh-rack.ts";

const name = "tpow";
let rack: Rack;

test.before(async () => {
  rack = await freshRack({ name, boxes: 1, hosts: 1, bare: true });
});
test.after(async () => {
  await rack?.down();
});

/** A TCP connection from the client to a node, and what becomes of it: bash's read tells silence (142) from an end (1). */
async function connection(node: RackNode): Promise<{ outcome: Promise<number> }> {
  // A refused connection on a port that nobody listens on yet is tried again.
  void node.exec(["socat", "TCP-LISTEN:7777,reuseaddr,fork", "SYSTEM:echo hello; sleep 1000"]);
  const connect = "until exec 3<>/dev/tcp/$0/7777; do sleep 0.05; done 2>/dev/null";
  const script = `${connect}; read -t 5 -r word <&3 && echo $word && read -t 2 -r word <&3`;
  const child = rack.client.exec(["bash", "-c", `${script}; echo "end $?"`, node.address]);
  const outcome = child.then(({ stdout }) => {
    assert.match(stdout, /^hello/, `connected: ${stdout}`);
    return Number(/end (\d+)/.exec(stdout)?.[1]);
  });
  // What is in the client's hands cannot get lost any more; that the server has written it says nothing, socat may still hold it.
  await waitFor("the connection", 5000, async () => {
    const { stdout } = await rack.client.exec(["ss", "-Htni", "state", "established", "dport = :7777"]);
    return /bytes_received:6\b/.test(stdout);
  });
  return { outcome };
}

/** bash's answer when a read's time is over: 128 + SIGALRM. */
const SILENCE = 142;

test("the end of a process is heard by its peer", async () => {
  // The counterpart of the next test: this is what a power cut must not look like.
  const { outcome } = await connection(rack.box(0));
  rack.box(0).kill("socat");
  assert.is(await outcome, 1);
});

test("a power cut is silent: the peer of a connection hears no goodbye, and nothing answers ping", async () => {
  const { outcome } = await connection(rack.box(0));
  const { cutAtMs, deadAtMs } = await rack.box(0).powerCut();
  assert.ok(deadAtMs >= cutAtMs);
  assert.is(await outcome, SILENCE);
  assert.is(rack.box(0).isOn(), false);
  assert.equal(rack.box(0).processes(), []);
  assert.is.not((await rack.client.exec(["ping", "-c1", "-W1", rack.box(0).address])).code, 0);
  await assertRejects(() => rack.box(0).exec(["true"]), /box0: it is off/);
  await rack.box(0).powerOn();
});

test("connections of before a power cycle are unknown after it", async () => {
  const { outcome } = await connection(rack.box(0));
  await rack.box(0).powerCut();
  await rack.box(0).powerOn();
  assert.ok([SILENCE, 1].includes(await outcome));
  const { stdout } = await rack.box(0).exec(["ss", "-Htan"]);
  assert.not.match(stdout, /7777/);
});

test("a host's BMC cuts its power and gives it back; libvirtd answers again", async () => {
  const host = rack.host(0);
  const uuidOf = async () => (await rack.client.exec(["virsh", "-c", host.libvirtUri, "capabilities"])).stdout;
  assert.match(await uuidOf(), new RegExp(`<uuid>${host.uuid}</uuid>`));
  await host.pressPower("off");
  assert.equal([host.isOn(), host.bmc.isOn()], [false, true], "the BMC lives on");
  await host.pressPower("on");
  assert.is(host.isOn(), true);
  assert.match(await uuidOf(), new RegExp(`<uuid>${host.uuid}</uuid>`));
});

test("the BMC's GUID is the host's UUID", async () => {
  const host = rack.host(0);
  const login = ["-I", "lanplus", "-C", "17", "-H", host.bmc.address, "-U", rack.bmcUser, "-f", rack.bmcPasswordFile];
  const { stdout } = await rack.client.exec(["ipmitool", ...login, "mc", "guid"]);
  assert.match(stdout.toLowerCase().replaceAll("-", ""), new RegExp(host.uuid.replaceAll("-", "")), stdout);
});

test("a frozen host still answers ping, and its BMC still cuts its power", async () => {
  const host = rack.host(0);
  await host.freeze();
  assert.is((await rack.client.exec(["ping", "-c1", "-W1", host.address])).code, 0);
  const ssh = await rack.client.exec(["bash", "-c", `exec 3<>/dev/tcp/${host.address}/22; read -t 1 -r line <&3`]);
  assert.is(ssh.code, SILENCE, "TCP connects, but sshd says nothing");
  await host.pressPower("off");
  assert.is(host.isOn(), false);
  await host.pressPower("on");
  assert.is((await rack.status()).nodes.find((node) => node.name === host.name)?.frozen, false);
});

test("a silent BMC cannot be used, and the plug still works", async () => {
  const host = rack.host(0);
  await host.bmcFault("silent");
  await assertRejects(() => host.pressPower("off"), /Cannot switch hv0 off by its BMC at 10\.77\.1\.20/);
  assert.is(host.isOn(), true);
  await host.bmcFault("none");
  await host.powerCut();
  assert.is(host.isOn(), false);
  await host.pressPower("on");
});

async function assertRejects(action: () => Promise<unknown>, pattern: RegExp): Promise<void> {
  const complaint = await action().then(
    () => "it was accepted",
    (error: unknown) => String(error),
  );
  assert.match(complaint, pattern);
}

test.run();
