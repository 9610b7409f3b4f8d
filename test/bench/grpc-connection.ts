/**
 * One HTTP/2 connection with one gRPC call on the way at a time (RFC 9113; gRPC over HTTP/2): etcd's own protocol, so that
 * it is not measured through its JSON gateway.
 */
import { Connection } from "./connection.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const HEAD_BYTES = 9;
/** The largest window (RFC 9113 §6.9.1) less the initial one: answers of a whole run fit without an update. */
const WINDOW_MORE = 2 ** 31 - 1 - 65_535;
/** A gRPC message begins with its compression flag and its length. */
const MESSAGE_HEAD_BYTES = 5;

export class GrpcConnection {
  readonly #connection: Connection<Buffer>;
  readonly #headers: Buffer;
  #stream = -1;
  #received: Buffer = Buffer.alloc(0);
  /** The current call's answer, once its data has come. */
  #answer: Buffer | undefined;

  private constructor(url: URL, connection: Connection<Buffer>) {
    this.#connection = connection;
    this.#headers = headerBlock(url);
    connection.receive((bytes) => this.take(bytes));
    const more = Buffer.alloc(4);
    more.writeUInt32BE(WINDOW_MORE);
    const start = [Buffer.from(PREFACE), frame(FRAME.settings, 0, 0), frame(FRAME.windowUpdate, 0, 0, more)];
    connection.send(Buffer.concat(start));
  }

  /** `url`: `http://HOST:PORT/package.Service/Method`. */
  static async open(url: URL): Promise<GrpcConnection> {
    return new GrpcConnection(url, await Connection.open<Buffer>(url, "BENCH_GRPC"));
  }

  /** One unary call; the answer's message. */
  call(message: Uint8Array): Promise<Buffer> {
    this.#stream += 2;
    this.#answer = undefined;
    const head = Buffer.alloc(MESSAGE_HEAD_BYTES);
    head.writeUInt32BE(message.length, 1);
    const frames = [
      frame(FRAME.headers, END_HEADERS, this.#stream, this.#headers),
      frame(FRAME.data, END_STREAM, this.#stream, Buffer.concat([head, message])),
    ];
    return this.#connection.ask(Buffer.concat(frames));
  }

  close(): void {
    this.#connection.close();
  }

  private take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + this.#received.readUIntBE(0, 3);
      if (this.#received.length < end) return;
      const [type, flags] = [this.#received.readUInt8(3), this.#received.readUInt8(4)];
      const stream = this.#received.readUInt32BE(5) & 0x7fffffff;
      const payload = this.#received.subarray(HEAD_BYTES, end);
      this.#received = this.#received.subarray(end);
      this.obey(type, flags, stream, payload);
    }
  }

  private obey(type: number, flags: number, stream: number, payload: Buffer): void {
    const isAck = (flags & ACK) !== 0;
    if (type === FRAME.settings && !isAck) this.#connection.send(frame(FRAME.settings, ACK, 0));
    else if (type === FRAME.ping && !isAck) this.#connection.send(frame(FRAME.ping, ACK, 0, payload));
    else if (type === FRAME.goAway) this.#connection.fail("the peer ends the connection (GOAWAY)");
    else if (stream !== this.#stream) return;
    else if (type === FRAME.data) this.#answer = Buffer.from(payload);
    else if (type === FRAME.reset) this.#connection.fail("the peer ends the call (RST_STREAM)");
    else if (type === FRAME.headers && (flags & END_STREAM) !== 0) this.finish();
  }

  /** An error has trailers only: its text is in them, compressed, and not worth a decoder here. */
  private finish(): void {
    if (this.#answer === undefined) this.#connection.fail("the call was refused");
    else this.#connection.settle(this.#answer.subarray(MESSAGE_HEAD_BYTES));
  }
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** HPACK (RFC 7541): two entries of the static table, then literals that are not indexed. */
function headerBlock(url: URL): Buffer {
  const literal = (name: string, value: string): Buffer =>
    Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)]);
  return Buffer.concat([
    Buffer.of(0x83, 0x86), // :method POST, :scheme http
    literal(":path", url.pathname),
    literal(":authority", url.host),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
  ]);
}
