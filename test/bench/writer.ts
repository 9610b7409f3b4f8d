/** What a client of these benches writes: 300 bytes or so, to an object of its own, again and again. */
import { GrpcConnection } from "./grpc-connection.ts";
import { HttpConnection } from "./http-connection.ts";

/**
 * `template` updates a template by XML-RPC; `etcd` puts a key by gRPC. Its JSON gateway would let us use one client for
 * both, but costs etcd up to half of its rate with one client (0.73 against 0.38 ms), so that would be no peer.
 */
export type WriterKind = "template" | "etcd";

/** One client: one connection, one write on the way. */
export interface Writer {
  /** Resolves when the write is acknowledged; rejects when it is refused or the connection ends. */
  write(sequence: number): Promise<void>;
  close(): void;
}

export interface WriterOptions {
  /** Where the connection leads: the box's front-end, or a member's client port. */
  readonly url: string;
  /** Of the template, or the key's number. */
  readonly object: number;
  readonly valueBytes: number;
  /** `user:password`; etcd has none. */
  readonly session: string;
}

export function openWriter(kind: WriterKind, options: WriterOptions): Promise<Writer> {
  return kind === "template" ? openTemplate(options) : openEtcd(options);
}

/** What a peer is asked with: the method is part of the path. */
export function etcdUrl(address: string): string {
  return `http://${address}:2379/etcdserverpb.KV/Put`;
}

async function openTemplate({ url, object, valueBytes, session }: WriterOptions): Promise<Writer> {
  const connection = await HttpConnection.open(new URL(url));
  const fill = "x".repeat(valueBytes - 40);
  return {
    write: async (sequence) => {
      const text = `SEQUENCE = "${sequence}"\nFILL = "${fill}"`;
      const params = `<param><value><string>${session}</string></value></param><param><value><i4>${object}</i4></value></param><param><value><string>${text}</string></value></param><param><value><i4>0</i4></value></param>`;
      const body = `<?xml version="1.0"?><methodCall><methodName>one.template.update</methodName><params>${params}</params></methodCall>`;
      const answer = await connection.post(body, "text/xml");
      if (!/<boolean>1<\/boolean>/.test(answer)) throw new Error(`A write was refused: ${answer}`);
    },
    close: () => connection.close(),
  };
}

async function openEtcd({ url, object, valueBytes }: WriterOptions): Promise<Writer> {
  const connection = await GrpcConnection.open(new URL(url));
  const key = field(1, Buffer.from(`bench/${object}`));
  const fill = "x".repeat(valueBytes - 10);
  return {
    write: async (sequence) => {
      const answer = await connection.call(Buffer.concat([key, field(2, Buffer.from(`${sequence} ${fill}`))]));
      // PutResponse.header, which is there in every answer.
      if (answer[0] !== 0x0a) throw new Error(`A put was answered with ${answer.toString("hex")}`);
    },
    close: () => connection.close(),
  };
}

/** A field of bytes in protocol buffers' wire format. */
function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.of((number << 3) | 2, ...length, rest), bytes]);
}
