import { randomBytes } from "node:crypto";

/** Clients that a box is to the session table. More of them would crowd out others: it keeps 1,024 in all. */
const SHARDS = 32;

/** How far a shard may run ahead of its oldest request under way: the table keeps 64 outcomes a client. */
const WINDOW = 60;

/** The form that the session table takes, with room for the shard's and the attempt's mark. */
const FORM = /^[\x21-\x39\x3b-\x7e]{1,64}:[0-9]{1,15}$/;

/** A request id that a client gave in the header `Ringfence-Request`; undefined when it is none. */
export function readRequestId(header: string | null): string | undefined {
  return header !== null && FORM.test(header) ? header : undefined;
}

/**
 * The id under which attempt `attempt` of a request is proposed. The table keeps rejections too, so each attempt has an
 * id of its own; they are tried in order, so that a repeated request finds the one that was done.
 */
export function attemptId(requestId: string, attempt: number): string {
  if (attempt === 0) return requestId;
  const colon = requestId.lastIndexOf(":");
  return `try${attempt}-${requestId.slice(0, colon)}${requestId.slice(colon)}`;
}

/** Makes ids `nonce-shard@born:sequence` for calls that came without one, so that none falls out of the table's window. */
export class RequestIds {
  readonly #clients: readonly string[];
  readonly #next: number[] = new Array<number>(SHARDS).fill(1);
  readonly #open: readonly Set<number>[] = Array.from({ length: SHARDS }, () => new Set<number>());
  #turn = 0;

  /** `born` is the applied index at the start: with it the table notices that it has forgotten this client. */
  constructor(born: number) {
    const nonce = randomBytes(8).toString("hex");
    this.#clients = Array.from({ length: SHARDS }, (_, shard) => `${nonce}-${shard}@${born}`);
  }

  /** Undefined when every shard waits for an old request: too many writes are under way. Call `release` at its end. */
  take(): { readonly id: string; release(): void } | undefined {
    for (let tried = 0; tried < SHARDS; tried++) {
      const shard = this.#turn;
      this.#turn = (this.#turn + 1) % SHARDS;
      const open = this.#open[shard];
      const client = this.#clients[shard];
      const sequence = this.#next[shard];
      if (open === undefined || client === undefined || sequence === undefined) continue;
      // A Set keeps the order of insertion: its first is the oldest.
      const [oldest] = open;
      if (oldest !== undefined && sequence - oldest >= WINDOW) continue;
      this.#next[shard] = sequence + 1;
      open.add(sequence);
      return { id: `${client}:${sequence}`, release: () => void open.delete(sequence) };
    }
    return undefined;
  }
}
