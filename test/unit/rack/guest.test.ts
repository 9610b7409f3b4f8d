import { test } from "uvu";
import * as assert from "uvu/assert";
import { bootSector } from "../../support/rack/guest/boot-sector.ts";
import { cpio } from "../../support/rack/guest/cpio.ts";
import { doubleRun, parseRecord } from "../../support/rack/guest/record.ts";

const records = (bootIds: string) => [...bootIds].map((bootId, number) => ({ number, bootId, counter: 0 }));

test("boots one after another are no double run", () => {
  assert.equal(doubleRun(records("AAABBBC")), []);
  assert.equal(doubleRun([]), []);
});

test("a boot that writes again after another one began is a double run of the two", () => {
  assert.equal([...doubleRun(records("AAABA"))].sort(), ["A", "B"]);
  assert.equal([...doubleRun(records("AABCBC"))].sort(), ["B", "C"]);
});

test("a record is read back, and a sector that never had one is none", () => {
  const sector = new Uint8Array(512);
  assert.is(parseRecord(sector), undefined);
  sector.set(new TextEncoder().encode("RFG1 0000001F 0954050007B6B9FC 0000000A\n"));
  assert.equal(parseRecord(sector), { number: 31, bootId: "0954050007B6B9FC", counter: 10 });
  sector[5] = 0x78;
  assert.is(parseRecord(sector), undefined, "half-written");
});

test("the boot sector is 512 bytes with the BIOS's mark", () => {
  const bytes = bootSector();
  assert.is(bytes.length, 512);
  assert.equal([...bytes.subarray(510)], [0x55, 0xaa]);
});

test("a cpio archive has the kernel's header, aligned parts and an end", () => {
  const text = new TextDecoder("latin1").decode(
    cpio([{ path: "init", mode: 0o100755, bytes: new Uint8Array([65, 66, 67]) }]),
  );
  assert.match(text, /^070701.{8}000081ed/);
  assert.is(text.indexOf("ABC") % 4, 0);
  assert.is(text.indexOf("TRAILER!!!"), text.lastIndexOf("070701") + 110);
  assert.is(text.length % 4, 0);
});

test.run();
