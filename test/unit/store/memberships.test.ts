import { test } from "uvu";
import * as assert from "uvu/assert";
import { Memberships } from "../../../src/store/log/memberships.ts";

const record = (index: number, byte = index) => ({ index, bytes: new Uint8Array([byte]) });

function of(...indexes: number[]): Memberships {
  const memberships = new Memberships();
  for (const index of indexes) memberships.add(record(index));
  return memberships;
}

const indexes = (memberships: Memberships): number[] => memberships.all().map(({ index }) => index);

test("an older record that is repeated takes no newer one away", () => {
  // A new segment repeats all of them; its first group was torn after the first.
  const memberships = of(2, 8);
  memberships.add(record(2));
  assert.equal(indexes(memberships), [2, 8]);
  assert.is(memberships.newest()?.index, 8);
});

test("of one index the last word counts", () => {
  const memberships = of(2, 8);
  memberships.add(record(8, 99));
  assert.equal(memberships.newest(), record(8, 99));
});

test("a truncation takes the memberships of its entries", () => {
  const memberships = of(2, 8);
  memberships.truncate(8);
  assert.equal(indexes(memberships), [2]);
});

test("a snapshot's takes the place of older ones; newer ones stay", () => {
  const memberships = of(2, 8);
  memberships.startFrom(record(5));
  assert.equal(indexes(memberships), [5, 8]);
});

test("what is settled keeps the newest at or below, and all after it", () => {
  const memberships = of(2, 5, 8);
  memberships.settle(6);
  assert.equal(indexes(memberships), [5, 8]);
  assert.is(memberships.newestAt(7)?.index, 5);
});

test.run();
