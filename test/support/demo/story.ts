/** What the demo does to the rack, and what it measured. All milliseconds count from the cut, on one monotonic clock. */
import { monotonicMs } from "../rack/command.ts";
import { doubleRun, ringRecords } from "../rack/guest/record.ts";
import type { Rack, RackHost } from "../rack/rack.ts";
import { answerTimes, firstAnswer, firstRecordOfNewBoot, judgeHolders, longestGap } from "../rack/watch/judge.ts";
import type { Watcher } from "../rack/watch/watcher.ts";
import { endpoint, fenceStatus, paceNow, type StartedGuest, statusOf, until, vmOf } from "./bootstrap.ts";
import type { RackClient, Written } from "./client.ts";

/** One failed hypervisor and its VM. */
export interface Failure {
  readonly kind: "power" | "network";
  readonly host: string;
  readonly vm: string;
  readonly agreedMs: number;
  readonly fencedMs: number;
  readonly provenOffMs: number;
  readonly resubmittedMs: number;
  readonly answersMs: number;
  readonly guestBootMs: number;
  readonly doubleRun: boolean;
}

export interface Stage {
  readonly rack: Rack;
  readonly client: RackClient;
  readonly addresses: Watcher;
  readonly disks: Watcher;
  readonly holders: Watcher;
}

/** How long the rack may take for one story before it counts as not healed. */
const HEAL_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 60_000;

/** Cuts the leader box's power while four writers write. The gap is the VIP's, as the prober saw it. */
export async function loseLeader(
  stage: Stage,
): Promise<{ readonly box: string; readonly gapMs: number; readonly newLeader: string; readonly written: Written }> {
  const { rack, client } = stage;
  const leader = await leaderBox(stage);
  await client.startWriting(4, `w${Math.floor(Date.now() / 1000)}`, { pauseMs: paceNow().writePauseMs });
  await Bun.sleep(2000);
  const cut = await rack.box(leader).powerCut();
  await until("another box holds the VIP", HEAL_TIMEOUT_MS, async () => {
    const first = firstAnswer(stage.addresses.events(), "vip", cut.deadAtMs);
    return first !== undefined && (await statusOf(client)) !== undefined;
  });
  await Bun.sleep(3000);
  const written = await client.stopWriting();
  const events = await stage.addresses.settled();
  const gap = longestGap(answerTimes(events, "vip"), cut.cutAtMs - 100, monotonicMs());
  return { box: rack.box(leader).name, gapMs: gap.ms, newLeader: rack.box(await leaderBox(stage)).name, written };
}

/** Index of the box that leads now. */
export async function leaderBox({ client, rack }: Stage): Promise<number> {
  let leader = -1;
  await until("a box leads", HEAL_TIMEOUT_MS, async () => {
    const status = await statusOf(client);
    leader = status?.cluster.role === "leader" ? rack.boxes.findIndex((box) => box.name === status.box.name) : -1;
    return leader >= 0;
  });
  return leader;
}

/**
 * Lets the host under a guest lose its power or its network, and waits until the guest answers elsewhere. A cut network
 * leaves its VM writing to the shared disk until the host is off.
 */
export async function loseHost(
  stage: Stage,
  kind: "power" | "network",
  guest: StartedGuest,
  also?: () => Promise<unknown>,
): Promise<Failure> {
  const { rack, client } = stage;
  const before = await vmOf(client, guest.vmId);
  const host = rack.hosts.find((one) => one.name === before?.host);
  if (host === undefined) throw new Error(`VM ${guest.name} is on no host of the rack: "${before?.host}"`);
  const together = also?.();
  const cutAtMs = kind === "power" ? (await host.powerCut()).cutAtMs : await cutNetwork(host);
  await together;
  // The marks of the record are wall times; this machine has one wall clock.
  const cutWallMs = Date.now() - (monotonicMs() - cutAtMs);
  const known = (await fenceStatus(client)).find((one) => one.name === host.name)?.failure ?? 0;
  const answersAt = await waitForAnswer(stage, guest, cutAtMs);
  const marks = await recordedMarks(stage, host.name, known, cutWallMs);
  const born = rack.hosts
    .flatMap((one) => (one.isOn() ? one.processes() : []))
    .find((one) => one.name === `one-${guest.vmId}` && one.startedAtMs > cutAtMs)?.startedAtMs;
  const since = (wall: number | undefined): number => Math.round((wall ?? Number.NaN) - cutWallMs);
  return {
    kind,
    host: host.name,
    vm: guest.name,
    agreedMs: since(marks["agreedAt"]),
    fencedMs: since(marks["offSentAt"]),
    provenOffMs: since(marks["provenAt"]),
    resubmittedMs: since(marks["placedAt"]),
    answersMs: Math.round(answersAt - cutAtMs),
    guestBootMs: Math.round(answersAt - (born ?? Number.NaN)),
    doubleRun: hasRunTwice(guest),
  };
}

async function cutNetwork(host: RackHost): Promise<number> {
  const cutAtMs = monotonicMs();
  await host.cut("mgmt");
  return cutAtMs;
}

/** The guest answers: an echo on its address, or with the fast tier a record of a new boot on its disk. */
async function waitForAnswer(stage: Stage, guest: StartedGuest, cutAtMs: number): Promise<number> {
  let at: number | undefined;
  await until(
    `VM ${guest.name} answers again`,
    HEAL_TIMEOUT_MS,
    async () => {
      const born = firstRecordOfNewBoot(stage.disks.events(), guest.name, cutAtMs);
      if (born === undefined) return false;
      at = stage.rack.state.tier === "fast" ? born : firstAnswer(stage.addresses.events(), guest.name, born - 2000);
      return at !== undefined;
    },
    20,
  );
  return at ?? Number.NaN;
}

async function recordedMarks(stage: Stage, hostName: string, before: number, cutWallMs: number) {
  let marks: Readonly<Record<string, number>> = {};
  await until(`the record of ${hostName} is closed`, CLOSE_TIMEOUT_MS, async () => {
    const record = (await fenceStatus(stage.client)).find((one) => one.name === hostName);
    marks = record?.marks ?? {};
    return record?.state === "CLOSED" && record.failure >= before && (marks["provenAt"] ?? 0) > cutWallMs;
  });
  return marks;
}

export function hasRunTwice(guest: { readonly diskPath: string }): boolean {
  return doubleRun(ringRecords(guest.diskPath)).length > 0;
}

/** Everything that was switched off comes back; waits until boxes have caught up and hosts are in service. */
export async function bringBack(stage: Stage): Promise<void> {
  const { rack, client } = stage;
  await rack.heal();
  for (const node of [...rack.boxes, ...rack.hosts]) if (!node.isOn()) await node.powerOn();
  await until("all boxes have caught up", HEAL_TIMEOUT_MS, async () => {
    const all = await Promise.all(rack.boxes.map((box) => statusOf(client, endpoint(box))));
    const applied = new Set(all.map((status) => status?.cluster.applied ?? -1));
    return !applied.has(-1) && applied.size === 1;
  });
  await until("all hosts are in service", HEAL_TIMEOUT_MS, async () => {
    const pool = await client.call("one.hostpool.info", []);
    const states =
      pool.kind === "ok" ? [...pool.value.matchAll(/<HOST><ID>\d+<\/ID><NAME>[^<]*<\/NAME><STATE>(\d+)/g)] : [];
    return states.length === rack.hosts.length && states.every((match) => match[1] === "2");
  });
}

/** Counts the acknowledged writes on every box: missing anywhere is lost, a name twice is duplicated. */
export async function checkWrites(
  stage: Stage,
  written: Written,
): Promise<{ readonly lost: number; readonly duplicated: number }> {
  const lost = new Set<string>();
  const duplicated = new Set<string>();
  for (const box of stage.rack.boxes) {
    const pool = await stage.client.must("one.templatepool.info", [-2, -1, -1], { url: endpoint(box) });
    const counts = new Map<string, number>();
    for (const match of pool.matchAll(/<NAME>([^<]*)<\/NAME>/g))
      counts.set(match[1] ?? "", (counts.get(match[1] ?? "") ?? 0) + 1);
    for (const { name } of written.acknowledged) if (!counts.has(name)) lost.add(name);
    for (const [name, count] of counts) if (count > 1) duplicated.add(name);
  }
  return { lost: lost.size, duplicated: duplicated.size };
}

/** The most boxes that held the VIP at one instant since the watcher began. */
export async function holdersMax(stage: Stage): Promise<number> {
  return judgeHolders(await stage.holders.settled()).max;
}
