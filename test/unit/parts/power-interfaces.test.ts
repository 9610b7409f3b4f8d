import { test } from "uvu";
import * as assert from "uvu/assert";
import { readConfig } from "../../../src/config/config.ts";
import { powerInterfaces } from "../../../src/parts/power-interfaces.ts";

const PRESENT = {
  lo: [{ address: "127.0.0.1" }],
  eth0: [{ address: "10.1.0.1" }],
  eth1: [{ address: "fe80::1" }, { address: "10.2.0.1" }],
};

function of(network: string): readonly string[] {
  const result = readConfig({ name: "oned.conf", text: network }, undefined);
  assert.ok("config" in result, JSON.stringify(result));
  return powerInterfaces(result.config, PRESENT);
}

test("power commands leave by BMC_INTERFACE, else by the interface of the BMC or management address, else by any with a gate", () => {
  assert.equal(of('NETWORK = [ MGMT = "10.1.0.1", BMC = "10.2.0.1", BMC_INTERFACE = "bmc0" ]'), ["bmc0"]);
  assert.equal(of('NETWORK = [ MGMT = "10.1.0.1", BMC = "10.2.0.1" ]'), ["eth1"]);
  assert.equal(of('NETWORK = [ MGMT = "10.1.0.1" ]'), ["eth0"]);
  assert.equal(of('NETWORK = [ MGMT = "10.9.0.1" ]'), ["eth0", "eth1"]);
  assert.equal(of(""), ["eth0", "eth1"]);
});

test.run();
