/** K *off* answers at least T apart over at least a span; one *on* (or anything that is not *off*) starts again. */
export interface ProofRule {
  readonly reads: number;
  readonly spacingMs: number;
  readonly spanMs: number;
}

export interface OffReads {
  readonly rule: ProofRule;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/**
 * What proves that a host is off. It was *on* when we came: the change after our command is itself evidence, K = 2.
 * It was *off* already: a BMC that answers nonsense would say the same, so K = 3 over a second.
 */
export function proofRule(was: "on" | "off", spacingMs: number): ProofRule {
  if (was === "on") return { reads: 2, spacingMs, spanMs: spacingMs };
  return { reads: 3, spacingMs: Math.max(spacingMs, 500), spanMs: 1_000 };
}

export function noReads(rule: ProofRule): OffReads {
  return { rule, count: 0, firstAt: 0, lastAt: 0 };
}

/** Takes one status answer. Answers closer than T to the last one that counted do not count. */
export function addRead(reads: OffReads, power: "on" | "off" | "other", at: number): OffReads {
  if (power !== "off") return noReads(reads.rule);
  if (reads.count === 0) return { ...reads, count: 1, firstAt: at, lastAt: at };
  if (at - reads.lastAt < reads.rule.spacingMs) return reads;
  return { ...reads, count: reads.count + 1, lastAt: at };
}

export function isProven(reads: OffReads): boolean {
  return reads.count >= reads.rule.reads && reads.lastAt - reads.firstAt >= reads.rule.spanMs;
}

/** How long until the next answer can count; 0 while nothing counted yet. */
export function nextReadInMs(reads: OffReads, now: number): number {
  return reads.count === 0 ? 0 : Math.max(0, reads.lastAt + reads.rule.spacingMs - now);
}
