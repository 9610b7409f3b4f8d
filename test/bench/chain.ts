import { endpoint, startGuest, statusOf, until } from "../support/demo/bootstrap.ts";
import {
  bringBack,
  type Failure,
  hasRunTwice,
  holdersMax,
  leaderBox,
  loseHost,
  type Stage,
} from "../support/demo/story.ts";
import { withCluster } from "./bench-cluster.ts";
import type { BenchRow } from "./row.ts";
import { median, quantile, spread } from "./statistics.ts";

const RUNS = 10;
const HOSTS = 3;
/** The VIP is not what is measured here: this often is enough to see that it is there. */
const PROBE_INTERVAL_MS = 50;

/** A BMC that woke up with its host proves nothing: how long each box must have known it, and how long that may take. */
const BMC_KNOWN_MS = 61_000;
const BMC_TIMEOUT_MS = 150_000;

/** What others take, from power lost to power proven off (fencing.md section 5); there is no peer to run beside us. */
const KNOWN = [
  "for comparison, host loses power → proven off: Pacemaker default 7.67 / 8.91 / 9.37 s; OpenNebula default 180 s and more",
  "for comparison, host loses power → its VM answers elsewhere: Proxmox 120 to 160 s, OpenNebula minutes",
];

/** Steps of one chain, ms from the cut. */
interface Chain {
  readonly provenOffMs: number;
  /** The guest answers, less what this guest needs from its QEMU's start to its answer. */
  readonly answersMs: number;
}

/**
 * From a hypervisor's power cut to its guest's answer on another one; the same with the leader box on the same feed.
 * Boot-sector guests, BMCs of ours.
 */
export async function bench(options: { runs?: number; log: (line: string) => void }): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  return withCluster({ profile: "default", hosts: HOSTS, log }, async ({ rack, client }) => {
    const guest = await startGuest(rack, client, 0);
    const stage: Stage = {
      ...{ rack, client },
      addresses: await rack.watchAddresses(undefined, PROBE_INTERVAL_MS),
      disks: await rack.watchDisks([await rack.guest(0)]),
      holders: await rack.watchHolders(),
    };
    const alone: Chain[] = [];
    const both: Chain[] = [];
    for (let run = 1; run <= runs; run++) {
      await waitForKnownBmcs(stage);
      alone.push(note(await loseHost(stage, "power", guest), `${run}: hypervisor`, log));
      await bringBack(stage);
      await waitForKnownBmcs(stage);
      const leader = rack.box(await leaderBox(stage));
      const failure = await loseHost(stage, "power", guest, () => leader.powerCut());
      both.push(note(failure, `${run}: hypervisor and leader ${leader.name}`, log));
      await bringBack(stage);
    }
    if (hasRunTwice(guest)) throw new Error(`VM ${guest.name} ran twice at once`);
    const holders = await holdersMax(stage);
    if (holders > 1) throw new Error(`${holders} boxes held the VIP at once`);
    for (const line of KNOWN) log(line);
    return [
      ...rowsOf(
        "chain.provenOff",
        alone.map((chain) => chain.provenOffMs),
        log,
      ),
      ...rowsOf(
        "chain.answers",
        alone.map((chain) => chain.answersMs),
        log,
      ),
      ...rowsOf(
        "chain.both",
        both.map((chain) => chain.answersMs),
        log,
      ),
    ];
  });
}

/** Every box may be the one that has to believe the proof, the one that has just come back too. */
function waitForKnownBmcs({ rack, client }: Stage): Promise<void> {
  return until(
    "every box has known every BMC for a minute",
    BMC_TIMEOUT_MS,
    async () => {
      const all = await Promise.all(rack.boxes.map((box) => statusOf(client, endpoint(box))));
      return all.every((status) =>
        rack.hosts.every((_, hostId) =>
          status?.readiness.some((one) => one.hostId === hostId && one.isReady && one.answeringForMs > BMC_KNOWN_MS),
        ),
      );
    },
    500,
  );
}

function note(failure: Failure, what: string, log: (line: string) => void): Chain {
  const { agreedMs, fencedMs, provenOffMs, resubmittedMs, answersMs, guestBootMs } = failure;
  log(
    `${what} (${failure.host}): agreed ${agreedMs}, off sent ${fencedMs}, proven off ${provenOffMs}, placed ${resubmittedMs}, ` +
      `answers ${answersMs} ms, of which the guest's boot ${guestBootMs} ms`,
  );
  if (failure.doubleRun) throw new Error(`VM ${failure.vm} ran twice at once`);
  return { provenOffMs, answersMs: answersMs - guestBootMs };
}

function rowsOf(key: string, samples: readonly number[], log: (line: string) => void): BenchRow[] {
  log(`${key}: ${spread(samples, "ms")}`);
  const shape = { unit: "ms", n: samples.length, peer: null, peerValue: null, ratio: null };
  return [
    { key: `${key}.median`, value: median(samples), ...shape },
    { key: `${key}.p99`, value: quantile(samples, 0.99), ...shape },
  ];
}
