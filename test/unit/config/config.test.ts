import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LEASE_MARGIN_MS as LEASE_MARGIN, CLOCK_RATE_ERROR as LEASE_RATE } from "../../../src/cluster/lease.ts";
import { type Config, type FileProblem, readConfig } from "../../../src/config/config.ts";
import { parseSettings } from "../../../src/config/syntax.ts";
import {
  apiLimits,
  CLOCK_RATE_ERROR,
  expectedGap,
  LEASE_MARGIN_MS,
  tickMs,
  timingProof,
  timingsFromText,
  timingsText,
} from "../../../src/config/timings.ts";

function good(oned: string, box?: string): Config {
  const result = readConfig(
    { name: "oned.conf", text: oned },
    box === undefined ? undefined : { name: "box.conf", text: box },
  );
  if ("problems" in result) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function bad(oned: string, box?: string): readonly FileProblem[] {
  const result = readConfig(
    { name: "oned.conf", text: oned },
    box === undefined ? undefined : { name: "box.conf", text: box },
  );
  return "problems" in result ? result.problems : [];
}

test("an empty file is a valid configuration: one box, no VIP", () => {
  const config = good("");
  assert.is(config.box.serverId, -1);
  assert.equal(config.cluster.vips, []);
  assert.is(config.cluster.timings.profile, "default");
});

test("OpenNebula's own hooks configure the built-in holder", () => {
  const config = good(`
RAFT_LEADER_HOOK = [
     COMMAND = "raft/vip.sh",
     ARGUMENTS = "leader eth0 10.3.3.2/24"
]
# Executed when a server transits from leader->follower
RAFT_FOLLOWER_HOOK = [ COMMAND = "raft/vip.sh", ARGUMENTS = "follower eth0 10.3.3.2/24" ]
`);
  assert.equal(config.cluster.vips, [{ interface: "eth0", address: "10.3.3.2", prefix: 24 }]);
  assert.equal(config.cluster.leaderHooks, []);
});

test("twins that name different addresses are refused", () => {
  const problems = bad(`RAFT_LEADER_HOOK = [ COMMAND = "raft/vip.sh", ARGUMENTS = "leader eth0 10.3.3.2/24" ]
RAFT_FOLLOWER_HOOK = [ COMMAND = "raft/vip.sh", ARGUMENTS = "follower eth0 10.3.3.3/24" ]`);
  assert.match(problems[0]?.message ?? "", "different addresses");
});

test("FEDERATION names the server, and box.conf wins", () => {
  const federation = `FEDERATION = [ MODE = "STANDALONE", ZONE_ID = 0, SERVER_ID = 0, # changed\n MASTER_ONED = "" ]`;
  assert.is(good(federation).box.serverId, 0);
  assert.is(good(federation, "SERVER_ID = 2").box.serverId, 2);
});

test("the older forms of hooks are read as they stand", () => {
  const config = good(`HOST_HOOK = [
    name      = "error",
    on        = "ERROR",
    command   = "host_error.rb",
    arguments = "$HID -r n",
    remote    = "no" ]
VM_HOOK = [ name = "on_failure_resubmit", on = "FAILED", command = "/usr/bin/env onevm resubmit", arguments = "$VMID" ]`);
  assert.is(config.cluster.hostHooks[0]?.arguments, "$HID -r n");
  assert.is(config.cluster.vmHooks[0]?.on, "FAILED");
});

test("a typing error names file, line and the word", () => {
  const problems = bad('PORT = 2633\n\nLISTEN_ADRESS = "0.0.0.0"\nRAFT = [ PROFIL = "fast" ]');
  assert.equal(
    problems.map((p) => [p.file, p.line]),
    [
      ["oned.conf", 3],
      ["oned.conf", 4],
    ],
  );
  assert.match(problems[0]?.message ?? "", "LISTEN_ADRESS");
  assert.match(problems[1]?.message ?? "", "PROFIL");
});

test("all problems are reported, not only the first", () => {
  assert.is(bad('PORT = "abc"\nVIP = [ INTERFACE = "eth0", ADDRESS = "10.3.3.2/33" ]\nISOLATED = "maybe"').length, 3);
});

test("syntax errors say what was expected and what was found", () => {
  assert.equal(parseSettings('A = [ B = "x" C = "y" ]'), {
    line: 1,
    column: 15,
    message: '"," or "]" is expected, found "C = "y" ]"',
  });
  assert.equal(parseSettings('A = "never closed\nB = 2'), {
    line: 1,
    column: 5,
    message: 'the closing " is missing, found ""never closed"',
  });
  assert.equal(parseSettings("\n\n= 3"), { line: 3, column: 1, message: 'a name is expected, found "= 3"' });
});

test("a value may span lines, escape quotes and be followed by a comment", () => {
  assert.equal(parseSettings('A = "one\ntwo \\"three\\"" # comment\nb=4 # five\n'), [
    { name: "A", value: 'one\ntwo "three"', line: 1 },
    { name: "B", value: "4", line: 3 },
  ]);
});

test("OpenNebula's own Raft numbers are accepted and proven", () => {
  const config = good(
    "RAFT = [ LIMIT_PURGE = 100000, LOG_RETENTION = 250000, ELECTION_TIMEOUT_MS = 5000, BROADCAST_TIMEOUT_MS = 500, XMLRPC_TIMEOUT_MS = 1000 ]",
  );
  assert.is(config.cluster.timings.heartbeatMs, 500);
  assert.is(config.cluster.timings.promiseMs, 4950);
  assert.ok(timingProof(config.cluster.timings).every((fact) => fact.holds));
});

test("the API is asked within the profiles' limits, and as patiently as slow timings are", () => {
  const limits = (promiseMs: number) => Object.values(apiLimits({ promiseMs }));
  assert.equal(limits(150), [75, 300, 2000]);
  assert.equal(limits(600), [250, 1000, 2000]);
  assert.equal(limits(4950), [1237.5, 4950, 9900]);
});

test("there are as many ticks in a slow E as in the default's, within what ARP bears", () => {
  assert.equal(
    [150, 300, 600, 1200, 2450, 4950].map((promiseMs) => tickMs({ promiseMs })),
    [2, 2, 5, 10, 20, 20],
  );
});

test("timings that break an inequality are refused with that inequality", () => {
  const problems = bad("RAFT = [ ELECTION_TIMEOUT_MS = 300, BROADCAST_TIMEOUT_MS = 200 ]");
  assert.match(problems[0]?.message ?? "", "does not hold: 3 heartbeats = 600 ms");
});

test("both profiles hold their own proof", () => {
  for (const profile of ["default", "fast"]) {
    const { timings } = good(`RAFT = [ PROFILE = "${profile}" ]`).cluster;
    assert.equal(
      timingProof(timings).filter((fact) => !fact.holds),
      [],
    );
  }
});

test("timings travel as one text: equal ones give the same, and only what proves itself is read", () => {
  for (const raft of [
    'PROFILE = "default"',
    'PROFILE = "fast"',
    "ELECTION_TIMEOUT_MS = 2500, BROADCAST_TIMEOUT_MS = 500",
  ]) {
    const { timings } = good(`RAFT = [ ${raft} ]`).cluster;
    const text = timingsText(timings);
    assert.equal(timingsFromText(text), { ...timings, callTimeoutMs: 5000 });
    // What one call may take is the box's own affair.
    assert.is(timingsText({ ...timings, callTimeoutMs: 1 } as typeof timings), text);
  }
  const fast = JSON.parse(timingsText(good('RAFT = [ PROFILE = "fast" ]').cluster.timings)) as object;
  const refused = [
    ...["", "{}", "null", "[]", "x"],
    ...[{ promiseMs: 160 }, { promiseMs: 0 }, { heartbeatMs: 0.5 }, { heartbeatMs: 60 }, { retryMs: [40, 5] }].map(
      (some) => JSON.stringify({ ...fast, ...some }),
    ),
    ...[{ electionTimeoutMs: [165] }, { electionTimeoutMs: [165, 165] }, { more: 1 }, { promiseMs: "150" }].map(
      (some) => JSON.stringify({ ...fast, ...some }),
    ),
  ];
  for (const text of refused) assert.is(timingsFromText(text), undefined, text);
});

test("the gap to expect is near what the rack measures, for both profiles", () => {
  const gap = (profile: string) => expectedGap(good(`RAFT = [ PROFILE = "${profile}" ]`).cluster.timings);
  assert.equal(gap("default"), { typicalMs: 732, largestMs: 1015 });
  assert.equal(gap("fast"), { typicalMs: 215, largestMs: 315 });
});

test("the proof uses the numbers that the lease uses", () => {
  assert.is(CLOCK_RATE_ERROR, LEASE_RATE);
  assert.is(LEASE_MARGIN_MS, LEASE_MARGIN);
});

test("consoles are lines with a device and a speed", () => {
  assert.equal(good("").box.consoles, []);
  assert.equal(good('CONSOLE = [ DEVICE = "ttyS0" ]\nCONSOLE = [ DEVICE = "/dev/pts/3", BAUD = 9600 ]').box.consoles, [
    { device: "/dev/ttyS0", baudRate: 115_200 },
    { device: "/dev/pts/3", baudRate: 9600 },
  ]);
  for (const wrong of [
    "CONSOLE = [ BAUD = 9600 ]",
    'CONSOLE = [ DEVICE = "ttyS0", BAUD = fast ]',
    'CONSOLE = [ DEVICE = "../ttyS0" ]',
    'CONSOLE = [ DEVICE = "ttyS0" ]\nCONSOLE = [ DEVICE = "/dev/ttyS0" ]',
  ])
    assert.ok("problems" in readConfig({ name: "box.conf", text: wrong }, undefined), wrong);
});

test("the front panel's lines are named, and a polarity belongs to a line", () => {
  assert.is(good("").box.panel, undefined);
  assert.equal(
    good('GPIO = [ CHIP = gpiochip0, HEALTH = "led-health", BUTTON = 3, ACTIVE_LOW = "button health" ]').box.panel,
    {
      ...{ driver: "chip", chip: "gpiochip0", lines: { health: "led-health", button: "3" } },
      activeLow: ["button", "health"],
    },
  );
  for (const wrong of [
    "GPIO = [ HEALTH = 1 ]",
    "GPIO = [ CHIP = a, DRIVER = magic ]",
    "GPIO = [ CHIP = a, HEALTH = 1, ACTIVE_LOW = button ]",
    "GPIO = [ CHIP = a, HEALT = 1 ]",
  ])
    assert.ok("problems" in readConfig({ name: "box.conf", text: wrong }, undefined), wrong);
});

test("what OpenNebula knows and we do not need is read and named", () => {
  assert.equal(good('DB = [ BACKEND = "sqlite" ]\nVNC_PORTS = [ START = 5900 ]').ignored, ["DB", "VNC_PORTS"]);
});

test("the guide's federation section starts here", () => {
  const seed = resolve(import.meta.dir, "../../../../shared/seeds/000_548e7fb6c4ff8e76.txt");
  if (!existsSync(seed)) return;
  const text = readFileSync(seed, "utf8");
  const section = /FEDERATION = \[[^\]]*\]/.exec(text)?.[0] ?? "";
  assert.is(good(section).box.serverId, 0);
});

test.run();
