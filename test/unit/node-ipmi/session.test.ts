import { createSocket } from "node:dgram";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Bmc, type BmcOptions, createBmc } from "../../../src/node-ipmi/bmc/bmc.ts";
import type { Fault } from "../../../src/node-ipmi/bmc/faults.ts";
import type { FirmwareFlaws } from "../../../src/node-ipmi/bmc/firmware.ts";
import { decodePacket, payloadType } from "../../../src/node-ipmi/codec/packet.ts";
import type { SuiteId } from "../../../src/node-ipmi/codec/suites.ts";
import { IpmiError, type IpmiErrorCode } from "../../../src/node-ipmi/errors.ts";
import { type OpenOptions, openSession } from "../../../src/node-ipmi/open-session.ts";
import { probeSuiteZero } from "../../../src/node-ipmi/probe-suite-zero.ts";
import type { Quirks } from "../../../src/node-ipmi/quirks.ts";

const ADDRESS = "127.0.0.1";
const LOGIN = { address: ADDRESS, user: "admin", password: "sixteen letters!" };
const GUID = Buffer.from("00112233445566778899aabbccddeeff", "hex");

interface Bed {
  readonly bmc: Bmc;
  readonly host: { isOn: boolean };
  readonly open: (options?: Partial<OpenOptions>) => ReturnType<typeof openSession>;
}

/** Runs `body` with a BMC of its own and closes that whatever happens. */
async function withBmc(options: Partial<BmcOptions>, body: (bed: Bed) => Promise<void>): Promise<void> {
  const host = { isOn: true };
  const bmc = await createBmc({
    address: ADDRESS,
    port: 0,
    users: [
      { name: "admin", password: LOGIN.password, privilege: "operator" },
      { name: "guest", password: "guest", privilege: "user" },
    ],
    guid: GUID,
    power: {
      get: () => host.isOn,
      set: (isOn) => {
        host.isOn = isOn;
      },
      reset: () => undefined,
    },
    ...options,
  });
  try {
    await body({ bmc, host, open: (more) => openSession({ ...LOGIN, port: bmc.port, ...more }) });
  } finally {
    await bmc.close();
  }
}

async function failure(promise: Promise<unknown>): Promise<IpmiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IpmiError) return error;
    throw error;
  }
  throw new Error("it should have failed and did not");
}

async function failsWith(code: IpmiErrorCode, promise: Promise<unknown>): Promise<IpmiError> {
  const error = await failure(promise);
  assert.is(error.code, code, error.message);
  assert.not(error.message.includes(LOGIN.password));
  return error;
}

for (const suite of [3, 17] satisfies SuiteId[]) {
  test(`suite ${suite}: a session reads, powers off, and closes its slot`, () =>
    withBmc({ suites: [suite] }, async ({ bmc, host, open }) => {
      const session = await open({ suites: [suite] });
      assert.is(session.suite, suite);
      assert.equal(session.guid, GUID);
      assert.equal(await session.systemGuid(), GUID);
      assert.is((await session.deviceId()).ipmiVersion, "2.0");
      assert.equal(await session.sessionSlots(), { possible: 8, active: 1 });
      assert.is((await session.chassisStatus()).isPowerOn, true);
      await session.power("off");
      assert.is(host.isOn, false);
      assert.is((await session.chassisStatus()).isPowerOn, false);
      await session.power("on");
      await session.power("reset");
      assert.equal(bmc.chassis.changes, ["off", "on", "reset"]);
      assert.is((await session.chassisStatus()).lastEvent.turnedOnByCommand, true);
      await session.close();
      await failsWith("closed", session.chassisStatus());
      const next = await open({ suites: [suite] });
      assert.is((await next.sessionSlots()).active, 1);
      await next.close();
    }));
}

test("suite 17 is tried first, and 3 once when 17 is refused", () =>
  withBmc({ suites: [3] }, async ({ open }) => {
    const session = await open();
    assert.is(session.suite, 3);
    await session.close();
  }));

test("a disabled suite that is refused as lack of resources leads to the other suite", () =>
  withBmc({ suites: [17], flaws: { disabledSuiteStatus: 0x01 } }, async ({ open }) => {
    const session = await open({ suites: [3, 17] });
    assert.is(session.suite, 17);
    await session.close();
  }));

test("no common suite is a stable error", () =>
  withBmc({ suites: [3] }, async ({ open }) => {
    await failsWith("no-suite", open({ suites: [17] }));
  }));

test("a feed that was cut shows as AC failure, our own off does not", () =>
  withBmc({}, async ({ host, open }) => {
    const session = await open();
    host.isOn = false;
    assert.is((await session.chassisStatus()).lastEvent.acFailed, true);
    await session.power("on");
    await session.power("off");
    assert.is((await session.chassisStatus()).lastEvent.acFailed, false);
    await session.close();
  }));

test("a wrong password, an unknown user and a privilege too high are told apart, each after one try", async () => {
  let opens = 0;
  const onDatagram = (datagram: Buffer) => {
    const packet = decodePacket(datagram);
    if (packet?.kind === "plus" && packet.type === payloadType.openSessionRequest) opens++;
  };
  await withBmc({ onDatagram }, async ({ bmc, open }) => {
    await failsWith("bad-credentials", open({ password: "wrong" }));
    await failsWith("bad-credentials", open({ user: "nobody" }));
    assert.is(opens, 2);
    await failsWith("privilege", open({ privilege: "administrator", suites: [17] }));
    assert.is(opens, 3);
    await bmc.inject({ fault: "wrong-password" });
    await failsWith("bad-credentials", open());
    // RAKP 3 tells the BMC to forget the session; it needs a moment to arrive, and far less than the slot's time-out.
    while (bmc.activeSessions > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
});

test("a user without the privilege may read and not power", () =>
  withBmc({}, async ({ host, open }) => {
    const session = await open({ user: "guest", password: "guest", privilege: "user" });
    assert.is((await session.chassisStatus()).isPowerOn, true);
    const error = await failsWith("privilege", session.power("off"));
    assert.is(error.completionCode, 0xd4);
    assert.is(host.isOn, true);
    await session.close();
  }));

test("a BMC key K_g is needed where one is set", () =>
  withBmc({ bmcKey: Buffer.from("site key") }, async ({ open }) => {
    await failsWith("bad-answer", open());
    const session = await open({ bmcKey: Buffer.from("site key") });
    await session.chassisStatus();
    await session.close();
  }));

test("an address where nothing listens is reported at once, and says nothing of the host", async () => {
  const start = performance.now();
  await failsWith("no-bmc", openSession({ ...LOGIN, port: await closedPort() }));
  assert.ok(performance.now() - start < 300);
});

test("a silent BMC is reported within 2 s, after fresh handshakes from fresh ports", async () => {
  const ports = new Set<number>();
  const consoleIds = new Set<number>();
  let opens = 0;
  await withBmc(
    {
      faults: [{ fault: "silent" }],
      onDatagram: (datagram, remote) => {
        const packet = decodePacket(datagram);
        if (packet?.kind !== "plus") return;
        opens++;
        ports.add(remote.port);
        consoleIds.add(packet.payload.readUInt32LE(4));
      },
    },
    async ({ open }) => {
      const first = await freeRange(4);
      const start = performance.now();
      await failsWith("no-answer", open({ localPorts: { first, last: first + 3 } }));
      assert.ok(performance.now() - start < 2_000);
      assert.ok(opens >= 2, `${opens} open session requests`);
      assert.is(ports.size, opens);
      assert.is(consoleIds.size, opens);
    },
  );
});

test("a BMC that is gone in the middle of a session is no BMC, and comes back", () =>
  withBmc({}, async ({ bmc, open }) => {
    const session = await open();
    await bmc.inject({ fault: "gone" });
    await failsWith("no-bmc", session.chassisStatus());
    await session.close();
    await bmc.clearFaults();
    await (await open()).close();
  }));

test("a set-up packet that is lost, whichever, costs a new handshake and no more", async () => {
  for (const kind of ["drop-request", "drop-answer"] as const) {
    for (const value of [1, 2, 3, 4]) {
      await withBmc({ faults: [{ fault: kind, value }] }, async ({ open }) => {
        const session = await open({ answerTimeoutMs: 50 });
        assert.is((await session.chassisStatus()).isPowerOn, true);
        await session.close();
      });
    }
  }
});

test("a command whose answer is lost is repeated and carried out once", () =>
  withBmc({}, async ({ bmc, open }) => {
    const session = await open({ answerTimeoutMs: 50 });
    await bmc.inject({ fault: "drop-answer", value: 1 });
    await session.power("reset");
    assert.equal(bmc.chassis.changes, ["reset"]);
    await session.close();
  }));

test("answers that come twice answer once", () =>
  withBmc({}, async ({ bmc, host, open }) => {
    const session = await open();
    await bmc.inject({ fault: "duplicate-answer", value: 1 });
    assert.is((await session.chassisStatus()).isPowerOn, true);
    host.isOn = false;
    assert.is((await session.chassisStatus()).isPowerOn, false);
    await session.close();
  }));

test("a slow BMC is waited for, and a repetition answered with CFh is not taken for the answer", () => {
  const host = { isOn: true };
  const power = {
    get: () => host.isOn,
    set: async (isOn: boolean) => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      host.isOn = isOn;
    },
    reset: () => undefined,
  };
  return withBmc({ power, flaws: { answersDuplicates: true } }, async ({ bmc, open }) => {
    const session = await open({ answerTimeoutMs: 40 });
    await session.power("off");
    assert.is(host.isOn, false);
    assert.equal(bmc.chassis.changes, ["off"]);
    await bmc.inject({ fault: "slow", value: 60 });
    assert.is((await session.chassisStatus()).isPowerOn, false);
    await session.close();
  });
});

test("busy is asked again until the deadline", () =>
  withBmc({}, async ({ bmc, host, open }) => {
    const session = await open();
    await bmc.inject({ fault: "busy", value: 2 });
    await session.power("off");
    assert.is(host.isOn, false);
    await bmc.inject({ fault: "busy" });
    const start = performance.now();
    const error = await failsWith("busy", session.power("on", { deadlineMs: 200 }));
    assert.is(error.completionCode, 0xc0);
    assert.ok(performance.now() - start < 400);
    await session.close();
  }));

test("refusals of a power command keep their completion code", async () => {
  const cases: readonly (readonly [number, IpmiErrorCode])[] = [
    [0xd5, "not-in-this-state"],
    [0xc1, "unsupported"],
    [0xcc, "unsupported"],
    [0xd4, "privilege"],
    [0xff, "completion-code"],
  ];
  await withBmc({}, async ({ bmc, host, open }) => {
    const session = await open();
    for (const [value, code] of cases) {
      await bmc.inject({ fault: "refuses", value });
      const error = await failsWith(code, session.power("off"));
      assert.is(error.completionCode, value);
      assert.is(error.wasSent, true);
    }
    assert.is(host.isOn, true);
    await session.close();
  });
});

test("a BMC that lies does so in both directions and for its time", () =>
  withBmc({}, async ({ bmc, host, open }) => {
    const session = await open();
    await bmc.inject({ fault: "lies", value: 0.15 });
    assert.is((await session.chassisStatus()).isPowerOn, false);
    host.isOn = false;
    assert.is((await session.chassisStatus()).isPowerOn, true);
    while ((await session.chassisStatus()).isPowerOn);
    await session.close();
  }));

test("a host that comes on again after its off is seen to", () =>
  withBmc({ faults: [{ fault: "off-then-on", value: 50 }] }, async ({ bmc, open }) => {
    const session = await open();
    await session.power("off");
    assert.is((await session.chassisStatus()).isPowerOn, false);
    while (!(await session.chassisStatus()).isPowerOn);
    assert.equal(bmc.chassis.changes, ["off", "on"]);
    await session.close();
  }));

test("another GUID shows in the session's own set-up", () =>
  withBmc({ faults: [{ fault: "wrong-guid" }] }, async ({ open }) => {
    const session = await open();
    assert.not.equal(session.guid, GUID);
    assert.equal(session.guid, await session.systemGuid());
    await session.close();
  }));

test("full session slots are a stable error, and free ones are not needed to say so", () =>
  withBmc({ slots: 1 }, async ({ bmc, open }) => {
    const first = await open();
    await failsWith("no-resources", open());
    await first.close();
    await (await open()).close();
    await bmc.inject({ fault: "slots-full" });
    await failsWith("no-resources", open());
  }));

test("a BMC that dies with its host leaves the off unanswered, and the error says that it was sent", () =>
  withBmc({ faults: [{ fault: "dies-with-host" }] }, async ({ host, open }) => {
    const session = await open();
    const error = await failsWith("no-answer", session.power("off", { deadlineMs: 200 }));
    assert.is(error.wasSent, true);
    assert.is(host.isOn, false);
    await session.close();
  }));

test("the guard is asked before each power datagram, and no makes it stay", () =>
  withBmc({}, async ({ bmc, host, open }) => {
    let mayGo = false;
    let asked = 0;
    const beforeSend = () => {
      asked++;
      return mayGo;
    };
    const session = await open({ beforeSend, answerTimeoutMs: 40 });
    await session.chassisStatus();
    assert.is(asked, 0);
    const refused = await failsWith("refused-by-caller", session.power("off"));
    assert.is(refused.wasSent, false);
    // The general request is guarded too.
    await failsWith("refused-by-caller", session.request("power off", 0x00, 0x02, [0x00]));
    assert.is(host.isOn, true);
    assert.is(asked, 2);
    // The first datagram may go, its repetition may not: it may have been carried out.
    mayGo = true;
    await bmc.inject({ fault: "silent" });
    const power = session.power("off");
    setTimeout(() => {
      mayGo = false;
    }, 10);
    assert.is((await failsWith("refused-by-caller", power)).wasSent, true);
    await session.close();
  }));

test("sessions leave from the reserved ports, each from its own, and a full range is an error", () =>
  withBmc({}, async ({ open }) => {
    const first = await freeRange(2);
    const localPorts = { first, last: first + 1 };
    const one = await open({ localPorts, localAddress: ADDRESS });
    const two = await open({ localPorts, localAddress: ADDRESS });
    assert.equal([one.localPort, two.localPort].sort(), [first, first + 1]);
    await failsWith("no-local-port", open({ localPorts, localAddress: ADDRESS }));
    await one.close();
    await two.close();
  }));

test("an abort ends what runs, at once", () =>
  withBmc({}, async ({ bmc, open }) => {
    const session = await open();
    await bmc.inject({ fault: "silent" });
    const start = performance.now();
    const signal = AbortSignal.timeout(50);
    await failsWith("aborted", session.chassisStatus({ signal }));
    await failsWith("aborted", open({ signal: AbortSignal.abort() }));
    assert.ok(performance.now() - start < 500);
    await session.close();
  }));

test("options that cannot be right are refused before anything is sent", async () => {
  const datagrams: Buffer[] = [];
  await withBmc({ onDatagram: (datagram) => datagrams.push(datagram) }, async ({ open }) => {
    await failsWith("bad-option", open({ user: "seventeen letters" }));
    await failsWith("bad-option", open({ password: "twenty-one letters!!!" }));
    await failsWith("bad-option", open({ localPorts: { first: 10, last: 9 } }));
    await failsWith("bad-option", open({ deadlineMs: 0 }));
    assert.is(datagrams.length, 0);
  });
});

test("requests queue: many at once all get their own answer, and too many are refused", () =>
  withBmc({}, async ({ open }) => {
    const session = await open();
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, at) => (at % 2 ? session.systemGuid() : session.deviceId())),
    );
    assert.is(answers.filter((answer) => Buffer.isBuffer(answer) && answer.equals(GUID)).length, 16);
    const flood = Array.from({ length: 33 }, () => session.chassisStatus());
    const results = await Promise.allSettled(flood);
    assert.is(results.filter(({ status }) => status === "rejected").length, 1);
    await session.close();
  }));

const flawed: readonly (readonly [string, FirmwareFlaws, Quirks, IpmiErrorCode | "works"])[] = [
  ["RAKP 2 one byte long", { rakp2OneByteLong: true }, { rakp2OneByteLong: true }, "bad-credentials"],
  ["RAKP 4 not truncated", { rakp4FullLength: true }, { rakp4FullLength: true }, "bad-answer"],
  ["wrong checksums", { badChecksums: true }, { ignoreChecksums: true }, "no-answer"],
  ["padded user names", { paddedUserName: true }, { paddedUserName: true }, "bad-credentials"],
  ["RAKP 1 of 44 bytes", { wantsFullLengthRakp1: true }, { fullLengthRakp1: true }, "no-answer"],
  ["session id 0", { zeroSessionIdInAnswers: true }, { zeroSessionIdInAnswers: true }, "no-answer"],
  ["privilege refused", { refusesPrivilege: true }, { ignorePrivilegeRefusal: true }, "privilege"],
  ["first RAKP 2 wrong", { firstRakp2Wrong: true }, { retryRakp2Mismatch: true }, "bad-credentials"],
  ["no IPMI 1.5", { ignoresAuthCapabilities: true }, { noAuthCapabilities: true }, "works"],
  ["no answer to Close Session", { noCloseAnswer: true }, { noCloseAnswer: true }, "works"],
];
for (const [name, flaws, quirks, without] of flawed) {
  test(`firmware with ${name} needs its flag`, async () => {
    const limits = { answerTimeoutMs: 40, deadlineMs: 400 };
    await withBmc({ flaws }, async ({ open }) => {
      if (without === "works") await (await open(limits)).close();
      else await failsWith(without, open(limits));
    });
    await withBmc({ flaws }, async ({ host, open }) => {
      const session = await open({ ...limits, quirks });
      await session.power("off");
      assert.is((await session.chassisStatus()).isPowerOn, false);
      assert.is(host.isOn, false);
      await session.close();
    });
  });
}

test("a login that fails at its last step leaves no session at the BMC", () =>
  withBmc({ slots: 1, flaws: { refusesPrivilege: true } }, async ({ bmc, open }) => {
    for (let login = 1; login <= 3; login++) {
      await failsWith("privilege", open());
      for (const end = performance.now() + 2000; bmc.activeSessions > 0; await Bun.sleep(1))
        assert.ok(performance.now() < end, `login ${login} keeps its slot`);
    }
  }));

test("pacing keeps the least time between two requests", () =>
  withBmc({}, async ({ open }) => {
    const session = await open({ quirks: { pacingMs: 60 } });
    const start = performance.now();
    await session.chassisStatus();
    await session.chassisStatus();
    assert.ok(performance.now() - start >= 100);
    await session.close();
  }));

test("close ends at once what is on its way and what waits", () =>
  withBmc({}, async ({ bmc, open }) => {
    const session = await open();
    await bmc.inject({ fault: "silent" });
    const start = performance.now();
    const pending = [session.chassisStatus(), session.deviceId()].map((request) => failsWith("closed", request));
    await session.close();
    await Promise.all(pending);
    assert.ok(performance.now() - start < 500);
  }));

test("a BMC that agrees to suite 0 is found out, others are not accused", async () => {
  const probe = ({ bmc }: Bed) => probeSuiteZero({ address: ADDRESS, port: bmc.port });
  await withBmc({}, async (bed) => assert.is(await probe(bed), false));
  await withBmc({ flaws: { acceptsSuiteZero: true } }, async (bed) => assert.is(await probe(bed), true));
  await failsWith("no-bmc", probeSuiteZero({ address: ADDRESS, port: await closedPort() }));
});

test("a late answer to an earlier status read is not taken for the answer to this one", () =>
  withBmc({}, async ({ bmc, host }) => {
    const relay = await relayTo(bmc.port);
    const session = await openSession({ ...LOGIN, port: relay.port, answerTimeoutMs: 50 });
    host.isOn = false;
    relay.onAnswer = () => "keep";
    assert.is((await session.chassisStatus()).isPowerOn, false);
    assert.is(relay.kept.length, 1);
    host.isOn = true;
    relay.onAnswer = () => "after-kept";
    assert.is((await session.chassisStatus()).isPowerOn, true);
    await session.close();
    relay.close();
  }));

test("a replayed answer is refused even when its rqSeq has come round again", () =>
  withBmc({}, async ({ bmc, host }) => {
    const relay = await relayTo(bmc.port);
    const session = await openSession({ ...LOGIN, port: relay.port });
    host.isOn = false;
    relay.onAnswer = () => "copy";
    assert.is((await session.chassisStatus()).isPowerOn, false);
    assert.is(relay.kept.length, 1);
    host.isOn = true;
    // rqSeq has 6 bits: the 64th request from here on has the number of the recorded one.
    for (let request = 1; request < 64; request++) await session.deviceId();
    relay.onAnswer = () => "after-kept";
    assert.is((await session.chassisStatus()).isPowerOn, true);
    await session.close();
    relay.close();
  }));

test("noise on the port disturbs neither side", () =>
  withBmc({}, async ({ bmc, open }) => {
    const noise = createSocket("udp4");
    const garbage = [
      "",
      "00",
      "0600ff06",
      "0600ff0706",
      `0600ff0706c0${"ff".repeat(30)}`,
      `0600ff070610${"00".repeat(10)}`,
    ];
    for (const hex of garbage) noise.send(Buffer.from(hex, "hex"), bmc.port, ADDRESS);
    const session = await open();
    assert.is((await session.chassisStatus()).isPowerOn, true);
    await session.close();
    noise.close();
  }));

test("every fault that is in force shows, and clears", () =>
  withBmc({}, async ({ bmc }) => {
    const faults: Fault[] = [{ fault: "slow", value: 5 }, { fault: "slots-full" }];
    for (const fault of faults) await bmc.inject(fault);
    assert.equal(bmc.faults, faults);
    await bmc.clearFaults();
    assert.equal(bmc.faults, []);
  }));

interface Relay {
  readonly port: number;
  readonly kept: Buffer[];
  /** Asked for each answer until it has said something but "pass" once: hold it, copy it, or send what was kept before it. */
  onAnswer: () => "pass" | "keep" | "copy" | "after-kept";
  close(): void;
}

/** A wire between one client and a BMC whose answers can be held back and replayed. */
async function relayTo(bmcPort: number): Promise<Relay> {
  const front = createSocket("udp4");
  const back = createSocket("udp4");
  await Promise.all([front, back].map((socket) => new Promise<void>((done) => socket.bind(0, ADDRESS, () => done()))));
  let clientPort = 0;
  const pass = () => "pass" as const;
  const relay: Relay = {
    port: front.address().port,
    kept: [],
    onAnswer: pass,
    close: () => {
      front.close();
      back.close();
    },
  };
  front.on("message", (datagram, client) => {
    clientPort = client.port;
    back.send(datagram, bmcPort, ADDRESS);
  });
  back.on("message", (answer) => {
    const decision = relay.onAnswer();
    relay.onAnswer = pass;
    if (decision === "keep" || decision === "copy") relay.kept.push(answer);
    if (decision === "after-kept") for (const old of relay.kept) front.send(old, clientPort, ADDRESS);
    if (decision !== "keep") front.send(answer, clientPort, ADDRESS);
  });
  return relay;
}

async function closedPort(): Promise<number> {
  return freeRange(1);
}

/** The first of `count` ports next to each other that were free a moment ago. */
async function freeRange(count: number): Promise<number> {
  for (let first = 60_700; first < 65_000; first += count) {
    const sockets = await Promise.all(Array.from({ length: count }, (_, at) => tryBind(first + at)));
    for (const socket of sockets) socket?.close();
    if (sockets.every((socket) => socket !== undefined)) return first;
  }
  throw new Error("no free UDP ports");
}

function tryBind(port: number) {
  const socket = createSocket("udp4");
  return new Promise<typeof socket | undefined>((resolve) => {
    socket.once("error", () => resolve(undefined));
    socket.bind({ port, address: ADDRESS, exclusive: true }, () => resolve(socket));
  });
}

test.run();
