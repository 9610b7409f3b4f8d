/** The demo behind `scripts/demo`: a rack on this machine loses its leader box, a hypervisor and a cable, and heals. */
import { existsSync, writeFileSync } from "node:fs";
import { errorChain } from "../../../src/base/error.ts";
import { theImage } from "../image/image.ts";
import { patientConf } from "../rack/box.ts";
import { placeOf } from "../rack/place.ts";
import { openRack, type Rack, upRack } from "../rack/rack.ts";
import { addHosts, formCluster, setPace, startGuest, waitForReadyBmcs } from "./bootstrap.ts";
import { RackClient } from "./client.ts";
import {
  bringBack,
  checkWrites,
  type Failure,
  hasRunTwice,
  holdersMax,
  loseHost,
  loseLeader,
  type Stage,
} from "./story.ts";

const words = process.argv.slice(2);
const has = (word: string): boolean => words.includes(word);
const KNOWN = ["--json", "--down", "--help", "-h", "--fast", "--images"];
const stranger = words.find((word) => !KNOWN.includes(word));
if (has("--help") || has("-h") || stranger !== undefined) {
  if (stranger !== undefined) console.error(`Cannot run the demo with "${stranger}"`);
  console.log(`usage: ./scripts/demo [--json] [--down] [--fast] [--images]

  Builds a rack on this machine (3 boxes, 3 hypervisors with BMCs, real QEMU guests), forms the cluster by the normal
  commands, then cuts the leader's power, a hypervisor's power and another one's network. Needs root. About 3 minutes.

  --json   ends with one JSON object on standard output; the story goes to standard error
  --down   takes the rack down at the end
  --fast   the fast Raft profile (boxes on one quiet switch)
  --images the boxes are emulated machines that start from the appliance's image (built when there is none of this
           source), with an election time-out of 5 s and the smallest guests. About 11 minutes on two processors`);
  process.exit(stranger === undefined ? 0 : 2);
}

/** What \`--json\` prints, on failure too. */
interface Result {
  ok: boolean;
  problems: string[];
  vip: { gapMs: number | null; holdersMax: number | null };
  writes: { acknowledged: number; lost: number; duplicated: number };
  failures: Failure[];
}

const result: Result = {
  ok: false,
  problems: [],
  vip: { gapMs: null, holdersMax: null },
  writes: { acknowledged: 0, lost: 0, duplicated: 0 },
  failures: [],
};
const startedAt = performance.now();
const place = placeOf();
/** Marks a rack as the demo's own, which the next demo may take down. */
const mark = `${place.runDirectory}/demo`;
let rack: Rack | undefined;
let client: RackClient | undefined;
let isEnding = false;

function say(text: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  (has("--json") ? console.error : console.log)(`${seconds} s  ${text}`);
}

function title(text: string): void {
  (has("--json") ? console.error : console.log)(`\n── ${text} ${"─".repeat(Math.max(0, 100 - text.length))}`);
}

async function finish(): Promise<never> {
  if (isEnding) return await new Promise<never>(() => undefined);
  isEnding = true;
  result.ok = result.problems.length === 0;
  await client?.stop();
  if (rack !== undefined && has("--down")) {
    await rack.down();
    say("the rack is down; nothing of it is left");
  } else if (rack !== undefined) hints();
  for (const problem of result.problems) console.error(`PROBLEM ${problem}`);
  if (has("--json")) console.log(JSON.stringify(result));
  else console.log(result.ok ? "\nAll healed." : "\nNot all healed: see PROBLEM above.");
  process.exit(result.ok ? 0 : 1);
}

function hints(): void {
  title("The rack is still up. Try");
  const print = has("--json") ? console.error : console.log;
  print(`  ./scripts/rack status                          what is on and what runs where
  ./scripts/rack shell box0 onezone show 0       the cluster as OpenNebula's command shows it
  ./scripts/rack shell box0 ringfence status     the cluster as we see it
  ./scripts/rack power cut hv1                   pull a plug yourself, then: ./scripts/rack shell box0 onevm list
  ./scripts/rack bmc hv1 lying 60000             and see why a VM then stays down
  ./scripts/rack down                            take it away`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    result.problems.push(`interrupted by ${signal}`);
    finish().catch(() => process.exit(1));
  });

async function demo(): Promise<void> {
  if (existsSync(mark)) {
    say("takes down the rack of an earlier demo");
    await openRack().down();
  } else if (existsSync(place.runDirectory)) {
    throw new Error("a rack is up that this demo did not make: take it down first with ./scripts/rack down");
  }
  title("A rack: three boxes, three hypervisors with BMCs, a client, two switches");
  const profile = has("--fast") ? "fast" : "default";
  if (has("--images")) {
    setPace("emulated");
    // The guests are the smallest that boot and write: the processors are the boxes'.
    rack = await upRack({ boxes: 3, hosts: 3, tier: "fast", profile, image: await theImage(), ...patientConf(5000) });
  } else rack = await upRack({ boxes: 3, hosts: 3, tier: "linux", profile });
  writeFileSync(mark, "");
  client = new RackClient(rack.place);
  say("the rack is up, every box is switched on and empty");
  await formCluster(rack, client, say);
  say("three boxes, one cluster");
  await addHosts(rack, client, say);
  const guests = [await startGuest(rack, client, 0), await startGuest(rack, client, 1)];
  const stage: Stage = {
    ...{ rack, client },
    addresses: await rack.watchAddresses({
      vip: "10.77.0.2",
      ...Object.fromEntries(guests.map((one) => [one.name, one.address])),
    }),
    disks: await rack.watchDisks(await Promise.all([0, 1].map((number) => openRack().guest(number)))),
    holders: await rack.watchHolders(),
  };
  say(`VMs run: ${guests.map((one) => `${one.name} (${one.address})`).join(", ")}`);

  title("1. The leader box loses its power while four clients write");
  const leader = await loseLeader(stage);
  result.vip.gapMs = Math.round(leader.gapMs);
  result.writes.acknowledged = leader.written.acknowledged.length;
  const slowest = Math.max(0, ...leader.written.acknowledged.map((one) => one.tookMs));
  for (const refused of leader.written.refused) result.problems.push(`a write was refused: ${refused}`);
  say(`${leader.box} is dark; ${leader.newLeader} holds the VIP after ${result.vip.gapMs} ms without an answer`);
  say(`the slowest of ${result.writes.acknowledged} writes took ${slowest.toFixed(0)} ms, none failed`);
  say("for comparison: keepalived 1 s 2815 ms, OpenNebula's VIP 6070 ms, Pacemaker 11140 ms (medians)");

  title("2. A hypervisor loses its power");
  say("waits until the BMCs have answered for a minute: an off from one that just woke up proves nothing");
  await waitForReadyBmcs(rack, client);
  const [first, second] = guests;
  if (first === undefined || second === undefined) throw new Error("two guests were started");
  tell(await loseHost(stage, "power", first));
  say("for comparison: Pacemaker proves a host off after 8910 ms; OpenNebula's default needs over 180 s");

  title("3. A hypervisor loses only its network; its VM goes on writing to the shared disk");
  tell(await loseHost(stage, "network", second));

  title("4. The box and the hypervisors come back");
  await bringBack(stage);
  say("all boxes have caught up, all hypervisors are in service again");
  await Bun.sleep(3000);

  const counts = await checkWrites(stage, leader.written);
  Object.assign(result.writes, counts);
  result.vip.holdersMax = await holdersMax(stage);
  if (counts.lost > 0) result.problems.push(`${counts.lost} acknowledged writes are lost`);
  if (counts.duplicated > 0) result.problems.push(`${counts.duplicated} writes were done twice`);
  if (result.vip.holdersMax > 1) result.problems.push(`${result.vip.holdersMax} boxes held the VIP at one instant`);
  for (const guest of guests)
    if (hasRunTwice(guest)) result.problems.push(`VM ${guest.name} ran twice at the same time`);
  say(
    `${result.writes.acknowledged} writes acknowledged, ${counts.lost} lost, ${counts.duplicated} done twice; at most ${result.vip.holdersMax} box held the VIP; no VM ran twice: ${guests.every((one) => !hasRunTwice(one))}`,
  );
}

function tell(failure: Failure): void {
  result.failures.push(failure);
  const at = (ms: number): string => `${ms} ms`.padStart(8);
  say(`${failure.host} is ${failure.kind === "power" ? "dark" : "cut off"}; its VM ${failure.vm}:`);
  say(`   ${at(failure.agreedMs)}  the boxes agree that it is down`);
  say(`   ${at(failure.fencedMs)}  its BMC is told: off`);
  say(`   ${at(failure.provenOffMs)}  proven off`);
  say(`   ${at(failure.resubmittedMs)}  the VM has a new place`);
  say(`   ${at(failure.answersMs)}  it answers again (${failure.guestBootMs} ms of that is its own boot)`);
  if (failure.doubleRun) result.problems.push(`VM ${failure.vm} ran on two hosts`);
}

demo()
  .catch((error: unknown) => {
    // What breaks while the rack is taken away under it is no problem of its own.
    if (!isEnding) result.problems.push(errorChain(error));
  })
  .then(finish)
  .catch((error: unknown) => {
    console.error(errorChain(error));
    process.exit(1);
  });
