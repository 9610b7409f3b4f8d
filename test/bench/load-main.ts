/**
 * The load generator: one process in the client's namespace, `clients` kept-alive connections, each with one write on the
 * way. `load-main.ts`, the job as JSON on standard input, the result as JSON on standard output.
 */
import { openWriter, type WriterKind } from "./writer.ts";

export interface LoadJob {
  readonly kind: WriterKind;
  readonly url: string;
  readonly session: string;
  /** One of its own for each client. */
  readonly objects: readonly number[];
  readonly clients: number;
  readonly seconds: number;
  readonly valueBytes: number;
  /** The first sequence number to write; higher than any of an earlier job on the same objects. */
  readonly firstSequence: number;
  /** Writes a second of all clients together, evenly spread; without it each client writes as fast as it is answered. */
  readonly ratePerSecond?: number;
}

export interface LoadResult {
  readonly elapsedMs: number;
  /** One each acknowledged write. */
  readonly latenciesMs: readonly number[];
  /** The last acknowledged sequence number of each client. */
  readonly acknowledged: readonly number[];
  readonly cpuMs: number;
}

/** Not counted: connections open, sessions are remembered, code is compiled. */
const WARM_UP_SHARE = 0.15;

async function run(job: LoadJob): Promise<LoadResult> {
  const latenciesMs: number[] = [];
  const acknowledged: number[] = [];
  const writers = await Promise.all(
    Array.from({ length: job.clients }, (_, client) =>
      openWriter(job.kind, { ...job, object: job.objects[client] ?? client }),
    ),
  );
  const openedAt = performance.now();
  const begin = openedAt + job.seconds * WARM_UP_SHARE * 1000;
  const end = begin + job.seconds * 1000;
  let cpuAt = process.cpuUsage();
  const warm = setTimeout(() => {
    cpuAt = process.cpuUsage();
  }, begin - performance.now());
  await Promise.all(
    writers.map(async (writer, client) => {
      const turn = turnOf(job, client, openedAt);
      for (let sequence = job.firstSequence; ; sequence++) {
        const startedAt = await turn();
        if (startedAt > end) break;
        await writer.write(sequence);
        acknowledged[client] = sequence;
        if (startedAt >= begin) latenciesMs.push(performance.now() - startedAt);
      }
    }),
  );
  clearTimeout(warm);
  const elapsedMs = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpuAt);
  for (const writer of writers) writer.close();
  return { elapsedMs, latenciesMs, acknowledged, cpuMs: (user + system) / 1000 };
}

/**
 * Waits until this client's next write is due; the instant from which it counts. That is when it was due, if the client
 * was still waiting for the write before (a stall counts for everything that it held up), else when it is sent: that a
 * timer comes late is no fault of what is measured.
 */
function turnOf(job: LoadJob, client: number, openedAt: number): () => number | Promise<number> {
  if (job.ratePerSecond === undefined) return () => performance.now();
  const periodMs = (job.clients * 1000) / job.ratePerSecond;
  let dueAt = openedAt + (client * periodMs) / job.clients - periodMs;
  return async () => {
    dueAt += periodMs;
    const now = performance.now();
    if (now >= dueAt) return dueAt;
    await Bun.sleep(dueAt - now);
    return performance.now();
  };
}

if (import.meta.main) {
  const job = (await Bun.stdin.json()) as LoadJob;
  console.log(JSON.stringify(await run(job)));
  process.exit(0);
}
