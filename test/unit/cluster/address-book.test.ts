// Whom a box speaks with, and how one that missed changes of membership learns who leads.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { AddressBook, decodeMembershipAt } from "../../../src/cluster/address-book.ts";
import { type FrameType, frameType } from "../../../src/cluster/frame.ts";
import type { MembershipAt } from "../../../src/cluster/ports.ts";
import { Pump } from "../../../src/cluster/pump.ts";
import { encodeMessage as encode } from "../../../src/raft/codec.ts";
import { createNode } from "../../../src/raft/node.ts";
import { DEFAULT_TIMINGS } from "../../../src/raft/options.ts";
import { INITIAL_HARD_STATE } from "../../../src/raft/types.ts";
import { id, member, membershipOf } from "../../support/raft/group.ts";
import { MemoryLog } from "../../support/raft/memory-log.ts";

/** What box 3 slept through: 4 came, 1 went. */
const OLD: MembershipAt = { index: 5, value: membershipOf([1, 2, 3]) };
const NEW: MembershipAt = { index: 9, value: membershipOf([2, 3, 4]) };

const names = (book: AddressBook): string[] => book.members().map(({ raftId }) => raftId);

test("members of a newer membership may speak beside those in force, until the log has caught up", () => {
  const book = new AddressBook(OLD);
  assert.is(book.hear(NEW), "new");
  assert.equal(names(book), [1, 2, 3, 4].map(id));
  assert.is(book.hear(NEW), "known");
  book.putInForce(NEW);
  assert.equal(names(book), [2, 3, 4].map(id));
});

test("an older membership changes nothing, and its sender is told the one in force", () => {
  const book = new AddressBook(NEW);
  assert.is(book.hear(OLD), "answer");
  assert.equal(names(book), [2, 3, 4].map(id));
});

test("a box that moved is spoken to where the newer membership says", () => {
  const book = new AddressBook(OLD);
  const moved = { ...member(2), peerAddress: "10.9.9.9:2636" };
  const members = NEW.value.members.map((each) => (each.raftId === id(2) ? moved : each));
  book.hear({ index: 9, value: { ...NEW.value, members } });
  assert.is(book.members().find(({ raftId }) => raftId === id(2))?.address, "10.9.9.9:2636");
});

test("a membership survives the wire, and malformed bytes throw", () => {
  assert.equal(decodeMembershipAt(new AddressBook(NEW).encoded()), NEW);
  assert.throws(() => decodeMembershipAt(new Uint8Array([1, 2, 3])));
});

interface Sent {
  readonly to: string;
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

/** A pump of box `number`, whose frames go to a list. */
function createPump(number: number, membership: MembershipAt) {
  const box = {
    now: 1000,
    frames: [] as Sent[],
    members: [] as string[],
    removedAt: [] as number[],
    asks: (): Sent[] => box.frames.filter(({ type }) => type === frameType.members),
  };
  const log = new MemoryLog();
  const nothing = (): void => undefined;
  const pump = new Pump(
    {
      self: id(number),
      node: createNode({
        id: id(number),
        membership: membership.value,
        membershipIndex: membership.index,
        log,
        hardState: INITIAL_HARD_STATE,
        applied: 0,
        random: createPrng(number),
        options: { timings: DEFAULT_TIMINGS },
      }),
      log: { purgeTo: () => undefined, firstIndex: () => 1, sizeBytes: () => 0, append: nothing },
      peers: {
        send: (to, _channel, type, payload) => box.frames.push({ to, type, payload }) > 0,
        flush: nothing,
        setMembers: (members) => {
          box.members = members.map(({ raftId }) => raftId);
        },
        reachable: () => [],
        closeSnapshot: nothing,
      },
      gate: {
        beforeRound: nothing,
        roundConfirmed: nothing,
        leaderReady: nothing,
        leadershipLost: nothing,
        release: nothing,
        tick: nothing,
      },
      work: {
        committed: nothing,
        role: nothing,
        refused: nothing,
        membership: nothing,
        removed: (index) => void box.removedAt.push(index),
        side: nothing,
        request: nothing,
        response: nothing,
        snapshotNeeded: nothing,
        snapshot: nothing,
        log: nothing,
      },
      now: () => box.now,
      clockObstacle: () => undefined,
      publishLease: nothing,
      fatal: (error) => {
        throw error;
      },
      promiseMs: DEFAULT_TIMINGS.promiseMs,
    },
    { membership, commit: 0, applied: 0 },
  );
  const pass = (ms: number): void => {
    for (const end = box.now + ms; box.now < end; box.now += 5) pump.tick();
  };
  return { box, pump, pass };
}

test("a box that hears no leader asks the members it knows, and one that knows more lets it find the new ones", () => {
  const behind = createPump(3, OLD);
  const ahead = createPump(2, NEW);
  behind.pass(900);
  assert.is(behind.box.asks().length, 0, "an election may last that long");
  behind.pass(200);
  assert.equal(
    behind.box.asks().map(({ to }) => to),
    [id(1), id(2)],
  );
  const ask = behind.box.asks().find(({ to }) => to === id(2));
  ahead.pump.receive(id(3), frameType.members, Buffer.from(ask?.payload ?? []));
  const [answer] = ahead.box.asks();
  assert.is(answer?.to, id(3));
  assert.equal(behind.box.members, [1, 2, 3].map(id));
  behind.pump.receive(id(2), frameType.members, Buffer.from(answer?.payload ?? []));
  assert.equal(behind.box.members, [1, 2, 3, 4].map(id));
  assert.equal(behind.pump.status().voters, [1, 2, 3].map(id), "who counts is the log's affair");
});

test("a box that hears of a newer membership without itself knows that it was removed; of an older one it does not", () => {
  const told = new AddressBook(NEW).encoded();
  const removed = createPump(1, OLD);
  removed.pump.receive(id(2), frameType.members, Buffer.from(told));
  assert.equal(removed.box.removedAt, [NEW.index]);
  const kept = createPump(3, OLD);
  kept.pump.receive(id(2), frameType.members, Buffer.from(told));
  assert.equal(kept.box.removedAt, []);
  const added = createPump(4, NEW);
  added.pump.receive(id(2), frameType.members, Buffer.from(new AddressBook(OLD).encoded()));
  assert.equal(added.box.removedAt, [], "who does not know it yet is behind");
});

test("a box that hears its leader asks nobody", () => {
  const { box, pump, pass } = createPump(3, OLD);
  for (let beat = 0; beat < 30; beat++) {
    const append = { kind: "append", from: id(1), to: id(3), term: 1, previousIndex: 0, previousTerm: 0 } as const;
    pump.receive(id(1), frameType.raft, Buffer.from(encode({ ...append, commit: 0, entries: [] })));
    pass(100);
  }
  assert.is(box.asks().length, 0);
});

test.run();
