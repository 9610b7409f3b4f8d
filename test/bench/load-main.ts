/**
 * The load generator: one process in the client's namespace, `clients` kept-alive connections, each with one write on the
 * way. `load-main.ts`, the job as JSON on standard input, the result as JSON on standard output.
 */
import { HttpConnection } from "./http-connection.ts";

/** What to write: `template` updates objects[i] by XML-RPC; `etcd` puts key i by the gRPC gateway's JSON. */
export interface LoadJob {
  readonly kind: "template" | "etcd";
  readonly url: string;
  readonly session: string;
  /** One of its own for each client. */
  readonly objects: readonly number[];
  readonly clients: number;
  readonly seconds: number;
  readonly valueBytes: number;
  /** The first sequence number to write; higher than any of an earlier job on the same objects. */
  readonly firstSequence: number;
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
  const connections = await Promise.all(
    Array.from({ length: job.clients }, () => HttpConnection.open(new URL(job.url))),
  );
  const begin = performance.now() + job.seconds * WARM_UP_SHARE * 1000;
  const end = begin + job.seconds * 1000;
  let cpuAt = process.cpuUsage();
  const warm = setTimeout(() => {
    cpuAt = process.cpuUsage();
  }, begin - performance.now());
  await Promise.all(
    connections.map(async (connection, client) => {
      for (let sequence = job.firstSequence; ; sequence++) {
        const startedAt = performance.now();
        if (startedAt > end) break;
        await writers[job.kind](connection, job, client, sequence);
        acknowledged[client] = sequence;
        if (startedAt >= begin) latenciesMs.push(performance.now() - startedAt);
      }
    }),
  );
  clearTimeout(warm);
  const elapsedMs = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpuAt);
  for (const connection of connections) connection.close();
  return { elapsedMs, latenciesMs, acknowledged, cpuMs: (user + system) / 1000 };
}

type Writer = (connection: HttpConnection, job: LoadJob, client: number, sequence: number) => Promise<void>;

const writers: Record<LoadJob["kind"], Writer> = {
  template: async (connection, job, client, sequence) => {
    const text = `SEQUENCE = "${sequence}"\nFILL = "${"x".repeat(job.valueBytes - 40)}"`;
    const params = `<param><value><string>${job.session}</string></value></param><param><value><i4>${job.objects[client]}</i4></value></param><param><value><string>${text}</string></value></param><param><value><i4>0</i4></value></param>`;
    const body = `<?xml version="1.0"?><methodCall><methodName>one.template.update</methodName><params>${params}</params></methodCall>`;
    const answer = await connection.post(body, "text/xml");
    if (!/<boolean>1<\/boolean>/.test(answer)) throw new Error(`A write was refused: ${answer}`);
  },
  etcd: async (connection, job, client, sequence) => {
    const value = Buffer.from(`${sequence} ${"x".repeat(job.valueBytes - 10)}`).toString("base64");
    const key = Buffer.from(`bench/${client}`).toString("base64");
    const answer = await connection.post(`{"key":"${key}","value":"${value}"}`, "application/json");
    if (!answer.includes('"revision"')) throw new Error(`A put was refused: ${answer}`);
  },
};

if (import.meta.main) {
  const job = (await Bun.stdin.json()) as LoadJob;
  console.log(JSON.stringify(await run(job)));
  process.exit(0);
}
