import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MalformedError } from "../../../src/raft/bytes.ts";
import { decodeMessage, encodeMessage } from "../../../src/raft/codec.ts";
import type { Message } from "../../../src/raft/messages.ts";

const raftId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => value.toString(16).padStart(16, "0"));
const number = fc.maxSafeNat();
const term = fc.integer({ min: 0, max: 2 ** 53 - 2 });

const message: fc.Arbitrary<Message> = fc
  .record({ from: raftId, to: raftId, term })
  .chain((envelope): fc.Arbitrary<Message> => {
    const make = <T>(fields: fc.Arbitrary<T>): fc.Arbitrary<T & typeof envelope> =>
      fields.map((given) => ({ ...given, ...envelope }));
    return fc.oneof(
      make(
        fc.record({
          kind: fc.constant("vote-request" as const),
          preVote: fc.boolean(),
          transfer: fc.boolean(),
          lastIndex: number,
          lastTerm: number,
        }),
      ).map((request) => ({ ...request, electionTerm: request.preVote ? request.term + 1 : request.term })),
      make(
        fc.record({
          kind: fc.constant("vote-response" as const),
          preVote: fc.boolean(),
          granted: fc.boolean(),
          sticky: fc.boolean(),
          electionTerm: number,
        }),
      ),
      make(
        fc.record({
          kind: fc.constant("append" as const),
          previousIndex: fc.nat(),
          previousTerm: fc.constant(0),
          commit: number,
          datas: fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.boolean()), { maxLength: 5 }),
        }),
      ).map(({ datas, ...append }) => ({
        ...append,
        entries: datas.map(([data, isMembership], i) => ({
          term: append.term,
          index: append.previousIndex + 1 + i,
          kind: isMembership ? ("membership" as const) : ("normal" as const),
          data,
        })),
      })),
      make(
        fc.record({
          kind: fc.constant("append-response" as const),
          rejected: fc.boolean(),
          index: number,
          hintIndex: number,
          hintTerm: number,
        }),
      ),
      make(
        fc.record({
          kind: fc.constant("heartbeat" as const),
          round: number,
          commit: number,
          commitTerm: number,
          promiseMs: number,
        }),
      ),
      make(fc.record({ kind: fc.constant("heartbeat-response" as const), round: number, promiseMs: number })),
      make(fc.record({ kind: fc.constant("timeout-now" as const) })),
      make(fc.record({ kind: fc.constant("read-index-request" as const), context: number })),
      make(fc.record({ kind: fc.constant("read-index-response" as const), context: number, index: number })),
    );
  });

test("every message survives its encoding", () => {
  return fc.assert(
    fc.property(message, (given) => {
      const decoded = decodeMessage(encodeMessage(given));
      assert.equal(normal(decoded), normal(given));
    }),
    { numRuns: 1000 },
  );
});

/** Plain arrays instead of views, so that equality looks at the bytes. */
function normal(given: Message): unknown {
  if (given.kind !== "append") return given;
  return { ...given, entries: given.entries.map((entry) => ({ ...entry, data: [...entry.data] })) };
}

test("every cut of a message is refused", () => {
  return fc.assert(
    fc.property(message, (given) => {
      const bytes = encodeMessage(given);
      for (let size = 0; size < bytes.length; size += 1 + Math.floor(bytes.length / 40)) {
        assert.throws(() => decodeMessage(bytes.subarray(0, size)), isMalformed);
      }
    }),
    { numRuns: 100 },
  );
});

test("any bytes give a message or a MalformedError, and nothing else", () => {
  return fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(8), (bytes, kind) => {
      const given = bytes.slice();
      if (given.length > 1) {
        given[0] = 1;
        given[1] = kind;
      }
      try {
        decodeMessage(given);
      } catch (error) {
        assert.ok(isMalformed(error), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("a count of entries that the bytes cannot hold is refused before anything is allocated for it", () => {
  const bytes = encodeMessage({
    kind: "append",
    from: "0000000000000001",
    to: "0000000000000002",
    term: 3,
    previousIndex: 0,
    previousTerm: 0,
    commit: 0,
    entries: [],
  });
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.length - 4, 0xffffffff, true);
  assert.throws(() => decodeMessage(bytes), /4294967295 entries/);
});

test("entry terms that fall, or pass the sender's term, are refused", () => {
  const entries = [
    { term: 3, index: 1, kind: "normal", data: new Uint8Array(0) },
    { term: 2, index: 2, kind: "normal", data: new Uint8Array(0) },
  ] as const;
  const base = { kind: "append", from: "0000000000000001", to: "0000000000000002", previousIndex: 0 } as const;
  const encode = (given: typeof entries | readonly (typeof entries)[number][], ownTerm: number): Uint8Array =>
    encodeMessage({ ...base, term: ownTerm, previousTerm: 0, commit: 0, entries: given });
  assert.throws(() => decodeMessage(encode(entries, 3)), /entry term 2/);
  assert.throws(() => decodeMessage(encode([entries[0]], 2)), /entry term 3/);
});

test("a message with bytes left over is refused", () => {
  const bytes = encodeMessage({ kind: "timeout-now", from: "0000000000000001", to: "0000000000000002", term: 1 });
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  assert.throws(() => decodeMessage(longer), /1 bytes are left over/);
});

function isMalformed(error: unknown): boolean {
  return error instanceof MalformedError;
}

test.run();
