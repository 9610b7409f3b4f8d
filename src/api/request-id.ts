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

/**
 * A name is renewed after so many entries. The table forgets a client after 1,024 newer ones and answers a forgotten birth
 * with *expired*; forgetting takes at least 1,024 entries, so a name renewed by then is never taken for a forgotten one.
 */
const RENEW_AFTER_ENTRIES = 512;

interface Shard {
  client: string;
  /** Index of the last applied entry when the name was made. */
  born: number;
  next: number;
  /** Sequences under way; a Set keeps the order of insertion, its first is the oldest. */
  readonly open: Set<number>;
}

/** Makes ids `nonce-shard@born:sequence` for calls that came without one, so that none falls out of the table's window. */
export class RequestIds {
  readonly #nonce = randomBytes(8).toString("hex");
  readonly #appliedIndex: () => number;
  readonly #shards: readonly Shard[];
  #turn = 0;

  /** `appliedIndex` gives the last applied entry: a name carries it, so that the table notices a client it has forgotten. */
  constructor(appliedIndex: () => number) {
    this.#appliedIndex = appliedIndex;
    this.#shards = Array.from({ length: SHARDS }, (_, shard) => ({ ...this.#name(shard), open: new Set<number>() }));
  }

  /** Undefined when every shard waits for an old request: too many writes are under way. Call `release` at its end. */
  take(): { readonly id: string; release(): void } | undefined {
    for (let tried = 0; tried < SHARDS; tried++) {
      const at = this.#turn;
      this.#turn = (at + 1) % SHARDS;
      const shard = this.#shards[at];
      if (shard === undefined) continue;
      if (shard.open.size === 0 && this.#appliedIndex() - shard.born >= RENEW_AFTER_ENTRIES)
        Object.assign(shard, this.#name(at));
      const { open, client, next: sequence } = shard;
      const [oldest] = open;
      if (oldest !== undefined && sequence - oldest >= WINDOW) continue;
      shard.next = sequence + 1;
      open.add(sequence);
      return { id: `${client}:${sequence}`, release: () => void open.delete(sequence) };
    }
    return undefined;
  }

  #name(shard: number): { client: string; born: number; next: number } {
    const born = this.#appliedIndex();
    return { client: `${this.#nonce}-${shard}@${born}`, born, next: 1 };
  }
}
