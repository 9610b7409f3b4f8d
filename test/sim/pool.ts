import { resolve } from "node:path";
import type { Stretch, WorkerLine } from "./suite.ts";

/** A seed that takes longer hangs: the slowest takes two seconds on an idle machine. */
const SEED_SECONDS_MAX = 120;
const WORKER = resolve(import.meta.dir, "worker.ts");
const PLANT = resolve(import.meta.dir, "plant.ts");

export interface Failure {
  readonly seed: number;
  readonly why: string;
}

export interface StretchResult {
  readonly seeds: number;
  readonly steps: number;
  readonly cpuSeconds: number;
  readonly counters: ReadonlyMap<string, number>;
  readonly failures: readonly Failure[];
}

/** Runs a stretch of seeds in a process of its own. A process that hangs or dies is the failure of the seed it was at. */
export async function runStretch(stretch: Stretch, plant?: string): Promise<StretchResult> {
  const child = Bun.spawn(
    [process.execPath, ...(plant === undefined ? [] : ["--preload", PLANT]), WORKER, JSON.stringify(stretch)],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, UV_THREADPOOL_SIZE: "16", ...(plant === undefined ? {} : { RINGFENCE_PLANT: plant }) },
    },
  );
  const failures: Failure[] = [];
  let at = stretch.from;
  let isHung = false;
  let end: Extract<WorkerLine, { kind: "end" }> | undefined;
  const hang = (): void => {
    isHung = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(hang, SEED_SECONDS_MAX * 1000);
  const errors = new Response(child.stderr).text();
  for await (const text of linesOf(child.stdout)) {
    const line = JSON.parse(text) as WorkerLine;
    if (line.kind === "begin") {
      at = line.seed;
      clearTimeout(timer);
      timer = setTimeout(hang, SEED_SECONDS_MAX * 1000);
    } else if (line.kind === "failure") failures.push({ seed: line.seed, why: line.why });
    else end = line;
  }
  const code = await child.exited;
  clearTimeout(timer);
  if (end === undefined) {
    const why = isHung ? `took over ${SEED_SECONDS_MAX} s` : `the process ended with ${code}: ${await errors}`;
    return {
      seeds: at - stretch.from + 1,
      steps: 0,
      cpuSeconds: 0,
      counters: new Map(),
      failures: [...failures, { seed: at, why: why.slice(0, 2000) }],
    };
  }
  const { seeds, steps, cpuSeconds } = end;
  return { seeds, steps, cpuSeconds, counters: new Map(Object.entries(end.counters)), failures };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
