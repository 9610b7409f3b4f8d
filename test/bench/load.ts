/** Runs the load generator in the client's namespace of a rack. */
import { inCgroup } from "../support/rack/cgroup.ts";
import type { Rack } from "../support/rack/rack.ts";
import { inNamespace } from "../support/rack/switch.ts";
import type { LoadJob, LoadResult } from "./load-main.ts";
import { median, quantile } from "./statistics.ts";

/** Throws with the generator's complaint when a write was refused or the connection ended. */
export async function load(rack: Rack, job: LoadJob): Promise<LoadResult> {
  const child = Bun.spawn(
    [
      ...inCgroup(rack.place, "watchers"),
      ...inNamespace(rack.place, "client"),
      ...[process.execPath, `${import.meta.dirname}/load-main.ts`],
    ],
    { stdin: new Blob([JSON.stringify(job)]), stdout: "pipe", stderr: "pipe" },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), (job.seconds * 2 + 20) * 1000);
  try {
    const [text, complaint, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`The load generator (${job.kind}, ${job.clients} clients) failed: ${complaint}`);
    return JSON.parse(text) as LoadResult;
  } finally {
    clearTimeout(timer);
  }
}

/** What one run at one number of clients gave. */
export interface Point {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly samples: number;
  readonly generatorShare: number;
}

export function pointOf(result: LoadResult): Point {
  return {
    rate: (result.latenciesMs.length * 1000) / result.elapsedMs,
    p50Ms: median(result.latenciesMs),
    p99Ms: quantile(result.latenciesMs, 0.99),
    samples: result.latenciesMs.length,
    generatorShare: result.cpuMs / result.elapsedMs,
  };
}

export function describe({ rate, p50Ms, p99Ms, generatorShare }: Point): string {
  const share = (generatorShare * 100).toFixed(0);
  return `${rate.toFixed(0)} /s, p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms (generator ${share} % of a core)`;
}
