/** Programs that we did not write: OpenIPMI's simulator as a server, ipmitool and ipmipower as clients. */
import { execFile } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Bmc, createBmc } from "../../../src/node-ipmi/bmc/bmc.ts";
import { IpmiError } from "../../../src/node-ipmi/errors.ts";
import { openSession } from "../../../src/node-ipmi/open-session.ts";
import { type IpmiSim, programPath, startIpmiSim } from "../../support/ipmi-sim.ts";

const ADDRESS = "127.0.0.1";
const USER = "admin";
const PASSWORD = "sixteen-letters!";
const SIM_START_MS_MAX = 5_000;

/** Declares a test that needs an installed program; without it, it says so and is left out. */
function testWith(program: string, name: string, body: (path: string) => Promise<void>): void {
  const path = programPath(program);
  if (path) test(name, () => body(path));
  else console.log(`left out: "${name}": ${program} is not installed`);
}

test("the BMC that the peers meet below serves our own client first", () =>
  withBmc(async (bmc, host) => {
    const session = await openSession({ address: ADDRESS, port: bmc.port, user: USER, password: PASSWORD });
    await session.power("off");
    assert.is(host.isOn, false);
    await session.close();
    // After a power command Close Session is not waited for: it arrives a moment later.
    while (bmc.activeSessions > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }));

testWith("ipmi_sim", "our client and ipmi_sim: status, GUID, off, on, and suite 17 falls back to 3", (path) =>
  withSim(path, async (sim) => {
    const session = await openSession({ address: ADDRESS, port: sim.port, user: sim.user, password: sim.password });
    assert.is(session.suite, 3);
    assert.is(session.guid.toString("hex"), sim.guid);
    assert.is((await session.systemGuid()).toString("hex"), sim.guid);
    assert.is((await session.chassisStatus()).isPowerOn, true);
    await session.power("off");
    assert.is(sim.isOn(), false);
    assert.is((await session.chassisStatus()).isPowerOn, false);
    await session.power("on");
    assert.is(sim.isOn(), true);
    assert.is((await session.deviceId()).ipmiVersion, "2.0");
    await session.close();
  }),
);

testWith("ipmi_sim", "our client and ipmi_sim: a wrong password is bad credentials", (path) =>
  withSim(path, async (sim) => {
    const options = { address: ADDRESS, port: sim.port, user: sim.user, password: "wrong", suites: [3] as const };
    const code = await openSession(options).then(
      () => "opened",
      (error: unknown) => (error instanceof IpmiError ? error.code : String(error)),
    );
    assert.is(code, "bad-credentials");
  }),
);

for (const suite of ["3", "17", undefined]) {
  const words = suite === undefined ? [] : ["-C", suite];
  testWith("ipmitool", `ipmitool and our BMC, cipher suite ${suite ?? "of its own choice"}: status, off, on`, (path) =>
    withBmc(async (bmc, host) => {
      const tool = (...rest: string[]) =>
        run(path, [
          "-I",
          "lanplus",
          "-H",
          ADDRESS,
          "-p",
          String(bmc.port),
          "-U",
          USER,
          "-P",
          PASSWORD,
          ...words,
          ...rest,
        ]);
      assert.match(await tool("chassis", "power", "status"), "Chassis Power is on");
      assert.match(await tool("chassis", "power", "off"), "Down/Off");
      assert.is(host.isOn, false);
      assert.match(await tool("chassis", "status"), /System Power\s+: off/);
      assert.match(await tool("chassis", "power", "on"), "Up/On");
      assert.match(await tool("mc", "guid"), /System GUID\s+: 00112233445566778899AABBCCDDEEFF|00112233-4455-6677/i);
      assert.is(bmc.activeSessions, 0);
    }),
  );
}

testWith("ipmitool", "ipmitool lists the cipher suites of our BMC, and is refused with a wrong password", (path) =>
  withBmc(async (bmc) => {
    const login = ["-I", "lanplus", "-H", ADDRESS, "-p", String(bmc.port), "-U", USER];
    const listed = await run(path, [...login, "-P", PASSWORD, "channel", "getciphers", "ipmi"]);
    assert.match(listed, /^3\s+N\/A\s+hmac_sha1\s+hmac_sha1_96\s+aes_cbc_128/m);
    assert.match(listed, /^17\s+N\/A\s+hmac_sha256\s+sha256_128\s+aes_cbc_128/m);
    const isRefused = await run(path, [
      ...login,
      "-P",
      "wrong",
      "-C",
      "17",
      "-N",
      "1",
      "-R",
      "1",
      "chassis",
      "status",
    ]).then(
      () => false,
      () => true,
    );
    assert.ok(isRefused);
  }),
);

for (const suite of ["3", "17"]) {
  testWith("ipmipower", `ipmipower and our BMC, cipher suite ${suite}: status, off until off, on`, (path) =>
    withBmc(async (bmc, host) => {
      const login = ["-D", "LAN_2_0", "-h", `${ADDRESS}:${bmc.port}`, "-u", USER, "-p", PASSWORD, "-I", suite];
      assert.match(await run(path, [...login, "--stat"]), ": on");
      assert.match(await run(path, [...login, "--off", "--wait-until-off"]), ": ok");
      assert.is(host.isOn, false);
      assert.match(await run(path, [...login, "--stat"]), ": off");
      assert.match(await run(path, [...login, "--on"]), ": ok");
      assert.is(host.isOn, true);
    }),
  );
}

async function withSim(program: string, body: (sim: IpmiSim) => Promise<void>): Promise<void> {
  const sim = await startIpmiSim(program);
  try {
    await untilItAnswers(sim);
    await body(sim);
  } finally {
    sim.stop();
  }
}

async function untilItAnswers({ port, user, password }: IpmiSim): Promise<void> {
  const end = performance.now() + SIM_START_MS_MAX;
  for (;;) {
    try {
      const session = await openSession({ address: ADDRESS, port, user, password, suites: [3] });
      return await session.close();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function withBmc(body: (bmc: Bmc, host: { isOn: boolean }) => Promise<void>): Promise<void> {
  const host = { isOn: true };
  const bmc = await createBmc({
    address: ADDRESS,
    port: 0,
    users: [{ name: USER, password: PASSWORD, privilege: "administrator" }],
    guid: Buffer.from("00112233445566778899aabbccddeeff", "hex"),
    power: {
      get: () => host.isOn,
      set: (isOn) => {
        host.isOn = isOn;
      },
      reset: () => undefined,
    },
  });
  try {
    await body(bmc, host);
  } finally {
    await bmc.close();
  }
}

function run(program: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, [...words], { timeout: 15_000 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${program} failed: ${stdout}${stderr}`, { cause: error })) : resolve(stdout),
    );
  });
}

test.run();
