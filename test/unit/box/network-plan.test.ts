import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { editNetwork } from "../../../src/box/network/edit.ts";
import { NOTHING_OWNED, type Owned, type Present, planNetwork } from "../../../src/box/network/planner.ts";
import { presentOf } from "../../../src/box/network/present.ts";
import { withSshKeys } from "../../../src/box/network/ssh-keys.ts";
import { readConfig } from "../../../src/config/config.ts";
import type { NetworkSettings } from "../../../src/config/network.ts";
import { carryOut, hardware } from "../../support/network/fake-kernel.ts";

const bare: Present = { links: [hardware("eth0"), hardware("eth1")], defaultRoutes: [] };

function settings(text: string): NetworkSettings {
  const result = readConfig({ name: "oned.conf", text: "" }, { name: "box.conf", text });
  if ("problems" in result) throw new Error(JSON.stringify(result.problems));
  return result.config.box.network;
}

function problems(text: string): string {
  const result = readConfig({ name: "oned.conf", text: "" }, { name: "box.conf", text });
  return "problems" in result ? result.problems.map((one) => `${one.file}:${one.line}: ${one.message}`).join("\n") : "";
}

test("a static address: up, address, gateway, and nothing more the second time", () => {
  const wanted = settings('INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/24", GATEWAY = "10.0.0.1" ]');
  const first = planNetwork(wanted, bare, NOTHING_OWNED);
  assert.equal(first.lines, [
    "link set dev eth0 up",
    "address add 10.0.0.11/24 broadcast + dev eth0",
    "route replace default via 10.0.0.1 dev eth0",
  ]);
  const second = planNetwork(wanted, carryOut(bare, first.lines), first.owned);
  assert.equal(second.lines, []);
});

test("a VLAN on a bond: the bond, its members, the VLAN, in whatever order box.conf has them", () => {
  const wanted = settings(
    'INTERFACE = [ NAME = mgmt, VLAN = 30, ON = bond0, ADDRESS = "10.0.0.11/24" ]\nINTERFACE = [ NAME = bond0, BOND = "eth0 eth1", MODE = 802.3ad, ADDRESS = none ]',
  );
  const { lines, owned } = planNetwork(wanted, bare, NOTHING_OWNED);
  assert.equal(lines, [
    "link add name bond0 type bond mode 802.3ad miimon 100",
    "link set dev eth0 down",
    "link set dev eth0 master bond0",
    "link set dev eth0 up",
    "link set dev eth1 down",
    "link set dev eth1 master bond0",
    "link set dev eth1 up",
    "link set dev bond0 up",
    "link add link bond0 name mgmt type vlan id 30",
    "link set dev mgmt up",
    "address add 10.0.0.11/24 broadcast + dev mgmt",
  ]);
  assert.equal(planNetwork(wanted, carryOut(bare, lines), owned).lines, []);
});

test("without any section every piece of hardware asks for an address", () => {
  const virtual = { ...hardware("br0"), kind: "bridge" };
  const loop = { ...hardware("lo"), isEthernet: false };
  const plan = planNetwork(settings(""), { links: [...bare.links, virtual, loop], defaultRoutes: [] }, NOTHING_OWNED);
  assert.equal(plan.dhcp, [
    { device: "eth0", metric: 100 },
    { device: "eth1", metric: 101 },
  ]);
});

test("what ringfence did not set stays: the VIP and a person's address", () => {
  const wanted = settings('INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/24" ]');
  const first = planNetwork(wanted, bare, NOTHING_OWNED);
  const present = carryOut(carryOut(bare, first.lines), ["address add 10.0.0.100/24 dev eth0"]);
  const moved = planNetwork(settings('INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.12/24" ]'), present, first.owned);
  assert.equal(moved.lines, ["address del 10.0.0.11/24 dev eth0", "address add 10.0.0.12/24 broadcast + dev eth0"]);
});

test("a link that is not there keeps nothing else from its address, and is told", () => {
  const wanted = settings(
    'INTERFACE = [ NAME = eth7, ADDRESS = "10.7.0.1/24" ]\nINTERFACE = [ NAME = v, VLAN = 3, ON = eth8, ADDRESS = dhcp ]\nINTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/24" ]',
  );
  const plan = planNetwork(wanted, bare, NOTHING_OWNED);
  assert.equal([...plan.missing].sort(), ["eth7", "eth8", "v"]);
  assert.equal(plan.lines, ["link set dev eth0 up", "address add 10.0.0.11/24 broadcast + dev eth0"]);
  assert.equal(plan.dhcp, []);
});

test("from any network to any other: the kernel takes every line, and then nothing is left to do", () => {
  const texts = [
    "",
    "INTERFACE = [ NAME = eth0, ADDRESS = dhcp ]",
    'INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/24 10.1.0.11/16", GATEWAY = "10.0.0.1", MTU = 9000 ]',
    'INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/16" ]',
    'INTERFACE = [ NAME = eth1, ADDRESS = "10.0.0.11/24", GATEWAY = "10.0.0.2" ]',
    'INTERFACE = [ NAME = v3, VLAN = 3, ON = eth0, ADDRESS = "10.0.0.11/24", GATEWAY = "10.0.0.1" ]',
    'INTERFACE = [ NAME = v3, VLAN = 4, ON = eth0, ADDRESS = "10.0.0.11/24" ]',
    'INTERFACE = [ NAME = b, BOND = "eth0 eth1", ADDRESS = "10.0.0.11/24", GATEWAY = "10.0.0.1" ]',
    'INTERFACE = [ NAME = b, BOND = "eth1", ADDRESS = dhcp ]\nINTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.11/24" ]',
    'INTERFACE = [ NAME = b, BOND = "eth0 eth1", MODE = balance-xor, ADDRESS = none ]\nINTERFACE = [ NAME = v3, VLAN = 3, ON = b, ADDRESS = "10.0.0.11/24" ]',
  ].map(settings);
  for (let seed = 1; seed <= 300; seed++) {
    const random = createPrng(seed);
    let present = bare;
    let owned: Owned = NOTHING_OWNED;
    for (let turn = 0; turn < 6; turn++) {
      const wanted = random.pick(texts);
      // As the driver: another look after what was done, until nothing is left.
      for (let round = 0; ; round++) {
        const plan = planNetwork(wanted, present, owned);
        if (plan.lines.length === 0) break;
        assert.ok(round < 3, `seed ${seed}: ${plan.lines.join("; ")}`);
        present = carryOut(present, plan.lines);
        owned = plan.owned;
      }
      owned = planNetwork(wanted, present, owned).owned;
    }
  }
});

test("what ip tells is read: links, VLANs, bonds, addresses; nonsense of a link is left out", () => {
  const text = JSON.stringify([
    { ifname: "lo", flags: ["LOOPBACK", "UP"], mtu: 65536, link_type: "loopback" },
    {
      ifname: "eth0",
      flags: ["UP"],
      mtu: 1500,
      link_type: "ether",
      master: "bond0",
      addr_info: [{ family: "inet6", local: "fe80::1", prefixlen: 64 }],
    },
    {
      ifname: "bond0",
      flags: ["UP"],
      mtu: 1500,
      link_type: "ether",
      linkinfo: { info_kind: "bond", info_data: { mode: "802.3ad" } },
    },
    {
      ifname: "v",
      link: "bond0",
      link_type: "ether",
      linkinfo: { info_kind: "vlan", info_data: { protocol: "802.1Q", id: 30 } },
      addr_info: [{ family: "inet", local: "10.0.0.1", prefixlen: 24 }],
    },
    {},
  ]);
  const { links, defaultRoutes } = presentOf(text, '[{"dst":"default","gateway":"10.0.0.254","dev":"v"}]');
  assert.is(links.length, 4);
  assert.is(links[1]?.master, "bond0");
  assert.is(links[2]?.bondMode, "802.3ad");
  assert.equal(links[3]?.vlan, { id: 30, on: "bond0" });
  assert.equal(links[3]?.addresses, [{ address: "10.0.0.1", prefix: 24 }]);
  assert.equal(defaultRoutes, [{ gateway: "10.0.0.254", device: "v" }]);
});

test("mistakes are told with file and line", () => {
  for (const [text, pattern] of [
    ["INTERFACE = [ NAME = eth0 ]", /box.conf:1: ADDRESS is missing/],
    [
      "\nINTERFACE = [ NAME = eth0, ADDRESS = 10.0.0.1 ]",
      /box.conf:2: INTERFACE eth0: ADDRESS = "10.0.0.1" is neither/,
    ],
    ["INTERFACE = [ NAME = toolongforakernel, ADDRESS = dhcp ]", /is not the name of a link/],
    ['INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.2/24", GATEWAY = "10.0.1.1" ]', /is in none of its nets/],
    ['INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.2/24", GATEWAY = "10.0.0.2" ]', /own address/],
    ['INTERFACE = [ NAME = eth0, ADDRESS = dhcp, GATEWAY = "10.0.0.1" ]', /comes with dhcp/],
    ["INTERFACE = [ NAME = v, VLAN = 30, ADDRESS = dhcp ]", /needs both VLAN and ON/],
    ["INTERFACE = [ NAME = v, VLAN = 4095, ON = eth0, ADDRESS = dhcp ]", /1 … 4094/],
    ["INTERFACE = [ NAME = v, VLAN = 3, ON = v, ADDRESS = dhcp ]", /a VLAN on itself/],
    [
      'INTERFACE = [ NAME = b, BOND = "eth0", ADDRESS = none ]\nINTERFACE = [ NAME = eth0, ADDRESS = dhcp ]',
      /conf:2: .* is a member of b/,
    ],
    ['INTERFACE = [ NAME = b, BOND = "eth0", MODE = fast, ADDRESS = none ]', /not one of active-backup/],
    ["INTERFACE = [ NAME = eth0, ADDRESS = dhcp ]\nINTERFACE = [ NAME = eth0, ADDRESS = dhcp ]", /conf:2: .*set twice/],
    [
      'NETWORK = [ MGMT = "10.0.0.3" ]\nINTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.2/24" ]',
      /conf:1: NETWORK: MGMT = "10.0.0.3" is the address of no/,
    ],
    ["NETWORK = [ HOSTNAME = box_1 ]", /is not a host name/],
    ["NETWORK = [ DNS = one.one ]", /is not an IPv4 address/],
    ["SSH_KEY = rubbish", /is not a line of an .pub file/],
    ["INTERFACE = [ NAME = eth0, ADDRESS = dhcp, SPEED = 10 ]", /unknown SPEED in INTERFACE; known: NAME/],
  ] as const)
    assert.match(problems(text), pattern, text);
});

test("the console's change keeps what a person wrote beside it, comments too", () => {
  const before = `# rack 7
SERVER_ID = 2
NETWORK = [ MGMT = "10.0.0.2",
  BMC = "10.9.0.2" ]   # as wired
INTERFACE = [ NAME = eth0, ADDRESS = "10.0.0.2/24" ]
# the lamps
GPIO = [ CHIP = gpiochip0, FAULT = 7 ]
`;
  const answers = { device: "eth0", address: "10.0.0.9/24", gateway: "10.0.0.1", vlan: "30", hostname: "box2" };
  const after = editNetwork(before, answers) ?? "";
  assert.is(
    after,
    `# rack 7
SERVER_ID = 2
# the lamps
GPIO = [ CHIP = gpiochip0, FAULT = 7 ]
NETWORK = [ MGMT = "10.0.0.9", BMC = "10.9.0.2", HOSTNAME = "box2" ]
INTERFACE = [ NAME = "eth0.30", ADDRESS = "10.0.0.9/24", GATEWAY = "10.0.0.1", VLAN = 30, ON = "eth0" ]
`,
  );
  assert.is(problems(after), "");
  assert.is(editNetwork("NETWORK = [", answers), undefined);
  assert.is(problems(editNetwork("", { ...answers, vlan: "", hostname: "" }) ?? "?"), "");
});

test("the keys of box.conf have a part of their own in authorized_keys", () => {
  const other = "ssh-rsa AAAA a person's\n";
  const first = withSshKeys(other, ["ssh-ed25519 AAAAone", "ssh-ed25519 AAAAtwo"]);
  assert.is(first.split("\n").length, 6);
  assert.is(withSshKeys(first, ["ssh-ed25519 AAAAone", "ssh-ed25519 AAAAtwo"]), first);
  assert.is(withSshKeys(first, []), other);
  assert.is(withSshKeys("", []), "");
});

test.run();
