/**
 * One kept-alive HTTP/1.1 connection that has one request on the way: what a client is in these benches. Small, so that
 * the generator, which shares the processors with what it measures, costs little, and the same for us and for peers.
 */
import { CodedError } from "../../src/base/error.ts";

const HEAD_END = "\r\n\r\n";

export class HttpConnection {
  readonly #path: string;
  readonly #host: string;
  readonly #socket: Bun.Socket<undefined>;
  #received = "";
  #waiting: { resolve: (body: string) => void; reject: (error: Error) => void } | undefined;

  private constructor(url: URL, socket: Bun.Socket<undefined>) {
    this.#host = url.host;
    this.#path = url.pathname;
    this.#socket = socket;
  }

  static async open(url: URL): Promise<HttpConnection> {
    let connection: HttpConnection | undefined;
    const socket = await Bun.connect<undefined>({
      hostname: url.hostname,
      port: Number(url.port),
      socket: {
        binaryType: "buffer",
        data: (_socket, bytes) => connection?.take(bytes),
        close: () => connection?.fail("the peer closed the connection"),
        error: (_socket, error) => connection?.fail(String(error)),
      },
    });
    socket.setNoDelay(true);
    connection = new HttpConnection(url, socket);
    return connection;
  }

  /** The body of the answer, which has to be 200. Bodies are ASCII here, so lengths in characters are bytes. */
  post(body: string, contentType: string): Promise<string> {
    const head = `POST ${this.#path} HTTP/1.1\r\nHost: ${this.#host}\r\nContent-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(head + body);
      this.#socket.flush();
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.end();
  }

  private take(bytes: Buffer): void {
    this.#received += bytes.toString("latin1");
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN);
    const end = headEnd + HEAD_END.length + length;
    if (Number.isNaN(length)) this.fail(`cannot read an answer without a length: ${head}`);
    if (!(this.#received.length >= end)) return;
    const body = this.#received.slice(headEnd + HEAD_END.length, end);
    this.#received = this.#received.slice(end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (head.startsWith("HTTP/1.1 200 ")) waiting?.resolve(body);
    else waiting?.reject(new CodedError("BENCH_HTTP", `${head.split("\r\n")[0]}: ${body.slice(0, 200)}`));
  }

  private fail(why: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new CodedError("BENCH_HTTP", why));
  }
}
