import type { ClusterFacts } from "./types.ts";

/** What can be seen of a box from outside its main process. */
export interface Findings {
  readonly cluster: ClusterFacts | undefined;
  /** Why main does not answer, in its own last words where it had some. */
  readonly silence: string;
  /** This box waits for a token, or was removed: said instead of a silence. */
  readonly waits: string | undefined;
  readonly isVipTableSound: boolean;
  readonly fencingDisarmed: string | undefined;
  readonly disks: readonly { readonly path: string; readonly usedPercent: number }[];
  /** Of the last update, as long as it is not good: a line. */
  readonly update: string | undefined;
  /** Wall ms, and the least that a set clock shows. */
  readonly wallMs: number;
  readonly buildMs: number;
  readonly lastEnd: string;
  readonly problems: readonly string[];
}

/** Snapshots and logs need room beside what is there; at this point somebody should look. */
const DISK_PERCENT_MAX = 90;

/** A line for each thing that is wrong, the worst first. */
export function whatIsWrong(findings: Findings): readonly string[] {
  return [
    ...mainWords(findings),
    ...clusterWords(findings.cluster),
    ...(findings.isVipTableSound ? [] : ["the packet gate is damaged: this box does not take the VIP"]),
    ...findings.disks
      .filter((disk) => disk.usedPercent >= DISK_PERCENT_MAX)
      .map((disk) => `the disk of ${disk.path} is ${disk.usedPercent} % full`),
    ...(findings.update === undefined ? [] : [findings.update]),
    ...findings.problems,
    ...(findings.fencingDisarmed === undefined ? [] : [`fencing is disarmed: ${findings.fencingDisarmed}`]),
    ...(findings.wallMs < findings.buildMs
      ? ["the clock is older than this software: times in logs mean nothing"]
      : []),
    ...(/watchdog/.test(findings.lastEnd) ? [`last end: ${findings.lastEnd}`] : []),
  ];
}

function mainWords({ cluster, waits, silence }: Findings): readonly string[] {
  if (waits !== undefined) return [waits];
  return cluster === undefined ? [`this box's program does not answer: ${silence}`] : [];
}

function clusterWords(cluster: ClusterFacts | undefined): readonly string[] {
  if (cluster === undefined) return [];
  const voters = cluster.members.filter((one) => one.isVoter);
  const heard = voters.filter((one) => one.isReachable).length;
  const quorum = Math.floor(voters.length / 2) + 1;
  const silent = cluster.members.filter((one) => !one.isReachable).map((one) => `${one.name} does not answer`);
  if (heard < quorum)
    return [`NO QUORUM: ${heard} of ${voters.length} boxes answer; nothing can be changed`, ...silent];
  return [...(cluster.leader === "" ? ["no leader is known: writes wait"] : []), ...silent];
}
