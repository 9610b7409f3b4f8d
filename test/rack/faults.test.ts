/** Network faults between nodes, and what the command line says to bad input. */
import { existsSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type RunResult, run, waitFor } from "../support/rack/command.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { freshRack } from "./fresh-rack.ts";

const name = "tfau";
let rack: Rack;

test.before(async () => {
  rack = await freshRack({ name, boxes: 3, hosts: 0, bare: true });
});
test.before.each(() => rack.heal());
test.after(async () => {
  await rack?.down();
});

/** True if `to` answers a ping from `from`. A static neighbour, so that ARP's one-second retries decide nothing. */
async function reaches(from: RackNode, to: RackNode, network: 0 | 1 = 0): Promise<boolean> {
  const wire = to.plan.wires[network];
  const device = from.plan.wires[network]?.device ?? "";
  await from.exec(["ip", "neigh", "replace", wire?.address ?? "", "lladdr", wire?.mac ?? "", "dev", device]);
  await to.exec([
    "ip",
    "neigh",
    "replace",
    from.plan.wires[network]?.address ?? "",
    "lladdr",
    from.plan.wires[network]?.mac ?? "",
    "dev",
    wire?.device ?? "",
  ]);
  return (await from.exec(["ping", "-c1", "-W1", wire?.address ?? ""])).code === 0;
}

const rackCommand = (...words: string[]): Promise<RunResult> =>
  run([process.execPath, `${import.meta.dirname}/../support/rack/main.ts`, "--rack", name, ...words]);

test("a cut cable stays cut over a power cycle, and the other network goes on", async () => {
  const [a, b] = [rack.box(0), rack.box(1)];
  assert.is(await reaches(a, b), true);
  await b.cut("mgmt");
  assert.equal([await reaches(a, b), await reaches(a, b, 1)], [false, true]);
  await b.powerCut();
  await b.powerOn();
  assert.equal([await reaches(a, b), await reaches(a, b, 1)], [false, true]);
  await b.heal();
  assert.is(await reaches(a, b), true);
});

test("healing a node without power plugs nothing in until it is switched on", async () => {
  const b = rack.box(1);
  await b.cut();
  await b.powerCut();
  await b.heal();
  assert.equal(
    (await rack.status()).nodes.find((node) => node.name === "box1")?.wires.map((wire) => wire.plugged),
    [false, false],
  );
  await b.powerOn();
  assert.is(await reaches(rack.box(0), b), true);
});

test("a partition separates its two sides on both networks and nobody else", async () => {
  const [a, b, c] = [rack.box(0), rack.box(1), rack.box(2)];
  await rack.partition([a, b], [c]);
  assert.is(await reaches(a, b), true);
  assert.equal([await reaches(a, c), await reaches(c, b), await reaches(a, c, 1)], [false, false, false]);
  assert.is(await reaches(rack.client, c), true);
  await c.heal();
  assert.equal([await reaches(a, c), await reaches(c, b), await reaches(a, c, 1)], [true, true, true]);
});

test("a one-way partition lets frames of the other direction pass", async () => {
  const [a, b] = [rack.box(0), rack.box(1)];
  await rack.partition([a], [b], { oneWay: true, network: "mgmt" });
  const received = async (node: RackNode) =>
    Number((await node.exec(["cat", "/sys/class/net/eth0/statistics/rx_packets"])).stdout);
  assert.is(await reaches(a, b), false);
  assert.is(await reaches(b, a), false, "an echo needs both directions");
  const before = await received(a);
  await b.exec(["ping", "-c5", "-i0.01", "-W1", a.address]);
  assert.ok((await received(a)) >= before + 5, "the requests arrive; only the answers are lost");
});

test("loss loses about its share, and none when it is ended", async () => {
  const [a, b] = [rack.box(0), rack.box(1)];
  assert.is(await reaches(a, b), true);
  const lost = async () => {
    const { stdout } = await a.exec(["ping", "-q", "-c400", "-i0.002", "-W1", b.address]);
    return 100 - Number(/(\d+) received/.exec(stdout)?.[1]) / 4;
  };
  await b.lose(30);
  const share = await lost();
  // Echo and answer each pass with 0.7: 51 % lost; four standard deviations of 400 trials are 10.
  assert.ok(share > 41 && share < 61, `${share} %`);
  await b.lose(0);
  assert.is(await lost(), 0);
});

test("a delayed cable is as slow as it was told, keeps its order and its connections, and outlives a power cycle", async () => {
  const [a, b] = [rack.box(0), rack.box(1)];
  const roundTrip = async (count = 5) => {
    const { stdout } = await a.exec(["ping", "-q", `-c${count}`, "-i0.02", "-W3", b.address]);
    assert.match(stdout, new RegExp(`${count} received`), stdout);
    return Number(/= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]);
  };
  assert.is(await reaches(a, b), true);
  await b.delay(40, { network: "mgmt" });
  const slow = await roundTrip();
  assert.ok(slow >= 80 && slow < 130, `${slow} ms there and back`);
  // A megabyte by TCP: checksums and sizes are right on both sides.
  void b.exec(["sh", "-c", "socat -u OPEN:/dev/zero,readbytes=1000000 TCP-LISTEN:7778,reuseaddr"]);
  const connect = `until exec 3<>/dev/tcp/${b.address}/7778; do sleep 0.05; done 2>/dev/null; wc -c <&3`;
  assert.is((await a.exec(["bash", "-c", connect])).stdout.trim(), "1000000");
  await b.cut("mgmt");
  assert.is(await reaches(a, b), false, "a delayed cable can be cut");
  await b.powerCut();
  await b.powerOn();
  await b.heal();
  assert.is(await reaches(a, b), true);
  assert.ok((await roundTrip()) < 20, "healed");
  await b.delay(20, { network: "mgmt" });
  await b.powerCut();
  await b.powerOn();
  assert.is(await reaches(a, b), true);
  assert.ok((await roundTrip()) >= 40);
  await b.delay(0);
  assert.ok((await roundTrip()) < 20, "ended");
});

test("faults add up and are all read back from the kernel", async () => {
  await rack.partition([rack.box(0)], [rack.box(1)], { network: "mgmt" });
  await rack.box(2).lose(5, "bmc");
  const { filter } = await rack.status();
  assert.equal([...filter.pairs].sort(), [
    ["box0", "box1"],
    ["box1", "box0"],
  ]);
  assert.equal(filter.losses, [["box2-bmc", 5]]);
  await rack.heal();
  assert.equal((await rack.status()).filter, { pairs: [], losses: [] });
});

test("a frozen box computes nothing, and goes on where it stopped", async () => {
  const box = rack.box(0);
  void box.exec(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/var/lib/one/count; sleep 0.01; done"]);
  const path = `${rack.place.dataDirectory}/box0/lib/count`;
  const count = () => (existsSync(path) ? Number(readFileSync(path, "utf8")) : 0);
  const countsPast = (value: number) => waitFor(`a count over ${value}`, 5000, () => count() > value);
  await countsPast(10);
  await box.freeze();
  const frozenAt = count();
  await Bun.sleep(300);
  assert.is(count(), frozenAt);
  assert.is((await rack.client.exec(["ping", "-c1", "-W1", box.address])).code, 0);
  await box.thaw();
  await countsPast(frozenAt + 5);
  box.kill("sh");
});

test("the command line names what it cannot take", async () => {
  const refused: readonly (readonly [words: readonly string[], complaint: RegExp, code: number])[] = [
    [["foo"], /Unknown command "foo"/, 2],
    [["power", "off", "box9"], /Cannot find node "box9": this rack has box0, box1, box2, client/, 1],
    [["power", "melt", "box0"], /Cannot take "melt"/, 2],
    [["power", "cut", "client"], /"client": it has no plug/, 1],
    [["freeze", "client"], /Cannot freeze "client"/, 1],
    [["kill", "box0/nothing"], /Cannot find process "nothing" in box0: it runs/, 1],
    [["cut", "box0", "--network", "wifi"], /Cannot take "wifi" as --network/, 2],
    [["partition", "box0,box1"], /Cannot partition "box0,box1"/, 2],
    [["loss", "box0", "101"], /Cannot lose "101" percent/, 1],
    [["delay", "box0", "99999"], /Cannot delay frames by "99999" ms/, 1],
    [["loss", "box0", "x"], /Cannot take "x" as PERCENT/, 2],
    [["up", "--boxes", "three"], /Cannot take "three" as --boxes/, 2],
    [["status", "--colour"], /Unknown option "--colour"/, 2],
    [["bmc", "box0", "silent"], /"box0": it is not a host/, 1],
    [["logs", "box7"], /Cannot find node "box7"/, 1],
  ];
  for (const [words, complaint, code] of refused) {
    const result = await rackCommand(...words);
    assert.match(result.stderr, complaint);
    assert.is(result.code, code, words.join(" "));
  }
});

test("every command works from a second terminal", async () => {
  const output = async (...words: string[]) => {
    const result = await rackCommand(...words);
    assert.is(result.code, 0, `${words.join(" ")}: ${result.stderr}`);
    return result.stdout;
  };
  assert.match(await output("partition", "box0,box1", "|", "box2", "--network", "mgmt"), /box0,box1 <-> box2/);
  assert.match(await output("status"), /no frame from box2 to box0/);
  await output("heal");
  assert.not.match(await output("status"), /no frame/);
  await output("cut", "box1");
  assert.match(await output("status"), /box1 +on +10\.77\.0\.11 CUT/);
  await output("heal", "box1");
  await output("freeze", "box1");
  assert.match(await output("status"), /box1 +frozen/);
  await output("thaw", "box1");
  assert.match(await output("power", "off", "box1"), /box1 is off/);
  assert.match(await output("power", "off", "box1"), /off already/);
  assert.match(await output("power", "on", "box1"), /box1 is on/);
  assert.match(await output("power", "cycle", "box1"), /box1 is on/);
  assert.match(await output("shell", "box1", "hostname"), /^box1$/m);
  assert.match(await output("logs", "box1"), /box1 boots/);
  assert.is(JSON.parse(await output("status", "--json")).nodes.length, 4);
  assert.match(await output("up"), /up already/);
});

test.run();
