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
 * A name that was not used for so many entries is renewed. The table forgets a client after 1,024 newer ones and answers a
 * forgotten birth with *expired*; forgetting takes at least 1,024 entries since the last use, so a name that is renewed by
 * then is never taken for a forgotten one. One in constant use is kept: each new name crowds another client out.
 */
const RENEW_AFTER_ENTRIES = 512;

interface Shard {
  client: string;
  /** Index of the last applied entry when the name was made, or of the last entry that surely carried it. */
  usedAt: number;
  next: number;
  /** Sequences under way; a Set keeps the order of insertion, its first is the oldest. */
  readonly open: Set<number>;
}

/** Makes ids `nonce-shard@born:sequence` for calls that came without one, so that none falls out of the table's window. */
export class RequestIds {
  readonly #nonce = randomBytes(8).toString("hex");
  readonly #appliedIndex: () => number;
  readonly #shards: readonly Shard[];

  /** `appliedIndex` gives the last applied entry: a name carries it, so that the table notices a client it has forgotten. */
  constructor(appliedIndex: () => number) {
    this.#appliedIndex = appliedIndex;
    this.#shards = Array.from({ length: SHARDS }, (_, shard) => ({ ...this.#name(shard), open: new Set<number>() }));
  }

  /**
   * Undefined when every shard waits for an old request: too many writes are under way. Call `release` at its end, with the
   * index of the entry that carried it if that is known: a name that only stood in refused calls is not in the table.
   * The first shard with room is taken, not each in turn: a box with little to do is one client, and a steady one.
   */
  take(): { readonly id: string; release(index?: number): void } | undefined {
    for (const [at, shard] of this.#shards.entries()) {
      const isIdle = shard.open.size === 0 && this.#appliedIndex() - shard.usedAt >= RENEW_AFTER_ENTRIES;
      if (isIdle) Object.assign(shard, this.#name(at));
      const { open, client, next: sequence } = shard;
      const [oldest] = open;
      if (oldest !== undefined && sequence - oldest >= WINDOW) continue;
      shard.next = sequence + 1;
      open.add(sequence);
      const release = (index = 0): void => {
        open.delete(sequence);
        if (shard.client === client) shard.usedAt = Math.max(shard.usedAt, index);
      };
      return { id: `${client}:${sequence}`, release };
    }
    return undefined;
  }

  #name(shard: number): { client: string; usedAt: number; next: number } {
    const born = this.#appliedIndex();
    return { client: `${this.#nonce}-${shard}@${born}`, usedAt: born, next: 1 };
  }
}
