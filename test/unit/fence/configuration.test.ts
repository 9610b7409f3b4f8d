import { test } from "uvu";
import * as assert from "uvu/assert";
import { domainsOf, notReadyReason, readConfiguration } from "../../../src/fence/configuration.ts";
import { hostRow } from "../scheduler/fixtures.ts";

const METHODS = new Set(["ipmi"]);
const BINDING = { host_id: 1, guid: "3fa85f6457174562b3fc2c963f66afa6", uuid: "", bound_by: "ann" };
const read = (...sections: object[]) => readConfiguration(hostRow(1, { fence: JSON.stringify(sections) }));

test("a section with an address alone has every default", () => {
  const { devices, problems } = read({ ADDRESS: "10.0.0.9" });
  assert.equal(problems, []);
  assert.equal(devices, [
    {
      hostId: 1,
      level: 1,
      method: "ipmi",
      address: "10.0.0.9",
      port: 623,
      user: "",
      sealedPassword: "",
      privilege: "operator",
      suites: [17, 3],
      spacingMs: 250,
    },
  ]);
});

test("levels come in ascending order", () => {
  const { devices } = read({ ADDRESS: "b", LEVEL: "2" }, { ADDRESS: "a", LEVEL: "1" });
  assert.equal(
    devices.map(({ address }) => address),
    ["a", "b"],
  );
});

for (const [section, about] of [
  [{}, /needs an ADDRESS/],
  [{ ADDRESS: "a", PORT: "0" }, /PORT "0"/],
  [{ ADDRESS: "a", LEVEL: "x" }, /LEVEL "x"/],
  [{ ADDRESS: "a", CIPHER: "0" }, /CIPHER "0"/],
  [{ ADDRESS: "a", PRIVILEGE: "GOD" }, /PRIVILEGE "GOD"/],
  [{ ADDRESS: "a", SPACING_MS: "10" }, /SPACING_MS/],
] as const) {
  test(`${JSON.stringify(section)} is left out with a reason`, () => {
    const { devices, problems } = read(section);
    assert.equal(devices, []);
    assert.match(problems[0] ?? "", about);
  });
}

test("a host that cannot be fenced by itself says which command helps", () => {
  const host = hostRow(1);
  const reason = (sections: object[], binding?: typeof BINDING) =>
    notReadyReason(host, read(...sections), binding, METHODS) ?? "";
  assert.match(reason([]), /ringfence fence set h1/);
  assert.match(reason([{ ADDRESS: "a" }]), /ringfence fence bind h1/);
  assert.match(reason([{ METHOD: "manual" }]), /ringfence fence confirm h1/);
  assert.match(reason([{ ADDRESS: "a", METHOD: "magic" }], BINDING), /METHOD "magic" is not known/);
  assert.match(reason([{ ADDRESS: "a" }], { ...BINDING, guid: "0".repeat(32) }), /many machines share/);
  assert.is(reason([{ ADDRESS: "a" }], BINDING), "");
});

test("tags name what a host shares with others", () => {
  const template = "<PDU><![CDATA[p1]]></PDU><RACK><![CDATA[r1]]></RACK><ROOM><![CDATA[x]]></ROOM>";
  assert.equal(domainsOf(hostRow(1, { template })), ["RACK=r1", "PDU=p1"]);
});

test.run();
