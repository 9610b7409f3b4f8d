import { test } from "uvu";
import * as assert from "uvu/assert";
import { askGates, FENCE_POLICY_DEFAULT, firstShut, type GateInput, stormLimit } from "../../../src/fence/policy.ts";
import { GATES } from "./fixtures.ts";

function shut(more: Partial<GateInput>): string | undefined {
  return firstShut(askGates({ ...GATES, ...more }))?.gate;
}

const other = (hostId: number, secondsAgo: number) => ({ hostId, at: GATES.now - secondsAgo * 1000 });
const suspect = (hostId: number, domains: string[]) => ({ hostId, bmcPower: "on" as const, domains });

test("all gates are open for one dead host with a bound BMC", () => {
  assert.is(shut({}), undefined);
});

for (const [name, more, gate] of [
  ["a disabled host is a person's", { hostState: 4 }, "maintenance"],
  ["an offline host is a person's", { hostState: 8 }, "maintenance"],
  ["disarmed means no command", { setting: { isArmed: false, changedBy: "ann", why: "move" } }, "armed"],
  ["-p waits its cycles", { policy: { ...FENCE_POLICY_DEFAULT, patienceMs: 2_000 } }, "patience"],
  ["a host that is switched on and was never heard may be booting", { isNeverHeard: true }, "booting"],
  ["ISOLATED = hold", { verdict: "isolated", policy: { ...FENCE_POLICY_DEFAULT, isolated: "hold" } }, "isolated"],
  ["no binding, no command", { notReady: "not bound" }, "bmc-ready"],
  ["the third host within the window waits", { powerCommands: [other(1, 20), other(2, 10)] }, "storm"],
  ["a host whose VMs fit nowhere keeps them", { capacity: { vms: 3, placeable: 0 } }, "capacity"],
  ["a lease that ends too soon", { leaseRemainingMs: 50 }, "lease"],
] as const) {
  test(`${name}: the gate "${gate}" is shut`, () => {
    assert.is(shut(more), gate);
  });
}

test("a host that was never heard is waited for only while it can be booting", () => {
  assert.is(shut({ isNeverHeard: true, bmcPower: "off" }), undefined, "one that is off does not boot");
  assert.is(shut({ isNeverHeard: true, downSinceAt: GATES.now - 300_000 }), undefined, "nor does it take for ever");
});

test("isolated hosts are fenced by default", () => {
  assert.is(shut({ verdict: "isolated" }), undefined);
});

test("not knowing whether there is room does not hold", () => {
  assert.is(shut({ capacity: undefined }), undefined);
  assert.is(shut({ capacity: { vms: 0, placeable: 0 } }), undefined);
});

test("every reason is a sentence that a person can act on", () => {
  const answers = askGates({
    ...GATES,
    hostState: 4,
    setting: { isArmed: false, changedBy: "ann", why: "" },
    notReady: "not bound",
    powerCommands: [other(1, 20), other(2, 10)],
    leaseRemainingMs: 0,
  });
  for (const { isOpen, reason } of answers) assert.is(isOpen, reason === "");
  assert.match(answers.find(({ gate }) => gate === "armed")?.reason ?? "", /ringfence fence arm/);
});

test("the storm limit is two, or the share of all hosts", () => {
  assert.is(stormLimit(FENCE_POLICY_DEFAULT, 4), 2);
  assert.is(stormLimit(FENCE_POLICY_DEFAULT, 40), 10);
});

test("commands to the same host, or long ago, are no storm; a cooldown follows one", () => {
  assert.is(shut({ powerCommands: [other(3, 20), other(3, 10), other(1, 5)] }), undefined);
  assert.is(shut({ powerCommands: [other(1, 420), other(2, 410)] }), undefined);
  assert.is(shut({ powerCommands: [other(1, 330), other(2, 320)] }), "cooldown");
});

test("a host that its BMC calls off passes the gates that guard power commands", () => {
  const storm = { powerCommands: [other(1, 20), other(2, 10)], capacity: { vms: 3, placeable: 0 } };
  assert.is(shut({ ...storm, bmcPower: "off" }), undefined);
  assert.is(shut({ bmcPower: "off", setting: { isArmed: false, changedBy: "ann", why: "" } }), "armed");
});

test("all silent hosts behind one switch: the BMC tells network from power, silence asks a person", () => {
  const domains = ["RACK=r1", "SWITCH=s1"];
  const suspects = [suspect(3, domains), suspect(5, ["SWITCH=s1"])];
  assert.is(shut({ domains, suspects }), "domain");
  assert.is(shut({ domains, suspects, bmcPower: "silent" }), "domain");
  assert.is(shut({ domains, suspects, bmcPower: "unknown" }), "domain");
  assert.is(shut({ domains, suspects, bmcPower: "off" }), undefined);
  assert.is(shut({ domains, suspects: [...suspects, suspect(6, [])] }), undefined, "one elsewhere: no common cause");
});

test.run();
