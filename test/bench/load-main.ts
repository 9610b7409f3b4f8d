/**
 * The load generator: one process in the client's namespace, `clients` kept-alive connections, each with one write on the
 * way. `load-main.ts`, the job as JSON on standard input, the result as JSON on standard output.
 */
import { GrpcConnection } from "./grpc-connection.ts";
import { HttpConnection } from "./http-connection.ts";

/**
 * What to write: `template` updates objects[i] by XML-RPC; `etcd` puts key i by gRPC. Its JSON gateway would let us use one
 * client for both, but costs etcd up to half of its rate with one client (0.73 against 0.38 ms), so that would be no peer.
 */
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
  const writers = await Promise.all(
    Array.from({ length: job.clients }, (_, client) => openers[job.kind](new URL(job.url), job, client)),
  );
  const begin = performance.now() + job.seconds * WARM_UP_SHARE * 1000;
  const end = begin + job.seconds * 1000;
  let cpuAt = process.cpuUsage();
  const warm = setTimeout(() => {
    cpuAt = process.cpuUsage();
  }, begin - performance.now());
  await Promise.all(
    writers.map(async (writer, client) => {
      for (let sequence = job.firstSequence; ; sequence++) {
        const startedAt = performance.now();
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

/** One client: one connection, one write on the way. */
interface Writer {
  write(sequence: number): Promise<void>;
  close(): void;
}

const openers: Record<LoadJob["kind"], (url: URL, job: LoadJob, client: number) => Promise<Writer>> = {
  template: async (url, job, client) => {
    const connection = await HttpConnection.open(url);
    const fill = "x".repeat(job.valueBytes - 40);
    return {
      write: async (sequence) => {
        const text = `SEQUENCE = "${sequence}"\nFILL = "${fill}"`;
        const params = `<param><value><string>${job.session}</string></value></param><param><value><i4>${job.objects[client]}</i4></value></param><param><value><string>${text}</string></value></param><param><value><i4>0</i4></value></param>`;
        const body = `<?xml version="1.0"?><methodCall><methodName>one.template.update</methodName><params>${params}</params></methodCall>`;
        const answer = await connection.post(body, "text/xml");
        if (!/<boolean>1<\/boolean>/.test(answer)) throw new Error(`A write was refused: ${answer}`);
      },
      close: () => connection.close(),
    };
  },
  etcd: async (url, job, client) => {
    const connection = await GrpcConnection.open(url);
    const key = field(1, Buffer.from(`bench/${client}`));
    const fill = "x".repeat(job.valueBytes - 10);
    return {
      write: async (sequence) => {
        const answer = await connection.call(Buffer.concat([key, field(2, Buffer.from(`${sequence} ${fill}`))]));
        // PutResponse.header, which is there in every answer.
        if (answer[0] !== 0x0a) throw new Error(`A put was answered with ${answer.toString("hex")}`);
      },
      close: () => connection.close(),
    };
  },
};

/** A field of bytes in protocol buffers' wire format. */
function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.of((number << 3) | 2, ...length, rest), bytes]);
}

if (import.meta.main) {
  const job = (await Bun.stdin.json()) as LoadJob;
  console.log(JSON.stringify(await run(job)));
  process.exit(0);
}
