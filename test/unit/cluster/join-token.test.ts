import { test } from "uvu";
import * as assert from "uvu/assert";
import { createSecret, decodeJoinToken, encodeJoinToken } from "../../../src/cluster/join-token.ts";

const token = {
  cluster: { lineage: "0123456789abcdef", generation: 1 },
  serverId: 2,
  secret: createSecret(),
  members: [{ address: "10.0.0.1:2636", certificateHash: "ab".repeat(32) }],
};

test("a token is one word that reads back", () => {
  const word = encodeJoinToken(token);
  assert.not.match(word, /\s/);
  assert.equal(decodeJoinToken(`  ${word}\n`), token);
});

test("a token that was cut when it was copied is refused with that hint", () => {
  const word = encodeJoinToken(token);
  assert.throws(() => decodeJoinToken(word.slice(0, 40)), /Cannot read join token/);
  assert.throws(() => decodeJoinToken("hello"), /Cannot read join token/);
});

test.run();
