// `ringfence`: what people see of the cluster, and what they are asked before something is put on the record.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeRefusal } from "../../../src/api/xmlrpc/encode.ts";
import { createRpc } from "../../../src/cli/client/rpc.ts";
import { CommandFailure } from "../../../src/cli/failure.ts";
import { joinTokenOf, takeToken } from "../../../src/cli/ringfence/join.ts";
import { RINGFENCE_PROGRAM } from "../../../src/cli/ringfence/program.ts";
import { run } from "../../../src/cli/run.ts";
import { timingsOf, timingsText } from "../../../src/config/timings.ts";
import type { Value } from "../../../src/one/method.ts";
import { CODE, refusal } from "../../../src/one/refusal.ts";
import { fakeFrontEnd } from "./fake-front-end.ts";
import { fakeTerminal } from "./fake-terminal.ts";

const GUID = "33221100554477668899aabbccddeeff";
const UUID = "00112233-4455-6677-8899-aabbccddeeff";

interface Scene {
  /** Of box1. */
  readonly disk?: object;
  readonly boot?: object | null;
  readonly generation?: number;
  readonly recoveries?: readonly unknown[];
  readonly role?: string;
  readonly guid?: string;
  readonly uuid?: string;
  readonly fenceState?: string;
  readonly reason?: string;
  readonly members?: readonly ReturnType<typeof member>[];
}

const DEFAULT = timingsText(good({}));
const FAST = timingsText(good({ PROFILE: "fast" }));

function good(items: Readonly<Record<string, string>>) {
  const timings = timingsOf(items);
  if ("problem" in timings) throw new Error(timings.problem);
  return timings;
}

const member = (serverId: number, name: string, match: number | null, isReachable = true) => ({
  ...{ serverId, name, raftId: `r${serverId}`, peerAddress: `10.0.0.${10 + serverId}:2636` },
  ...{ isVoter: true, isReachable, match },
  ...{ level: isReachable ? 1 : null, build: isReachable ? "0.1.0" : null, timings: isReachable ? DEFAULT : null },
});

function answers(scene: Scene): Record<string, Value> {
  const status = {
    ...{ generation: scene.generation ?? 1, recoveries: scene.recoveries ?? [] },
    ...(scene.boot === undefined ? {} : { boot: scene.boot }),
    box: { raftId: "r0", serverId: 0, name: "box0" },
    cluster: {
      ...{
        role: scene.role ?? "leader",
        term: 7,
        leader: "r0",
        commit: 90,
        applied: 90,
        lastIndex: 100,
        leaseMs: 480.4,
      },
      ...{ longestTurnMs: 3, roundMs: 2.5, longestRoundMs: 7.2, level: 1, timings: DEFAULT },
      members: scene.members ?? [
        { ...member(1, "box1", 97), disk: scene.disk ?? null },
        member(0, "box0", null),
        member(2, "box2", 40, false),
      ],
    },
    vip: {
      ...{ holding: true, leadership: "leader", claim: "free", leaseRemainingMs: 480, isTableSound: true },
      addresses: [{ interface: "eth0", address: "10.0.0.2", prefix: 24 }],
      incidents: { conflicts: 0, lapses: 2 },
    },
    hosts: [{ hostId: 4, state: "ready", reason: "", uuid: scene.uuid ?? UUID }],
    levels: [
      { hostId: 4, kind: "host-up", inference: { kind: "up", answerAgeMs: 47.1, degraded: "its disk is slow" } },
    ],
    readiness: [
      {
        hostId: 4,
        isReady: true,
        reason: "",
        findings: [],
        power: "on",
        guid: scene.guid ?? GUID,
        ageMs: 5,
        answeringForMs: 9,
      },
    ],
  };
  const fencing = {
    ...{ armed: true, changedBy: "founding", why: "" },
    hosts: [
      {
        ...{ id: 4, name: "hv1", state: scene.fenceState ?? "HEALTHY", attempt: 0, reason: scene.reason ?? "" },
        ...{ confirmedBy: "", evidence: [], proofs: [], binding: { guid: GUID, uuid: UUID, boundBy: "oneadmin" } },
      },
    ],
  };
  return {
    "ringfence.status": JSON.stringify(status),
    "ringfence.fence.status": JSON.stringify(fencing),
    "one.hostpool.info": "<HOST_POOL><HOST><ID>4</ID><NAME>hv1</NAME></HOST></HOST_POOL>",
    "one.host.info":
      "<HOST><NAME>hv1</NAME><TEMPLATE><FENCE><ADDRESS><![CDATA[10.1.0.1]]></ADDRESS><METHOD><![CDATA[ipmi]]></METHOD><PASSWORD><![CDATA[***]]></PASSWORD><USER><![CDATA[fence]]></USER></FENCE><RACK><![CDATA[a]]></RACK></TEMPLATE></HOST>",
  };
}

async function command(scene: Scene, words: readonly string[], options: Parameters<typeof fakeTerminal>[0] = {}) {
  const known = answers(scene);
  const frontEnd = fakeFrontEnd(({ method }) => ({ value: known[method] ?? 1 }));
  const terminal = fakeTerminal(options);
  const code = await run(
    RINGFENCE_PROGRAM,
    [...words, "--endpoint", frontEnd.endpoint, "--user", "u", "--password", "p"],
    terminal,
    "",
  );
  await frontEnd.stop();
  // What changes something comes with a request id.
  const writes = frontEnd.calls
    .filter((call) => call.requestId !== null)
    .map(({ method, params }) => [method, ...params.slice(1)]);
  return { code, writes, ...terminal.written };
}

test("status shows who leads, who holds the VIP, how far each box is, and how each host is", async () => {
  const { out, code } = await command({ fenceState: "HELD", reason: "no proof that it is off" }, ["status"]);
  assert.is(code, 0);
  assert.is(
    out.replace(/ +$/gm, ""),
    `BOX box0 (server 0)
ROLE          : leader, term 7
LEADER        : box0, lease 480 ms, heartbeats answered within 8 ms
LOG           : 100, committed 90, applied 90
LEVEL         : 1
TIMINGS       : default (heartbeat 100 ms, E 600 ms, election 650–1000 ms)
VIP           : 10.0.0.2/24 on eth0, held by box0
  INCIDENTS   : lapses 2

BOXES
 ID NAME            ROLE       ADDRESS                     LAG BUILD      LEVEL STAT
  0 box0            leader     10.0.0.10:2636                0 0.1.0          1 on
  1 box1            follower   10.0.0.11:2636                3 0.1.0          1 on
  2 box2            follower   10.0.0.12:2636               60 -              - err

HOSTS (fencing is armed)
  ID NAME                 LEVEL        ANSWER FENCING      BMC
   4 hv1                  up            47 ms HELD         ready, power on
     fencing: no proof that it is off
     degraded: its disk is slow
`,
  );
});

test("status names a box whose file asks for other timings, and a level that only waits to be raised", async () => {
  const newer = { level: 2, build: "0.2.0" };
  const members = [
    { ...member(0, "box0", null), ...newer },
    { ...member(1, "box1", 97), ...newer, timings: FAST },
  ];
  const { out } = await command({ members }, ["status"]);
  assert.match(out, "LEVEL         : 1; every box knows 2: ringfence level raise\n");
  assert.match(
    out,
    "0.2.0          2 on\n     its oned.conf asks for fast (heartbeat 20 ms, E 150 ms, election 165–300 ms): in force when most boxes ask for it\n",
  );
  assert.is(out.split("asks for").length, 2);
});

test("level raise names the level that there is no way back from, and asks for its number", async () => {
  const members = [member(0, "box0", null)];
  const yes = await command({ members }, ["level", "raise"], { answers: ["2"] });
  assert.is(yes.code, 0);
  assert.is(yes.out, "Feature level 1 is in force.\n");
  const no = await command({ members }, ["level", "raise"], { answers: ["1"] });
  assert.is(no.out, "");
  assert.match(no.err, "Nothing was confirmed");
});

test("status names the system image of a box that was started from one", async () => {
  const boot = {
    slot: "B",
    try: 2,
    mode: "normal",
    isVerified: true,
    isSecure: true,
    key: "test",
    version: "0.2.0",
    build: "0123456789",
  };
  const { out } = await command({ boot }, ["status"]);
  assert.match(out, /^SLOT +: B: 0\.2\.0 01234567, try 2, verified, secure, TEST key/m);
  assert.not.match((await command({ boot: null }, ["status"])).out, /SLOT/);
});

test("status shows a generation that a person began until it is acknowledged", async () => {
  const recovery = {
    ...{ generation: 3, reason: "force-recover", by: "oneadmin", at: 0, name: "box0", commit: 90, lastIndex: 100 },
    former: [{ serverId: 1, name: "box1" }],
  };
  const { out } = await command({ generation: 3, recoveries: [recovery] }, ["status"]);
  assert.match(out, /GENERATION +: 3\n/);
  assert.match(
    out,
    "RECOVERED     : generation 3: box0 went on alone, by oneadmin at 1970-01-01T00:00:00.000Z; entries after 100 of the former generation are lost; left behind: box1. ringfence recovery acknowledge ends this line",
  );
  const done = await command({ generation: 3 }, ["recovery", "acknowledge"]);
  assert.equal(done.writes, [["ringfence.recovery.acknowledge"]]);
});

test("status names a box whose disk is full, slow or without its state", async () => {
  const { out } = await command(
    { disk: { room: "low", freeBytes: 40.5 * 1024 ** 2, durableMs: 300.4, hasState: false } },
    ["status"],
  );
  assert.match(
    out,
    /box1 .*\n +its state is lost: it waits for a snapshot of the leader; its disk is low: 40 MiB left; its disk is slow: 300 ms a sync\n/,
  );
  const well = await command({ disk: { room: "enough", freeBytes: 1e10, durableMs: 2, hasState: true } }, ["status"]);
  assert.not.match(well.out, /MiB left|a sync/);
});

test("status --json is one document for programs", async () => {
  const { out } = await command({}, ["status", "--json"]);
  const view = JSON.parse(out);
  assert.is(view.here.box.name, "box0");
  assert.is(view.leader.levels[0].inference.kind, "up");
  assert.is(view.fencing.armed, true);
});

test("watch goes on while a box does not answer", async () => {
  const known = answers({});
  const frontEnd = fakeFrontEnd(({ method }, index) =>
    index === 0
      ? { body: encodeRefusal(method, refusal(CODE.internal, "the state is being read")) }
      : { value: known[method] ?? 1 },
  );
  const terminal = fakeTerminal({ isTty: true });
  const words = ["watch", "--count", "2", "--endpoint", frontEnd.endpoint, "--user", "u", "--password", "p"];
  assert.is(await run(RINGFENCE_PROGRAM, words, terminal, ""), 0);
  await frontEnd.stop();
  assert.is(terminal.written.out.split("\u001b[H\u001b[2J").length, 3);
  assert.match(terminal.written.out, "[ringfence.status] the state is being read\n");
  assert.match(terminal.written.out, "held by box0");
});

test("fence bind shows both numbers and whether they agree, and stores nothing without a yes", async () => {
  const no = await command({}, ["fence", "bind", "hv1"], { answers: ["y"] });
  assert.is(no.code, 255);
  assert.match(no.out, `machine (libvirt)  ${UUID}\nBMC                33221100-5544-7766-8899-aabbccddeeff\n`);
  assert.match(no.out, "They are the same; the BMC swaps the bytes");
  assert.equal(no.writes, []);
  const yes = await command({}, ["fence", "bind", "hv1"], { answers: ["yes"] });
  assert.equal(yes.writes, [["ringfence.fence.bind", 4, GUID, UUID]]);
  const other = await command({ guid: "ff".repeat(16) }, ["fence", "bind", "4", "--yes"]);
  assert.match(other.out, "They differ.");
  assert.equal(other.writes, [["ringfence.fence.bind", 4, "ff".repeat(16), UUID]]);
});

test("fence bind needs both numbers", async () => {
  const { code, err, writes } = await command({ uuid: "" }, ["fence", "bind", "hv1", "--yes"]);
  assert.is(code, 255);
  assert.match(err, "Waits until the host's libvirt and its BMC have been read, for 10 s at most.");
  assert.match(err, "Both must have been read");
  assert.equal(writes, []);
});

test("fence confirm shows what is known and wants the host's name", async () => {
  const scene = { fenceState: "HELD", reason: "no proof" };
  const wrong = await command(scene, ["fence", "confirm", "hv1"], { answers: ["yes"] });
  assert.is(wrong.code, 255);
  assert.match(wrong.err, "Host hv1: HELD, no proof; boxes see it as: up");
  assert.equal(wrong.writes, []);
  const right = await command(scene, ["fence", "confirm", "hv1"], { answers: ["hv1"] });
  assert.equal(right.writes, [["ringfence.fence.confirm", 4, "hv1"]]);
  const rack = await command(scene, ["fence", "confirm", "--rack", "a", "--yes"]);
  assert.equal(rack.writes, [["ringfence.fence.confirmdomain", "rack", "a"]]);
});

test("fence set takes the password from standard input and keeps the rest of the section", async () => {
  const { writes, out, err } = await command({}, ["fence", "set", "hv1", "--privilege", "OPERATOR"], {
    input: 'se"cret\n',
  });
  assert.equal(writes, [
    [
      "one.host.update",
      4,
      'FENCE=[ ADDRESS="10.1.0.1", METHOD="ipmi", PASSWORD="se\\"cret", USER="fence", PRIVILEGE="OPERATOR" ]',
      1,
    ],
  ]);
  assert.not.match(`${out}${err}`, "cret");
  assert.is((await command({}, ["fence", "set", "hv1"], { input: "" })).code, 255);
});

test("arm and disarm are writes, and the reason goes with them", async () => {
  assert.equal((await command({}, ["fence", "arm"])).writes, [["ringfence.fence.arm"]]);
  assert.equal((await command({}, ["fence", "disarm", "a switch"])).writes, [["ringfence.fence.disarm", "a switch"]]);
});

test("a join token is written whole and for root alone; a member takes none", () => {
  const directory = mkdtempSync(join(tmpdir(), "cli-"));
  const [file, identity] = [join(directory, "etc", "join-token"), join(directory, "identity.json")];
  takeToken(" rf1.0123456789abcdef\n", file, identity);
  assert.is(readFileSync(file, "utf8"), "rf1.0123456789abcdef\n");
  assert.is(statSync(file).mode & 0o777, 0o600);
  assert.not.ok(existsSync(`${file}.new`));
  assert.throws(() => takeToken("short", file, identity), /no join token/);
  writeFileSync(identity, "{}");
  assert.throws(() => takeToken("rf1.0123456789abcdef", file, identity), /belongs to a cluster already/);
  rmSync(directory, { recursive: true });
});

test("a server's token is made by its number or its name", async () => {
  const frontEnd = fakeFrontEnd(({ method, params }) => ({
    value:
      method === "one.zone.info"
        ? "<ZONE><SERVER_POOL><SERVER><ID>2</ID><NAME>box2</NAME></SERVER></SERVER_POOL></ZONE>"
        : `token-${String(params[1])}`,
  }));
  const rpc = createRpc({ endpoint: () => frontEnd.endpoint, session: () => "a:b" });
  assert.is(await joinTokenOf(rpc, "1"), "token-1");
  assert.is(await joinTokenOf(rpc, "box2"), "token-2");
  await joinTokenOf(rpc, "box9").then(
    () => assert.unreachable(),
    (error) => assert.instance(error, CommandFailure),
  );
  await frontEnd.stop();
});

test("config check prints the proof, or every problem with file and line and ends with 1", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cli-"));
  const file = join(directory, "oned.conf");
  writeFileSync(file, 'VIP = [ INTERFACE = "eth0", ADDRESS = "10.0.0.2/24" ]\nRAFT = [ PROFILE = "fast" ]\n');
  const good = await command({}, ["config", "check", file]);
  assert.is(good.code, 0);
  assert.match(good.out, "Timings of profile fast:\n  holds: lease D");
  assert.match(good.out, "no writes and no VIP for about 215 ms, at most near 315 ms");
  assert.match(good.out, "VIP 10.0.0.2/24 on eth0: leaves a box that hangs or dies at the latest 123.5 ms after");
  writeFileSync(file, 'PORT = "abc"\nISOLATED = "maybe"\n');
  const bad = await command({}, ["config", "check", file]);
  assert.is(bad.code, 1);
  assert.match(bad.err, `${file}:1: `);
  assert.match(bad.err, `${file}:2: `);
  assert.is((await command({}, ["config", "check", join(directory, "absent")])).code, 1);
  rmSync(directory, { recursive: true });
});

test.run();
