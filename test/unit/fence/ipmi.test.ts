import { test } from "uvu";
import * as assert from "uvu/assert";
import { CodedError } from "../../../src/base/error.ts";
import type { Device } from "../../../src/fence/configuration.ts";
import { asMethodError, createIpmiMethod, GUARDED_PORTS } from "../../../src/fence/methods/ipmi.ts";
import { METHOD_ERROR, type MethodContext } from "../../../src/fence/methods/types.ts";
import { type Bmc, type BmcOptions, createBmc } from "../../../src/node-ipmi/bmc/bmc.ts";
import { IpmiError } from "../../../src/node-ipmi/errors.ts";

const ADDRESS = "127.0.0.1";
// Not symmetric: the fault "wrong-guid" turns all bits, which makes the reversed order of 0011…eeff.
const GUID = "3fa85f6457174562b3fc2c963f66afa6";

interface Bed {
  readonly bmc: Bmc;
  readonly host: { isOn: boolean };
  readonly ports: Set<number>;
  readonly context: (more?: Partial<MethodContext>) => MethodContext;
}

async function withBmc(options: Partial<BmcOptions>, body: (bed: Bed) => Promise<void>): Promise<void> {
  const host = { isOn: true };
  const ports = new Set<number>();
  const bmc = await createBmc({
    address: ADDRESS,
    port: 0,
    users: [{ name: "fence", password: "sixteen letters!", privilege: "operator" }],
    guid: Buffer.from(GUID, "hex"),
    power: {
      get: () => host.isOn,
      set: (isOn) => {
        host.isOn = isOn;
      },
      reset: () => undefined,
    },
    onDatagram: (_datagram, remote) => ports.add(remote.port),
    ...options,
  });
  const device: Device = {
    hostId: 3,
    level: 1,
    method: "ipmi",
    address: ADDRESS,
    port: bmc.port,
    user: "fence",
    sealedPassword: "",
    privilege: "operator",
    suites: [17, 3],
    spacingMs: 250,
  };
  const context = (more: Partial<MethodContext> = {}): MethodContext => ({
    device,
    password: "sixteen letters!",
    binding: { host_id: 3, guid: GUID, uuid: GUID, bound_by: "test" },
    mayChangePower: () => true,
    signal: new AbortController().signal,
    now: () => performance.now(),
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    ...more,
  });
  try {
    await body({ bmc, host, ports, context });
  } finally {
    await bmc.close();
  }
}

async function failure(work: Promise<unknown>): Promise<CodedError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error("it should have failed and did not");
}

const method = createIpmiMethod();

test("a host that is on is powered off and proven by two answers 250 ms apart, from the guarded ports only", () =>
  withBmc({}, async ({ bmc, host, ports, context }) => {
    const session = await method.open(context());
    assert.is(session.was, "on");
    assert.is(host.isOn, true, "opening changes nothing");
    const proof = await session.powerOff();
    session.close();
    assert.is(host.isOn, false);
    assert.equal(bmc.chassis.changes, ["off"]);
    assert.ok(proof.kind === "bmc" && proof.was === "on" && proof.reads === 2 && proof.spanMs >= 250);
    for (const port of ports) assert.ok(port >= GUARDED_PORTS.first && port <= GUARDED_PORTS.last, `port ${port}`);
  }));

test("a host that is off already gets one off all the same, and three answers over a second", () =>
  withBmc({}, async ({ host, context }) => {
    host.isOn = false;
    const session = await method.open(context());
    assert.is(session.was, "off");
    const proof = await session.powerOff();
    session.close();
    assert.ok(proof.kind === "bmc" && proof.was === "off" && proof.reads === 3 && proof.spanMs >= 1_000);
  }));

test("an off that is refused because the host is off already (D5h) is no failure", () =>
  withBmc({ faults: [{ fault: "refuses" }] }, async ({ host, context }) => {
    host.isOn = false;
    const session = await method.open(context());
    assert.is((await session.powerOff()).kind, "bmc");
    session.close();
  }));

test("another machine's BMC is refused before any command", () =>
  withBmc({ faults: [{ fault: "wrong-guid" }] }, async ({ bmc, host, context }) => {
    assert.is((await failure(method.open(context()))).code, METHOD_ERROR.identity);
    assert.is(host.isOn, true);
    assert.equal(bmc.chassis.changes, []);
  }));

test("the same BMC is known in either byte order", () =>
  withBmc({}, async ({ context }) => {
    const smbios = "645fa83f17576245b3fc2c963f66afa6";
    const session = await method.open(context({ binding: { host_id: 3, guid: smbios, uuid: GUID, bound_by: "test" } }));
    session.close();
  }));

test("without the lease no power command leaves, and it is not the device's failure", () =>
  withBmc({}, async ({ bmc, host, context }) => {
    let hasLease = true;
    const session = await method.open(context({ mayChangePower: () => hasLease }));
    hasLease = false;
    assert.is((await failure(session.powerOff())).code, METHOD_ERROR.lease);
    assert.is(host.isOn, true);
    assert.equal(bmc.chassis.changes, []);
    hasLease = true;
    assert.is((await session.powerOff()).kind, "bmc", "the session is still good");
    session.close();
  }));

test("a host that comes on again between two answers is not proven off", () =>
  withBmc({ faults: [{ fault: "off-then-on", value: 120 }] }, async ({ context }) => {
    let clock = 0;
    const started = performance.now();
    // The twelve seconds of the deadline pass at tenfold speed after the first one.
    const now = () => {
      const real = performance.now() - started;
      clock = real < 1_000 ? real : 1_000 + (real - 1_000) * 10;
      return clock;
    };
    const session = await method.open(context({ now }));
    assert.is((await failure(session.powerOff())).code, METHOD_ERROR.failed);
    session.close();
  }));

test("a lost answer to the off is no failure: the status tells", () =>
  withBmc({}, async ({ bmc, host, context }) => {
    const session = await method.open(context());
    await bmc.inject({ fault: "drop-answer", value: 1 });
    assert.is((await session.powerOff()).kind, "bmc");
    session.close();
    assert.is(host.isOn, false);
  }));

test("a dead BMC is known within two seconds, a wrong password at once", async () => {
  await withBmc({ faults: [{ fault: "silent" }] }, async ({ context }) => {
    const startedAt = performance.now();
    assert.is((await failure(method.open(context()))).code, METHOD_ERROR.failed);
    assert.ok(performance.now() - startedAt < 2_000);
  });
  await withBmc({ faults: [{ fault: "wrong-password" }] }, async ({ context }) => {
    const error = await failure(method.open(context()));
    assert.is(error.code, METHOD_ERROR.failed);
    assert.not.match(error.message, /sixteen/);
  });
});

test("a check logs in from ordinary ports and changes nothing", () =>
  withBmc({}, async ({ bmc, ports, context }) => {
    bmc.chassis.restorePolicy = "on";
    const found = await method.check(context());
    assert.is(found.power, "on");
    assert.is(found.guid, GUID);
    assert.is(found.suite, "17");
    assert.match(found.findings.join(), /power-restore policy/);
    assert.equal(bmc.chassis.changes, []);
    for (const port of ports) assert.ok(port < GUARDED_PORTS.first || port > GUARDED_PORTS.last);
  }));

test("a kernel that refuses under a held lease is a failure that is told; without the lease it is tried again", () => {
  const refused = new IpmiError("refused-by-kernel", "Cannot send");
  const told = asMethodError(refused, "log in", () => true);
  assert.is(told.code, METHOD_ERROR.failed);
  assert.match(told.message, /BMC_INTERFACE/);
  assert.is(asMethodError(refused, "log in", () => false).code, METHOD_ERROR.lease);
  assert.is(asMethodError(new IpmiError("refused-by-caller", "no"), "log in", () => true).code, METHOD_ERROR.lease);
});

test.run();
