import { CodedError } from "../base/error.ts";

/** Calls to other boxes that may be open at once, and what their bodies may take together, bytes: a body is up to 4 MiB. */
const CALLS_MAX = 1024;
const CALLS_BYTES_MAX = 64 * 1024 * 1024;

interface Open {
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly to: string;
  readonly sizeBytes: number;
}

/** Calls from this box to others over the peers' connections, each with a deadline. */
export class Calls {
  readonly #open = new Map<number, Open>();
  #nextId = 1;
  #openBytes = 0;
  readonly #send: (to: string, id: number, body: Uint8Array) => void;

  constructor(send: (to: string, id: number, body: Uint8Array) => void) {
    this.#send = send;
  }

  /**
   * Rejects with `call-busy`, `call-unreachable` (never sent), `call-timeout` or `call-abandoned` (may have happened) or
   * `call-failed` (the other box answered with an error).
   */
  call(to: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    if (this.#open.size >= CALLS_MAX)
      return Promise.reject(new CodedError("call-busy", `Cannot call ${to}: ${CALLS_MAX} calls are open already`));
    if (this.#openBytes + body.length > CALLS_BYTES_MAX)
      return Promise.reject(
        new CodedError("call-busy", `Cannot call ${to}: ${this.#openBytes} bytes are under way already`),
      );
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffff_fffe) + 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const open = this.#open.get(id);
        if (open !== undefined) this.#settle(id, open);
        reject(new CodedError("call-timeout", `No answer from ${to} in ${deadlineMs} ms`));
      }, deadlineMs);
      this.#open.set(id, { resolve, reject, timer, to, sizeBytes: body.length });
      this.#openBytes += body.length;
      this.#send(to, id, body);
    });
  }

  answered(from: string, id: number, ok: boolean, body: Uint8Array): void {
    const open = this.#open.get(id);
    if (open === undefined || open.to !== from) return;
    this.#settle(id, open);
    if (ok) open.resolve(body);
    else open.reject(new CodedError("call-failed", Buffer.from(body).toString("utf8")));
  }

  /** The call did not leave this box. */
  unsent(id: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#settle(id, open);
    open.reject(new CodedError("call-unreachable", `Cannot reach ${open.to}`));
  }

  /**
   * Ends the calls to all boxes but `leader`: an answer of a leader that was replaced, or is dead, may never come, and
   * whoever asks the next one with the same request id need not wait for the deadline first.
   */
  abandon(leader?: string): void {
    for (const [id, open] of this.#open) {
      if (open.to === leader) continue;
      this.#settle(id, open);
      open.reject(new CodedError("call-abandoned", `${open.to} does not lead any more`));
    }
  }

  #settle(id: number, open: Open): void {
    clearTimeout(open.timer);
    if (this.#open.delete(id)) this.#openBytes -= open.sizeBytes;
  }
}
