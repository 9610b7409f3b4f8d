import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, statfsSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { errorChain } from "../base/error.ts";
import type { BoxStatus, FenceStatus } from "../cli/ringfence/answers.ts";
import { whyWaiting } from "../cli/ringfence/join.ts";
import type { ClusterFacts, Facts } from "../console/types.ts";
import { whatIsWrong } from "../console/wrong.ts";
import { isImage, readBootReport, slotLine } from "./image.ts";
import { askThisBox, ownStatus, refusesCredentials } from "./own-status.ts";
import { paths } from "./paths.ts";
import { readUpdateRecord } from "./slots.ts";

/** Of a log's end, in which main's last words are looked for. */
const TAIL_BYTES = 64 * 1024;

/** Where the box's own front-end is, and what the supervisor knows. */
export interface Surroundings {
  readonly endpoint: string;
  readonly version: string;
  readonly lastEnd: string;
}

/** Looks at this box, with or without its main process. Never throws; two seconds at most. */
export async function gatherFacts({ endpoint, version, lastEnd }: Surroundings): Promise<Facts> {
  const problems: string[] = [];
  const [status, fencing, isRefused] = await Promise.all([
    ownStatus(endpoint),
    askThisBox<FenceStatus>("ringfence.fence.status", "hosts", endpoint),
    refusesCredentials(endpoint),
  ]);
  if (isRefused) problems.push("one_auth is refused: commands here need oneadmin's password in it");
  const cluster = status === undefined ? undefined : clusterFacts(status);
  const box = status === undefined || status.box.name === "" ? hostname() : status.box.name;
  return {
    box,
    version,
    uptimeSeconds: tried(problems, () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0])) ?? 0,
    slot: slotLine(tried(problems, () => readBootReport()) ?? "the boot's report cannot be read"),
    lastEnd,
    cluster,
    missing: missingActions(),
    wrong: whatIsWrong({
      cluster,
      silence: cluster === undefined ? lastWords() : "",
      waits: cluster === undefined ? tried(problems, () => whyWaiting()) : undefined,
      isVipTableSound: status?.vip?.isTableSound ?? true,
      fencingDisarmed:
        fencing === undefined || fencing.armed
          ? undefined
          : `by ${fencing.changedBy}${fencing.why === "" ? "" : `: ${fencing.why}`}`,
      update: updateWord(),
      disks: [paths.data, paths.log].flatMap(diskUse),
      wallMs: Date.now(),
      buildMs: tried(problems, () => statSync(import.meta.path).mtimeMs) ?? 0,
      lastEnd,
      problems: [...problems, ...refusedProvisions()],
    }),
  };
}

/** From its record: what the slots hold is for `slots` to tell. */
function updateWord(): string | undefined {
  const update = readUpdateRecord();
  if (update === undefined || !isImage()) return undefined;
  const { outcome, why, to } = update;
  if (outcome === "fallback") return `version ${to.version} was left: ${why}`;
  return outcome === "trial" ? `version ${to.version} of slot ${to.slot} is on trial` : undefined;
}

/** What a stick or the ESP brought and was not taken over, since this boot. */
function refusedProvisions(): readonly string[] {
  return tailOf(paths.refusedProvisions).map((problem) => `not taken over: ${problem}`);
}

/** What a machine that is no image cannot have; the rest is for the table of actions to say. */
function missingActions(): Facts["missing"] {
  if (isImage()) return {};
  const slots = "this machine was not started from an image";
  const stick = "no USB stick is looked for on a machine that is no image";
  return {
    network: "the network of this machine is not ringfence's to set",
    keep: "the network of this machine is not ringfence's to set",
    sticks: stick,
    backup: `${stick}: onedb backup FILE from the shell`,
    restore: `${stick}: onedb restore FILE from the shell`,
    ...{ slots, slot: slots, update: slots, reset: slots },
    reboot: "restarting this machine is not ringfence's to do: from the shell",
  };
}

function clusterFacts({ box, cluster, vip }: BoxStatus): ClusterFacts {
  const leader = cluster.members.find((one) => one.raftId === cluster.leader);
  return {
    ...{ serverId: box.serverId, role: cluster.role, term: cluster.term, leader: leader?.name ?? "" },
    ...{ lastIndex: cluster.lastIndex, commit: cluster.commit, applied: cluster.applied },
    vip: vipText(vip, leader?.name ?? ""),
    members: [...cluster.members]
      .sort((a, b) => a.serverId - b.serverId)
      .map((one) => ({
        ...{ name: one.name, serverId: one.serverId, isVoter: one.isVoter, isReachable: one.isReachable },
        isSelf: one.raftId === box.raftId,
        isLeader: one.raftId === cluster.leader,
      })),
  };
}

function vipText(vip: BoxStatus["vip"], leader: string): string {
  const addresses = (vip?.addresses ?? []).map((one) => `${one.address}/${one.prefix} on ${one.interface}`).join(", ");
  if (vip === null || addresses === "") return "none is configured";
  if (vip.holding) return `${addresses}, held by this box`;
  return `${addresses}, not here${leader === "" ? "" : `; ${leader} leads`}`;
}

/** What main said when it ended. */
function lastWords(): string {
  const own = tailOf(`${paths.log}/ringfence.log`).findLast((line) => / ends: /.test(line));
  const supervisor = tailOf(`${paths.log}/supervisor.log`).findLast((line) => /main|reset/.test(line));
  // Without the instant: a line of the screen is short, and logs has it.
  const words = (own ?? supervisor)?.replace(/^\S+Z (.* ends: |ends: )?/, "");
  return words ?? "and its log says nothing";
}

/** The last lines of a log; none when it cannot be read. */
export function tailOf(path: string, bytes: number = TAIL_BYTES): readonly string[] {
  try {
    const file = openSync(path, "r");
    try {
      const size = fstatSync(file).size;
      const buffer = Buffer.alloc(Math.min(bytes, size));
      const count = readSync(file, buffer, 0, buffer.length, size - buffer.length);
      const lines = buffer.toString("utf8", 0, count).split("\n");
      // The first one is cut, unless all is here.
      return (buffer.length < size ? lines.slice(1) : lines).filter((line) => line !== "");
    } finally {
      closeSync(file);
    }
  } catch {
    return [];
  }
}

function diskUse(path: string): { path: string; usedPercent: number }[] {
  try {
    if (!existsSync(path)) return [];
    const { blocks, bavail } = statfsSync(path);
    return blocks === 0 ? [] : [{ path, usedPercent: Math.round((1 - bavail / blocks) * 100) }];
  } catch {
    return [];
  }
}

function tried<T>(problems: string[], act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    problems.push(errorChain(error));
    return undefined;
  }
}
