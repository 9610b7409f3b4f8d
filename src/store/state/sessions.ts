import type { Outcome } from "../../base/entry.ts";

/** Clients whose outcomes are kept; the one unused for longest goes. */
export const SESSION_CLIENTS_MAX = 1024;
/** Outcomes kept of each client: its highest sequence number and the 63 below it. */
export const SESSION_WINDOW = 64;

/** A row of the session table. */
export interface SessionRow {
  readonly client: string;
  readonly sequence: number;
  /** The entry's index. */
  readonly at: number;
  /** The outcome as JSON. */
  readonly outcome: string;
}

/** What is known of a request id. */
export type SessionAnswer =
  | { readonly kind: "new"; readonly client: string; readonly sequence: number }
  | { readonly kind: "known"; readonly outcome: Outcome }
  | { readonly kind: "expired" }
  | { readonly kind: "malformed" };

interface Client {
  highest: number;
  lastUsed: number;
  readonly outcomes: Map<number, string>;
}

const REQUEST_ID = /^([\x21-\x7e]{1,128}):(\d{1,15})$/;
/** A client name may end in `@<applied index when it was made>`: then its expiry is noticed even when it was forgotten whole. */
const BIRTH = /@(\d{1,15})$/;

/**
 * The first outcome of each request, so that a repeated request executes nothing. Changes only by entries, in their
 * order: the same on every box. All of it is in memory; the changes since the last batch are handed to the database.
 */
export class Sessions {
  /** In the order of their last use, oldest first. */
  readonly #clients = new Map<string, Client>();
  #written: SessionRow[] = [];
  #removed = new Set<string>();
  /** The largest last use of any forgotten client. */
  #forgottenTo: number;

  /** `rows` in the order of `at`. */
  constructor(rows: readonly SessionRow[], forgottenTo: number) {
    this.#forgottenTo = forgottenTo;
    for (const row of rows) this.#keep(row);
  }

  get forgottenTo(): number {
    return this.#forgottenTo;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  hasClient(client: string): boolean {
    return this.#clients.has(client);
  }

  look(requestId: string): SessionAnswer {
    const match = REQUEST_ID.exec(requestId);
    if (match?.[1] === undefined) return { kind: "malformed" };
    const client = match[1];
    const sequence = Number(match[2]);
    const known = this.#clients.get(client);
    if (known === undefined) {
      const birth = BIRTH.exec(client)?.[1];
      if (birth !== undefined && Number(birth) < this.#forgottenTo) return { kind: "expired" };
      return { kind: "new", client, sequence };
    }
    const outcome = known.outcomes.get(sequence);
    if (outcome !== undefined) return { kind: "known", outcome: JSON.parse(outcome) as Outcome };
    if (sequence <= known.highest - SESSION_WINDOW) return { kind: "expired" };
    return { kind: "new", client, sequence };
  }

  /** Keeps the outcome of a request that was new. */
  record(row: SessionRow): void {
    this.#keep(row);
    this.#written.push(row);
    if (this.#clients.size <= SESSION_CLIENTS_MAX) return;
    const [oldest] = this.#clients;
    if (oldest === undefined) return;
    this.#forgottenTo = Math.max(this.#forgottenTo, oldest[1].lastUsed);
    this.#clients.delete(oldest[0]);
    this.#removed.add(oldest[0]);
  }

  /** What the database must be told after a batch: rows to write, clients to delete first. */
  takeChanges(): { readonly written: readonly SessionRow[]; readonly removed: readonly string[] } {
    const written = this.#written.filter((row) => this.#clients.get(row.client)?.outcomes.has(row.sequence) === true);
    const changes = { written, removed: [...this.#removed] };
    this.#written = [];
    this.#removed = new Set();
    return changes;
  }

  #keep({ client: name, sequence, at, outcome }: SessionRow): void {
    const client = this.#clients.get(name) ?? { highest: 0, lastUsed: 0, outcomes: new Map<number, string>() };
    this.#clients.delete(name);
    this.#clients.set(name, client);
    client.lastUsed = at;
    client.outcomes.set(sequence, outcome);
    if (sequence <= client.highest) return;
    const floor = sequence - SESSION_WINDOW;
    for (let old = Math.max(0, client.highest - SESSION_WINDOW + 1); old <= Math.min(floor, client.highest); old++) {
      client.outcomes.delete(old);
    }
    client.highest = sequence;
  }
}
