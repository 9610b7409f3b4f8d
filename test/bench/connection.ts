/**
 * The socket under the benches' clients: one connection with one request on the way at a time. Small, so that the
 * generator, which shares the processors with what it measures, costs little, and the same for us and for peers.
 */
import { CodedError } from "../../src/base/error.ts";

/** What a protocol makes of the bytes that arrive: it settles or fails the request on the way. */
type Take = (bytes: Buffer) => void;

export class Connection<Answer> {
  readonly #code: string;
  #socket: Bun.Socket<undefined> | undefined;
  #take: Take = () => undefined;
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  #closed: string | undefined;

  private constructor(code: string) {
    this.#code = code;
  }

  /** `code` is the code of this protocol's errors. */
  static async open<Answer>(url: URL, code: string): Promise<Connection<Answer>> {
    const connection = new Connection<Answer>(code);
    const socket = await Bun.connect<undefined>({
      hostname: url.hostname,
      port: Number(url.port),
      socket: {
        binaryType: "buffer",
        data: (_socket, bytes) => connection.#take(bytes),
        close: () => connection.#end("the peer closed the connection"),
        error: (_socket, error) => connection.#end(String(error)),
      },
    });
    socket.setNoDelay(true);
    connection.#socket = socket;
    return connection;
  }

  /** Says who reads what arrives. To be called as soon as `open` has resolved: nothing can have arrived by then. */
  receive(take: Take): void {
    this.#take = take;
  }

  /** Sends a request; its answer is what the protocol settles. Rejects at once when the connection is gone. */
  ask(request: string | Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#closed !== undefined) this.fail(this.#closed);
      else this.send(request);
    });
  }

  /** Sends what has no answer. */
  send(bytes: string | Uint8Array): void {
    this.#socket?.write(bytes);
    this.#socket?.flush();
  }

  settle(answer: Answer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  fail(why: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new CodedError(this.#code, why));
  }

  /** A request that is on the way stays without an answer. */
  close(): void {
    this.#waiting = undefined;
    this.#closed ??= "this side closed the connection";
    this.#socket?.end();
  }

  #end(why: string): void {
    this.#closed ??= why;
    this.fail(why);
  }
}
