import type { LogEntry } from "../../src/raft/types.ts";

/** A client's write: add one to a counter. The session table makes a repeated request answer with the first outcome. */
export interface Write {
  readonly client: number;
  readonly sequence: number;
  readonly key: number;
}

/** From this key on a write is an operator's: it puts the timings of this number, counted from here, in force. */
export const TIMINGS_KEY = 1_000_000;

export function encodeWrite(write: Write): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, write.client, true);
  view.setUint32(4, write.sequence, true);
  view.setUint32(8, write.key, true);
  return bytes;
}

export function decodeWrite(bytes: Uint8Array): Write {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { client: view.getUint32(0, true), sequence: view.getUint32(4, true), key: view.getUint32(8, true) };
}

/** What the state database is in the product: counters, sessions, the running hash over effects, the applied index. */
export class SimMachine {
  applied = 0;
  /** Of the last applied entry. */
  term = 0;
  hash = 0x811c9dc5;
  /** Number of the timings in force; undefined before an entry has set any. */
  timings: number | undefined;
  readonly counters = new Map<number, number>();
  readonly sessions = new Map<number, { sequence: number; value: number }>();

  /**
   * One transaction: effects, session, hash and applied index. Returns the write's outcome, from 1 on; 0 for a request
   * that is older than the session remembers: it is not executed.
   */
  apply(entry: LogEntry, withoutKey: boolean): number {
    const value = this.#effect(entry, withoutKey);
    this.applied = entry.index;
    this.term = entry.term;
    return value;
  }

  /** A copy of the whole database. */
  encode(): Uint8Array {
    const { applied, term, hash, counters, sessions } = this;
    return new TextEncoder().encode(
      JSON.stringify({ applied, term, hash, counters: [...counters], sessions: [...sessions] }),
    );
  }

  static decode(bytes: Uint8Array): SimMachine {
    const copy = JSON.parse(new TextDecoder().decode(bytes)) as {
      readonly applied: number;
      readonly term: number;
      readonly hash: number;
      readonly counters: [number, number][];
      readonly sessions: [number, { sequence: number; value: number }][];
    };
    const machine = new SimMachine();
    machine.applied = copy.applied;
    machine.term = copy.term;
    machine.hash = copy.hash;
    for (const [key, value] of copy.counters) machine.counters.set(key, value);
    for (const [client, session] of copy.sessions) machine.sessions.set(client, session);
    return machine;
  }

  #effect(entry: LogEntry, withoutKey: boolean): number {
    let value = 0;
    if (entry.kind === "normal" && entry.data.length > 0) {
      const write = decodeWrite(entry.data);
      const session = this.sessions.get(write.client);
      if (!withoutKey && session !== undefined && session.sequence >= write.sequence) {
        value = session.sequence === write.sequence ? session.value : 0;
        this.#mix(1);
      } else {
        value = (this.counters.get(write.key) ?? 0) + 1;
        this.counters.set(write.key, value);
        if (write.key >= TIMINGS_KEY) this.timings = write.key - TIMINGS_KEY;
        this.sessions.set(write.client, { sequence: write.sequence, value });
        this.#mix(2);
      }
    }
    this.#mix(entry.index);
    this.#mix(value);
    return value;
  }

  #mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193) >>> 0;
  }
}
