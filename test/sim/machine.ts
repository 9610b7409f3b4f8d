import type { LogEntry } from "../../src/raft/types.ts";

/** A client's write: add one to a counter. The session table makes a repeated request answer with the first outcome. */
export interface Write {
  readonly client: number;
  readonly sequence: number;
  readonly key: number;
}

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
  hash = 0x811c9dc5;
  readonly counters = new Map<number, number>();
  readonly sessions = new Map<number, { sequence: number; value: number }>();

  /** One transaction: effects, session, hash and applied index. Returns the write's outcome. */
  apply(entry: LogEntry, withoutKey: boolean): number {
    const value = this.#effect(entry, withoutKey);
    this.applied = entry.index;
    return value;
  }

  #effect(entry: LogEntry, withoutKey: boolean): number {
    let value = 0;
    if (entry.kind === "normal" && entry.data.length > 0) {
      const write = decodeWrite(entry.data);
      const session = this.sessions.get(write.client);
      if (!withoutKey && session !== undefined && session.sequence >= write.sequence) {
        value = session.value;
        this.#mix(1);
      } else {
        value = (this.counters.get(write.key) ?? 0) + 1;
        this.counters.set(write.key, value);
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
