import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeFrame, FrameReader, frameType, HELLO_BYTES_MAX } from "../../../src/cluster/frame.ts";

test("frames survive any cutting of the stream", () => {
  const frames = [
    encodeFrame(frameType.raft, Buffer.from("one")),
    encodeFrame(frameType.ping, Buffer.alloc(0)),
    encodeFrame(frameType.side, Buffer.alloc(3000, 7)),
  ];
  const bytes = Buffer.concat(frames);
  for (const size of [1, 2, 7, 9, 64, bytes.length]) {
    const reader = new FrameReader();
    const seen: [number, number][] = [];
    for (let at = 0; at < bytes.length; at += size)
      reader.push(bytes.subarray(at, at + size), (type, payload) => seen.push([type, payload.length]));
    assert.equal(seen, [
      [frameType.raft, 3],
      [frameType.ping, 0],
      [frameType.side, 3000],
    ]);
  }
});

test("a large frame in small pieces is put together once: its cost grows with its length, not with the square of it", () => {
  const bytes = encodeFrame(frameType.request, Buffer.alloc(4 * 1024 * 1024, 7));
  const reader = new FrameReader();
  const { concat } = Buffer;
  let copied = 0;
  let seen = 0;
  // Counted, not timed: memory of this size costs what the machine's caches make of it.
  Buffer.concat = (list, length) => {
    copied += list.reduce((sum, each) => sum + each.length, 0);
    return concat(list, length);
  };
  try {
    for (let at = 0; at < bytes.length; at += 4096)
      reader.push(bytes.subarray(at, at + 4096), (_type, payload) => {
        seen = payload.length;
      });
  } finally {
    Buffer.concat = concat;
  }
  assert.is(seen, 4 * 1024 * 1024);
  // Once for the first pieces, to learn the length, and once for the whole. Every piece copying all before it: 512 times.
  assert.ok(copied < 2 * bytes.length, `${copied} bytes were copied for a frame of ${bytes.length}`);
});

test("a flipped bit ends the connection", () => {
  const frame = encodeFrame(frameType.raft, Buffer.from("payload"));
  frame[12] = (frame[12] ?? 0) ^ 1;
  assert.throws(() => new FrameReader().push(frame, () => undefined), /CRC differs/);
});

test("a length beyond the limit is refused before it is waited for", () => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x7fffffff, 0);
  assert.throws(() => new FrameReader().push(head, () => undefined), /length 2147483647/);
});

test("a stranger may fill less memory than a member", () => {
  const large = encodeFrame(frameType.hello, Buffer.alloc(HELLO_BYTES_MAX));
  assert.throws(() => new FrameReader(HELLO_BYTES_MAX).push(large, () => undefined), /is not in 1/);
  const trusting = new FrameReader(HELLO_BYTES_MAX);
  trusting.trust();
  let seen = 0;
  trusting.push(large, (_type, payload) => {
    seen = payload.length;
  });
  assert.is(seen, HELLO_BYTES_MAX);
});

test.run();
