import type { HostVerdict, MonitorLimits } from "./machine.ts";

/** A report older than this says nothing about *now*: heartbeats come every 100–150 ms, so five or more were missed. */
export const REPORT_AGE_MS_MAX = 1000;

/** The last report of one box, as the leader has it. */
export interface BoxReport {
  readonly boxId: number;
  /** Leader's clock, not later than the moment the report was written. */
  readonly writtenAt: number;
  readonly verdicts: ReadonlyMap<number, HostVerdict>;
  /** The box had more hosts than fit into a report. */
  readonly isTruncated: boolean;
}

/** Why a host is taken for down: who says so, and what else is known. For the record and for people. */
export interface DownEvidence {
  /** Voters that did not hear it and heard others. */
  readonly boxes: readonly number[];
  readonly votersInForce: number;
  /** The shortest silence among these boxes; null when none of them ever heard it. */
  readonly silentMs: number | null;
  readonly bmc: "on" | "off" | "unknown";
  readonly storage: HostVerdict["storage"]["kind"];
}

/** What the leader makes of all reports about one host. */
export type HostInference =
  | {
      readonly kind: "up";
      /** The box with the freshest answer. */
      readonly boxId: number;
      readonly answerAgeMs: number;
      /** Why it gets no new VMs; undefined when all is well. */
      readonly degraded: string | undefined;
      /** Boxes that do not hear it: a path or a box is sick, not the host. */
      readonly unheardBy: readonly number[];
    }
  | { readonly kind: "down"; readonly evidence: DownEvidence }
  /** Silent to the boxes, but something shows that it runs. `bmc`: powered on, which a frozen host is, too. */
  | { readonly kind: "isolated"; readonly alive: "storage" | "bmc"; readonly evidence: DownEvidence }
  | { readonly kind: "undecided"; readonly reason: string };

/**
 * Is the host down, or are we? fencing.md section 1. Down needs a majority of the voters in force, each of which heard somebody
 * else; one fresh answer at any box, voter or not, vetoes; a BMC's *off* only shortens the silence that is needed.
 */
export function infer(
  hostId: number,
  voters: readonly number[],
  reports: readonly BoxReport[],
  limits: MonitorLimits,
  now: number,
): HostInference {
  const about = reports.flatMap((report) => {
    const verdict = report.verdicts.get(hostId);
    return verdict === undefined ? [] : [{ report, verdict, reportAgeMs: Math.max(0, now - report.writtenAt) }];
  });
  const fresh = about.filter((entry) => entry.reportAgeMs <= REPORT_AGE_MS_MAX);
  const bmc = powerOf(fresh.map((entry) => entry.verdict.bmc));
  const neededMs = bmc === "off" ? limits.suspectOffMs : limits.suspectMs;

  const answer = freshestAnswer(about);
  if (answer !== undefined && answer.ageMs <= neededMs) {
    const unheardBy = fresh
      .filter(({ verdict }) => verdict.kind === "suspect" || (verdict.answerAgeMs ?? 0) > neededMs)
      .map(({ report }) => report.boxId);
    const degraded = degradation(fresh, limits);
    return { kind: "up", boxId: answer.boxId, answerAgeMs: answer.ageMs, degraded, unheardBy };
  }

  const isSilent = (verdict: HostVerdict): boolean =>
    verdict.answerAgeMs === null ? verdict.kind === "suspect" : verdict.answerAgeMs > neededMs;
  const witnesses = fresh.filter(
    ({ report, verdict }) => voters.includes(report.boxId) && verdict.counts && isSilent(verdict),
  );
  const majority = Math.floor(voters.length / 2) + 1;
  // Only what was said just now: the last report of a box that has left the cluster must not hide a host for ever.
  const hidden = reports.filter(
    (report) => report.isTruncated && !report.verdicts.has(hostId) && now - report.writtenAt <= REPORT_AGE_MS_MAX,
  );
  if (witnesses.length < majority || hidden.length > 0) {
    return { kind: "undecided", reason: undecidedReason(hostId, voters, reports, isSilent, now, majority) };
  }
  const ages = witnesses.flatMap(({ verdict }) => (verdict.answerAgeMs === null ? [] : [verdict.answerAgeMs]));
  const storage = storageOf(fresh.map((entry) => entry.verdict.storage.kind));
  const evidence: DownEvidence = {
    boxes: witnesses.map(({ report }) => report.boxId),
    votersInForce: voters.length,
    silentMs: ages.length === 0 ? null : Math.min(...ages),
    bmc,
    storage,
  };
  if (storage === "beating") return { kind: "isolated", alive: "storage", evidence };
  // Powered on and no longer writing where it used to write: hung, not cut off.
  if (bmc === "on" && storage !== "stopped") return { kind: "isolated", alive: "bmc", evidence };
  return { kind: "down", evidence };
}

interface Entry {
  readonly report: BoxReport;
  readonly verdict: HostVerdict;
  readonly reportAgeMs: number;
}

/** The instant of the last answer that any box told of; that knowledge does not spoil with the report's age. */
function freshestAnswer(entries: readonly Entry[]): { readonly boxId: number; readonly ageMs: number } | undefined {
  let best: { boxId: number; ageMs: number } | undefined;
  for (const { report, verdict, reportAgeMs } of entries) {
    if (verdict.answerAgeMs === null) continue;
    const ageMs = verdict.answerAgeMs + reportAgeMs;
    if (best === undefined || ageMs < best.ageMs) best = { boxId: report.boxId, ageMs };
  }
  return best;
}

/** One *on* outweighs an *off*: two boxes that read differently have read at different times. */
function powerOf(answers: readonly HostVerdict["bmc"][]): HostVerdict["bmc"] {
  if (answers.includes("on")) return "on";
  return answers.includes("off") ? "off" : "unknown";
}

function storageOf(answers: readonly HostVerdict["storage"]["kind"][]): HostVerdict["storage"]["kind"] {
  if (answers.includes("beating")) return "beating";
  return answers.includes("stopped") ? "stopped" : "unknown";
}

/** The ages come from the host itself, so the youngest that any box has is the truth. */
function degradation(entries: readonly Entry[], limits: MonitorLimits): string | undefined {
  const youngest = (pick: (verdict: HostVerdict) => number | null): number =>
    Math.min(...entries.map(({ verdict }) => pick(verdict) ?? Number.POSITIVE_INFINITY));
  const libvirtMs = youngest((verdict) => verdict.libvirtAgeMs);
  const diskMs = youngest((verdict) => verdict.diskAgeMs);
  const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
  const reasons: string[] = [];
  if (Number.isFinite(libvirtMs) && libvirtMs > limits.libvirtMs) {
    reasons.push(`libvirtd has not answered for ${seconds(libvirtMs)}`);
  }
  if (Number.isFinite(diskMs) && diskMs > limits.diskMs) reasons.push(`no disk write has ended for ${seconds(diskMs)}`);
  return reasons.length === 0 ? undefined : reasons.join(", ");
}

function undecidedReason(
  hostId: number,
  voters: readonly number[],
  reports: readonly BoxReport[],
  isSilent: (verdict: HostVerdict) => boolean,
  now: number,
  majority: number,
): string {
  const words = voters.map((boxId) => {
    const report = reports.find((candidate) => candidate.boxId === boxId);
    if (report === undefined) return `box ${boxId} has not reported`;
    const verdict = report.verdicts.get(hostId);
    if (now - report.writtenAt > REPORT_AGE_MS_MAX)
      return `box ${boxId} reported ${Math.round(now - report.writtenAt)} ms ago`;
    if (verdict === undefined)
      return `box ${boxId} does not ${report.isTruncated ? "report on so many hosts" : "know the host"}`;
    if (!isSilent(verdict)) {
      return verdict.answerAgeMs === null
        ? `box ${boxId} has not heard it yet`
        : `box ${boxId} heard it ${Math.round(verdict.answerAgeMs)} ms ago`;
    }
    return verdict.counts ? `box ${boxId} does not hear it` : `box ${boxId} hears nobody`;
  });
  return `${majority} of ${voters.length} boxes must miss it: ${words.join(", ")}`;
}
