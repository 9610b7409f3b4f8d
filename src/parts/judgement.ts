import type { HostJudgement } from "../fence/machine-types.ts";
import type { Readiness } from "../fence/readiness.ts";
import type { HostLevel } from "../monitor/ports.ts";

/** What is remembered of a host for its judgement while this box leads. Instants are monotonic ms, `…WallAt` wall ms for reports. */
export interface Seen {
  lastAnswerAt: number | undefined;
  suspectWallAt: number | undefined;
  downWallAt: number | undefined;
  lastAnswerWallAt: number | undefined;
  /** When this box applied the present OFF_SENT, or began to lead if that was before. */
  offSentAt: number | undefined;
  offSentKey: string;
}

export function seenNothing(): Seen {
  return {
    lastAnswerAt: undefined,
    suspectWallAt: undefined,
    downWallAt: undefined,
    lastAnswerWallAt: undefined,
    offSentAt: undefined,
    offSentKey: "",
  };
}

/** What a BMC said is news for this long; the monitor asks a silent host's BMC every 400 ms. */
const BMC_NEWS_MS = 2_000;

/** The power that a BMC read, while that is news. An older *off* must open no gate, an older *on* is no sign of life. */
export function powerNews(readiness: Readiness | undefined): HostJudgement["bmcPower"] {
  return readiness === undefined || readiness.ageMs > BMC_NEWS_MS ? "unknown" : readiness.power;
}

/** Takes in a level that the monitor tells: marks for the report, and the last answer. */
export function noteLevel(seen: Seen, { inference }: HostLevel, now: number, wall: number): void {
  if (inference.kind === "up") {
    const answeredAt = now - inference.answerAgeMs;
    if (answeredAt > (seen.lastAnswerAt ?? 0)) seen.lastAnswerAt = answeredAt;
    seen.lastAnswerWallAt = wall - Math.round(inference.answerAgeMs);
    seen.suspectWallAt = undefined;
    seen.downWallAt = undefined;
  } else {
    seen.suspectWallAt ??= wall;
    if (inference.kind === "down" || inference.kind === "isolated") seen.downWallAt ??= wall;
  }
}

/** What the fencing machine is told of a host, from what the monitor, the hypervisor's connection and the BMC say. */
export function judgementOf(
  level: HostLevel | undefined,
  seen: Seen,
  view: { readonly bootId: string; readonly domains: readonly number[] | undefined } | undefined,
  readiness: Readiness | undefined,
): HostJudgement {
  const known = powerNews(readiness);
  const base = {
    lastAnswerAt: seen.lastAnswerAt,
    isAnswerAfterOff:
      seen.offSentAt !== undefined && seen.lastAnswerAt !== undefined && seen.lastAnswerAt > seen.offSentAt,
    bootId: view?.bootId ?? "",
    domains: view?.domains,
    marks: {
      ...(seen.lastAnswerWallAt === undefined ? {} : { lastAnswerAt: seen.lastAnswerWallAt }),
      ...(seen.suspectWallAt === undefined ? {} : { suspectAt: seen.suspectWallAt }),
      ...(seen.downWallAt === undefined ? {} : { agreedAt: seen.downWallAt }),
    },
  };
  const quiet = {
    ...base,
    downSinceAt: undefined,
    isNeverHeard: false,
    bmcPower: known,
    storage: "none",
    evidence: [],
  } as const;
  if (level === undefined) return { ...quiet, verdict: "unknown" };
  const { inference } = level;
  if (inference.kind === "up") return { ...quiet, verdict: "alive" };
  if (inference.kind === "undecided") return { ...quiet, verdict: "suspect", evidence: [inference.reason] };
  const { evidence } = inference;
  const silence = evidence.silentMs === null ? "never heard" : `silent for ${Math.round(evidence.silentMs)} ms`;
  return {
    ...base,
    verdict: inference.kind,
    downSinceAt: level.since,
    isNeverHeard: evidence.silentMs === null,
    bmcPower: evidence.bmc === "unknown" ? known : evidence.bmc,
    storage: evidence.storage === "beating" ? "beating" : evidence.storage === "stopped" ? "missed-two" : "none",
    evidence: [
      `${silence} to boxes ${evidence.boxes.join(", ")} of ${evidence.votersInForce} voters`,
      `BMC: ${evidence.bmc}; storage heartbeat: ${evidence.storage}`,
    ],
  };
}
