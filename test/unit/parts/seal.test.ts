import { randomBytes } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createSeal } from "../../../src/parts/seal.ts";

test("a sealed secret opens with the cluster's key only", () => {
  const seal = createSeal(randomBytes(32));
  const sealed = seal.seal("päss:word");
  assert.is(seal.unseal(sealed), "päss:word");
  assert.throws(() => createSeal(randomBytes(32)).unseal(sealed), /another cluster.key/);
});

test("the same secret never seals to the same text, and the text does not carry it", () => {
  const seal = createSeal(randomBytes(32));
  const [a, b] = [seal.seal("calvin"), seal.seal("calvin")];
  assert.is.not(a, b);
  assert.not.match(Buffer.from(a.slice(7), "base64").toString("latin1"), "calvin");
});

test("a changed byte is noticed, and so is plain text", () => {
  const seal = createSeal(randomBytes(32));
  const bytes = Buffer.from(seal.seal("calvin").slice(7), "base64");
  bytes[14] = (bytes[14] ?? 0) ^ 1;
  assert.throws(() => seal.unseal(`sealed:${bytes.toString("base64")}`), /Cannot read a sealed secret/);
  assert.throws(() => seal.unseal("calvin"), /Cannot read a sealed secret/);
});

test.run();
