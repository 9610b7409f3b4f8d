import { test } from "uvu";
import * as assert from "uvu/assert";
import { choice, parseArguments, wholeNumber } from "../../support/rack/arguments.ts";
import { allPlans, BOXES_MAX, guestAddress, guestMac, HOSTS_MAX, hostUuid } from "../../support/rack/plan.ts";

test("no two cables of the largest rack share an address, a MAC or a port", () => {
  const wires = allPlans({ boxes: BOXES_MAX, hosts: HOSTS_MAX }).flatMap((plan) => plan.wires);
  for (const key of ["address", "mac", "port"] as const) {
    const values = wires.map((wire) => wire[key]);
    assert.is(new Set(values).size, values.length, key);
  }
  // The kernel's limit for an interface's name.
  assert.ok(wires.every((wire) => wire.port.length <= 15));
});

test("addresses are as the demo and the tests expect them", () => {
  const addressOf = (name: string) =>
    allPlans({ boxes: 5, hosts: 2 })
      .find((plan) => plan.name === name)
      ?.wires.map((wire) => `${wire.network} ${wire.address}`);
  assert.equal(addressOf("box4"), ["mgmt 10.77.0.14", "bmc 10.77.1.14"]);
  assert.equal(addressOf("hv1"), ["mgmt 10.77.0.21"]);
  assert.equal(addressOf("bmc1"), ["bmc 10.77.1.21"]);
  assert.equal(addressOf("client"), ["mgmt 10.77.0.100", "bmc 10.77.1.100"]);
  assert.equal([guestAddress(0), guestMac(1)], ["10.77.0.128", "02:52:46:00:80:01"]);
});

test("hosts' UUIDs are well formed and their own", () => {
  assert.match(hostUuid(15), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.is.not(hostUuid(0), hostUuid(1));
});

test("words, options with values and flags are told apart", () => {
  const { words, options } = parseArguments(["up", "--boxes=5", "--json", "--tier", "fast", "x", "--", "--boxes"], {
    boxes: true,
    tier: true,
    json: false,
  });
  assert.equal(words, ["up", "x", "--boxes"]);
  assert.equal(
    [...options],
    [
      ["boxes", "5"],
      ["json", ""],
      ["tier", "fast"],
    ],
  );
});

test("what cannot be taken is named", () => {
  assert.throws(() => parseArguments(["--colour"], {}), /Unknown option "--colour"/);
  assert.throws(() => parseArguments(["--boxes"], { boxes: true }), /"--boxes" needs a value/);
  assert.throws(() => parseArguments(["--json=yes"], { json: false }), /"--json" takes no value/);
  assert.throws(() => wholeNumber("--boxes", "3.5"), /Cannot take "3.5" as --boxes/);
  assert.throws(() => choice("--tier", "slow", ["fast", "linux"]), /Cannot take "slow" as --tier: one of fast, linux/);
});

test.run();
