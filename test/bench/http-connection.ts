/** One kept-alive HTTP/1.1 connection that has one request on the way: what a client of ours is in these benches. */
import { Connection } from "./connection.ts";

const HEAD_END = "\r\n\r\n";

export class HttpConnection {
  readonly #head: string;
  readonly #connection: Connection<string>;

  private constructor(url: URL, connection: Connection<string>) {
    this.#head = `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\n`;
    this.#connection = connection;
    connection.receive(reader(connection));
  }

  static async open(url: URL): Promise<HttpConnection> {
    return new HttpConnection(url, await Connection.open<string>(url, "BENCH_HTTP"));
  }

  /** The body of the answer, which has to be 200. Bodies are ASCII here, so lengths in characters are bytes. */
  post(body: string, contentType: string): Promise<string> {
    const lines = `Content-Type: ${contentType}\r\nContent-Length: ${body.length}`;
    return this.#connection.ask(`${this.#head}${lines}${HEAD_END}${body}`);
  }

  close(): void {
    this.#connection.close();
  }
}

/** Reads answers, whatever pieces they come in. */
function reader(connection: Connection<string>): (bytes: Buffer) => void {
  let received = "";
  return (bytes) => {
    received += bytes.toString("latin1");
    const headEnd = received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = received.slice(0, headEnd);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN);
    const end = headEnd + HEAD_END.length + length;
    if (Number.isNaN(length)) connection.fail(`cannot read an answer without a length: ${head}`);
    if (!(received.length >= end)) return;
    const body = received.slice(headEnd + HEAD_END.length, end);
    received = received.slice(end);
    if (head.startsWith("HTTP/1.1 200 ")) connection.settle(body);
    else connection.fail(`${head.split("\r\n")[0]}: ${body.slice(0, 200)}`);
  };
}
