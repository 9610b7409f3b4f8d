import { createPrng, type Prng } from "../../src/base/prng.ts";
import { until } from "../support/demo/bootstrap.ts";
import { monotonicMs } from "../support/rack/command.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { type Profile, profiles } from "../support/rack/state.ts";
import { answerTimes, firstAnswer, judgeHolders, longestGap } from "../support/rack/watch/judge.ts";
import type { Watcher } from "../support/rack/watch/watcher.ts";
import { type BenchCluster, waitForLevel, withCluster, withPeerRack } from "./bench-cluster.ts";
import { installKeepalived, startKeepalived, waitForMaster } from "./keepalived.ts";
import { longestLoss } from "./lost-echoes.ts";
import type { BenchRow } from "./row.ts";
import { median, quantile, spread } from "./statistics.ts";

const RUNS = 50;
const PEER_RUNS = 10;
const PEER_PARTITIONS = 3;
/** Of each profile, beside the power cuts: the holder stopped, killed, partitioned, in turns. */
const STORM_EVENTS = 24;
const PROBE_INTERVAL_MS = 5;
const TAKE_OVER_TIMEOUT_MS = 60_000;
/** For so long after a take-over or a healed partition both watchers go on looking. */
const WATCH_ON_MS = 1500;
const AFTER_HEAL_MS = 5000;
/** A stop is anything from a hiccup to far beyond every time-out. */
const STOP_MS = { min: 10, max: 5000 };
const PARTITION_MS = { min: 1500, max: 4000 };

/** keepalived's interval that is set beside each of our profiles. */
const peerOf: Record<Profile, { readonly name: string; readonly advertSeconds: number }> = {
  default: { name: "keepalived 1 s", advertSeconds: 1 },
  fast: { name: "keepalived 100 ms", advertSeconds: 0.1 },
};

/** What the watchers saw of a system. */
interface Seen {
  readonly gapsMs: number[];
  readonly healsMs: number[];
  holdersMax: number;
}

/**
 * What a client of the VIP sees when its holder loses power, when it is stopped, killed or cut off, and when a partition
 * heals; keepalived in namespaces of the same kind, with the same prober.
 */
export async function bench(options: { runs?: number; log: (line: string) => void }): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  await installKeepalived();
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 1;
  log(`seed ${seed}`);
  const ours: Partial<Record<Profile, Seen>> = {};
  const theirs: Partial<Record<Profile, Seen>> = {};
  for (const profile of profiles) {
    const random = createPrng(seed);
    ours[profile] = await withCluster({ profile, hosts: 0, log }, async (cluster) => {
      const seen: Seen = { gapsMs: [], healsMs: [], holdersMax: 0 };
      for (let run = 1; run <= runs; run++)
        await losePower(cluster, seen, random, (line) => log(`${profile} ${run}: ${line}`));
      for (let event = 1; event <= STORM_EVENTS; event++)
        await disturb(cluster, seen, random, event, (line) => log(`${profile} storm ${event}: ${line}`));
      return seen;
    });
    log(`${profile}: gap ${spread(ours[profile].gapsMs, "ms")}`);
    const { name, advertSeconds } = peerOf[profile];
    theirs[profile] = await withPeerRack((rack) => measureKeepalived(rack, advertSeconds, Math.min(runs, PEER_RUNS)));
    log(`${name}: gap ${spread(theirs[profile].gapsMs, "ms")}`);
  }
  return rowsOf(ours as Record<Profile, Seen>, theirs as Record<Profile, Seen>);
}

function rowsOf(ours: Record<Profile, Seen>, theirs: Record<Profile, Seen>): BenchRow[] {
  const gaps = profiles.flatMap((profile) => {
    const [mine, other, peer] = [ours[profile].gapsMs, theirs[profile].gapsMs, peerOf[profile].name];
    return [
      row(`vip.gap.${profile}.median`, "ms", mine.length, median(mine), peer, median(other)),
      row(`vip.gap.${profile}.p99`, "ms", mine.length, quantile(mine, 0.99), peer, quantile(other, 0.99)),
    ];
  });
  const holders = (all: Record<Profile, Seen>): number =>
    Math.max(...profiles.map((profile) => all[profile].holdersMax));
  const heals = (all: Record<Profile, Seen>): number[] => profiles.flatMap((profile) => all[profile].healsMs);
  const events = profiles.reduce((sum, profile) => sum + ours[profile].gapsMs.length + STORM_EVENTS, 0);
  return [
    ...gaps,
    row("vip.holders.max", "holders", events, holders(ours), "keepalived", holders(theirs)),
    row("vip.heal.max", "ms", heals(ours).length, Math.max(...heals(ours)), "keepalived", Math.max(...heals(theirs))),
  ];
}

function row(key: string, unit: string, n: number, value: number, peer: string, peerValue: number): BenchRow {
  return { key, unit, n, value, peer, peerValue, ratio: peerValue === 0 ? null : value / peerValue };
}

/** One power cut of the leader box, and its return. */
async function losePower(cluster: BenchCluster, seen: Seen, random: Prng, log: (line: string) => void): Promise<void> {
  const { rack } = cluster;
  await watched(rack, seen, async (prober) => {
    const leader = await waitForLevel(cluster);
    // Anywhere between two heartbeats.
    await Bun.sleep(random.range(0, 200));
    const gapMs = await gapAfterCut(prober, leader);
    seen.gapsMs.push(gapMs);
    await leader.powerOn();
    await waitForLevel(cluster);
    log(`${leader.name} lost power: gap ${gapMs.toFixed(0)} ms`);
  });
}

/** Cuts the holder's power; the time without an answer. */
async function gapAfterCut(prober: Watcher, holder: RackNode): Promise<number> {
  const cut = await holder.powerCut();
  await until(
    "another box answers for the VIP",
    TAKE_OVER_TIMEOUT_MS,
    async () => answersSince(prober, cut.deadAtMs),
    20,
  );
  await Bun.sleep(WATCH_ON_MS);
  const events = await prober.settled();
  return longestGap(answerTimes(events, "vip"), cut.cutAtMs - 100, monotonicMs()).ms;
}

function answersSince(prober: Watcher, atMs: number): boolean {
  return firstAnswer(prober.events(), "vip", atMs) !== undefined;
}

/** Stops, kills or cuts off the holder, and waits until all is well again. Only holders and healing are counted. */
async function disturb(
  cluster: BenchCluster,
  seen: Seen,
  random: Prng,
  event: number,
  log: (line: string) => void,
): Promise<void> {
  const { rack } = cluster;
  await watched(rack, seen, async (prober) => {
    const leader = await waitForLevel(cluster);
    await Bun.sleep(random.range(0, 300));
    switch (event % 4) {
      case 0: {
        leader.kill("main", "SIGKILL");
        log(`${leader.name} main killed`);
        break;
      }
      case 1: {
        const ms = random.range(PARTITION_MS.min, PARTITION_MS.max);
        const healMs = await partitionAndHeal(rack, prober, leader, ms);
        seen.healsMs.push(healMs);
        log(`${leader.name} cut off from the others for ${ms} ms; outage after healing ${healMs} ms`);
        break;
      }
      default: {
        // As many short stops as long ones.
        const ms = Math.round(STOP_MS.min * (STOP_MS.max / STOP_MS.min) ** (random.range(0, 1000) / 1000));
        leader.kill("main", "SIGSTOP");
        await Bun.sleep(ms);
        resume(leader);
        log(`${leader.name} main stopped for ${ms} ms`);
      }
    }
    await Bun.sleep(WATCH_ON_MS);
    await waitForLevel(cluster);
  });
}

/** Our supervisor may have ended a main that was stopped for long. */
function resume(box: RackNode): void {
  if (box.processes().some((process) => process.name === "main")) box.kill("main", "SIGCONT");
}

/** Cuts the holder off from the other boxes, not from the client; the outage that healing makes. */
async function partitionAndHeal(rack: Rack, prober: Watcher, holder: RackNode, ms: number): Promise<number> {
  const others = rack.boxes.filter((box) => box !== holder);
  await rack.partition([holder], others);
  await Bun.sleep(ms);
  const answeredAt = monotonicMs();
  await until(
    "the VIP answers beside the partition",
    TAKE_OVER_TIMEOUT_MS,
    async () => answersSince(prober, answeredAt),
    20,
  );
  const fromMs = monotonicMs();
  await rack.heal();
  await Bun.sleep(AFTER_HEAL_MS);
  const events = await prober.settled();
  return longestLoss(events, "vip", { fromMs, untilMs: monotonicMs(), intervalMs: PROBE_INTERVAL_MS });
}

async function measureKeepalived(rack: Rack, advertSeconds: number, runs: number): Promise<Seen> {
  const seen: Seen = { gapsMs: [], healsMs: [], holdersMax: 0 };
  for (const box of rack.boxes) await startKeepalived(box, advertSeconds);
  for (let run = 0; run < runs; run++)
    await watched(rack, seen, async (prober) => {
      const master = await waitForMaster(rack);
      await Bun.sleep(Math.random() * 1000 * advertSeconds);
      seen.gapsMs.push(await gapAfterCut(prober, master));
      await master.powerOn();
      await startKeepalived(master, advertSeconds);
    });
  for (let partition = 0; partition < PEER_PARTITIONS; partition++)
    await watched(rack, seen, async (prober) => {
      const master = await waitForMaster(rack);
      // Long enough for the others to see the master's silence: three intervals and a bit.
      seen.healsMs.push(await partitionAndHeal(rack, prober, master, 5000 * advertSeconds));
    });
  return seen;
}

/** Runs `body` under a prober and a holder watcher of its own: files stay short, and the watchers see all of it. */
async function watched(rack: Rack, seen: Seen, body: (prober: Watcher) => Promise<void>): Promise<void> {
  const prober = await rack.watchAddresses(undefined, PROBE_INTERVAL_MS);
  const holders = await rack.watchHolders();
  try {
    await body(prober);
  } finally {
    await prober.stop();
    const verdict = judgeHolders(await holders.stop());
    seen.holdersMax = Math.max(seen.holdersMax, verdict.max);
  }
}
