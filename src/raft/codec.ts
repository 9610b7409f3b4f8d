import { ByteReader, ByteWriter, MalformedError } from "./bytes.ts";
import type { Append, Heartbeat, HeartbeatResponse, Message } from "./messages.ts";
import type { LogEntry } from "./types.ts";

/** The peers' protocol version; the handshake refuses another one, this byte is the second look. */
export const MESSAGE_VERSION = 1;
/** Above any entry (1 MiB) with room for the next feature level. */
const DATA_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** Entries in one append; far above what maxSizePerMessage lets through with the smallest entries. */
const ENTRIES_MAX = 1 << 20;

const KINDS = [
  "vote-request",
  "vote-response",
  "append",
  "append-response",
  "heartbeat",
  "heartbeat-response",
  "timeout-now",
  "read-index-request",
  "read-index-response",
] as const satisfies readonly Message["kind"][];

/** A message as bytes: version, kind, from, to, term, then the kind's own fields; all little-endian. */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(message.kind === "append" ? sizeOfAppend(message) : 80);
  writer.u8(MESSAGE_VERSION);
  writer.u8(KINDS.indexOf(message.kind));
  writer.raftId(message.from);
  writer.raftId(message.to);
  writer.integer(message.term);
  switch (message.kind) {
    case "vote-request":
      writer.u8((message.preVote ? 1 : 0) | (message.transfer ? 2 : 0));
      writer.integer(message.electionTerm);
      writer.integer(message.lastIndex);
      writer.integer(message.lastTerm);
      break;
    case "vote-response":
      writer.u8((message.preVote ? 1 : 0) | (message.granted ? 2 : 0) | (message.sticky ? 4 : 0));
      writer.integer(message.electionTerm);
      break;
    case "append":
      writer.integer(message.previousIndex);
      writer.integer(message.previousTerm);
      writer.integer(message.commit);
      writer.u32(message.entries.length);
      for (const entry of message.entries) {
        writer.integer(entry.term);
        writer.u8(entry.kind === "membership" ? 1 : 0);
        writer.bytes(entry.data);
      }
      break;
    case "append-response":
      writer.u8(message.rejected ? 1 : 0);
      writer.integer(message.index);
      writer.integer(message.hintIndex);
      writer.integer(message.hintTerm);
      break;
    case "heartbeat":
      writer.integer(message.round);
      writer.integer(message.commit);
      writer.integer(message.commitTerm);
      writer.integer(message.promiseMs);
      break;
    case "heartbeat-response":
      writer.integer(message.round);
      writer.integer(message.promiseMs);
      break;
    case "timeout-now":
      break;
    case "read-index-request":
      writer.integer(message.context);
      break;
    case "read-index-response":
      writer.integer(message.context);
      writer.integer(message.index);
      break;
  }
  return writer.done();
}

/**
 * Inverse of {@link encodeMessage}. Entries' data are views into `bytes`, not copies. Throws MalformedError on anything
 * that no box could have sent.
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== MESSAGE_VERSION) throw new MalformedError(`Cannot read message: version ${version} is unknown`);
  const code = reader.u8();
  const kind = KINDS[code];
  if (kind === undefined) throw new MalformedError(`Cannot read message: kind ${code} is unknown`);
  const from = reader.raftId();
  const to = reader.raftId();
  const term = reader.integer();
  const message = decodeBody(reader, kind, from, to, term);
  reader.end();
  return message;
}

function decodeBody(reader: ByteReader, kind: Message["kind"], from: string, to: string, term: number): Message {
  switch (kind) {
    case "vote-request": {
      const flags = readFlags(reader, 3);
      const electionTerm = reader.integer();
      const lastIndex = reader.integer();
      const lastTerm = reader.integer();
      const preVote = (flags & 1) !== 0;
      if (electionTerm !== (preVote ? term + 1 : term)) {
        throw new MalformedError(`Cannot read vote request: election term ${electionTerm} does not fit term ${term}`);
      }
      return { kind, from, to, term, preVote, transfer: (flags & 2) !== 0, electionTerm, lastIndex, lastTerm };
    }
    case "vote-response": {
      const flags = readFlags(reader, 7);
      const preVote = (flags & 1) !== 0;
      const granted = (flags & 2) !== 0;
      return { kind, from, to, term, preVote, granted, sticky: (flags & 4) !== 0, electionTerm: reader.integer() };
    }
    case "append":
      return decodeAppend(reader, from, to, term);
    case "append-response": {
      const rejected = reader.flag();
      const index = reader.integer();
      const hintIndex = reader.integer();
      return { kind, from, to, term, rejected, index, hintIndex, hintTerm: reader.integer() };
    }
    case "heartbeat": {
      const round = reader.integer();
      const commit = reader.integer();
      const commitTerm = reader.integer();
      return { kind, from, to, term, round, commit, commitTerm, promiseMs: reader.integer() } satisfies Heartbeat;
    }
    case "heartbeat-response": {
      const round = reader.integer();
      return { kind, from, to, term, round, promiseMs: reader.integer() } satisfies HeartbeatResponse;
    }
    case "timeout-now":
      return { kind, from, to, term };
    case "read-index-request":
      return { kind, from, to, term, context: reader.integer() };
    case "read-index-response": {
      const context = reader.integer();
      return { kind, from, to, term, context, index: reader.integer() };
    }
  }
}

function decodeAppend(reader: ByteReader, from: string, to: string, term: number): Append {
  const previousIndex = reader.integer();
  const previousTerm = reader.integer();
  const commit = reader.integer();
  const count = reader.u32();
  if (count > ENTRIES_MAX)
    throw new MalformedError(`Cannot read append: ${count} entries, the limit is ${ENTRIES_MAX}`);
  const entries: LogEntry[] = [];
  let least = previousTerm;
  for (let i = 0; i < count; i++) {
    const entryTerm = reader.integer();
    if (entryTerm < least || entryTerm > term) {
      throw new MalformedError(`Cannot read append: entry term ${entryTerm} is outside ${least} … ${term}`);
    }
    least = entryTerm;
    const kind = reader.flag() ? "membership" : "normal";
    entries.push({ term: entryTerm, index: previousIndex + 1 + i, kind, data: reader.bytes(DATA_SIZE_BYTES_MAX) });
  }
  return { kind: "append", from, to, term, previousIndex, previousTerm, commit, entries };
}

function readFlags(reader: ByteReader, largest: number): number {
  const flags = reader.u8();
  if (flags > largest) throw new MalformedError(`Cannot read flags: ${flags} is over ${largest}`);
  return flags;
}

function sizeOfAppend(message: Append): number {
  let size = 64;
  for (const entry of message.entries) size += entry.data.length + 13;
  return size;
}
