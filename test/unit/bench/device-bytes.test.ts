import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { deviceBytes, majorOf, minorOf, sectorsWritten } from "../../bench/device-bytes.ts";

test("written sectors are the seventh figure of a device's stat", () => {
  const stat = "   21014   3  1513966 9042   88613   51205  7777777   93312   0   60432  110000 0 0 0 0 7645 7645\n";
  assert.is(sectorsWritten(stat), 7_777_777);
});

test("a device's number is taken apart as the kernel puts it together", () => {
  assert.equal([majorOf(0xfe00), minorOf(0xfe00)], [254, 0]);
  assert.equal([majorOf(0x10_0803), minorOf(0x10_0803)], [8, 0x103]);
});

test("what is synced to a file is counted at its device", () => {
  const directory = mkdtempSync("/var/tmp/ringfence-device-bytes-");
  try {
    const before = deviceBytes(directory);
    const file = openSync(`${directory}/file`, "w");
    for (let i = 0; i < 4; i++) writeSync(file, new Uint8Array(256 * 1024).fill(i + 1));
    fdatasyncSync(file);
    closeSync(file);
    assert.ok(deviceBytes(directory) - before >= 1024 * 1024);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a file system without a device is refused, not counted as 0", () => {
  assert.is(majorOf(statSync("/proc").dev), 0);
  assert.throws(() => deviceBytes("/proc"), /Cannot count device bytes of "\/proc"/);
});

test.run();
