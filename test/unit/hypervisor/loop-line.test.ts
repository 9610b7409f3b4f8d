import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LineSplitter } from "../../../src/hypervisor/line-splitter.ts";
import { parseLoopLine } from "../../../src/hypervisor/loop-line.ts";

test("a tick carries three ages as uptimes, and says when one is not known yet", () => {
  assert.equal(parseLoopLine("rf1 T 12 1234.56 1230.00 -"), {
    kind: "tick",
    sequence: 12,
    uptimeMs: 1_234_560,
    libvirtUptimeMs: 1_230_000,
    diskUptimeMs: null,
  });
});

test("the first line names the boot and the machine", () => {
  assert.equal(parseLoopLine("rf1 H 35bf-77 8 1 node one"), {
    kind: "hello",
    bootId: "35bf-77",
    cpus: 8,
    hasKvm: true,
    hostname: "node one",
  });
});

test("a sample adds the CPU's counters, guest time left out, idle and waiting together", () => {
  assert.equal(parseLoopLine("rf1 S 1000 400 10 1 5 70 3 1 1 2 99 99"), {
    kind: "sample",
    memoryTotalKib: 1000,
    memoryAvailableKib: 400,
    cpuTicks: 93,
    cpuIdleTicks: 73,
  });
});

test("a banner, a torn line and a line of another version are nothing", () => {
  for (const line of [
    "",
    "Welcome to Debian!",
    "rf1",
    "rf1 ",
    "rf2 T 1 2.00 - -",
    "rf1 T 12 1234",
    "rf1 T 1 x - -",
    "rf1 T 1 1e9 - -",
    "rf1 T -1 1.0 - -",
    "rf1 U short",
    "rf1 D ",
    "rf1 L -",
    "rf1 Z 1",
  ]) {
    assert.is(parseLoopLine(line), undefined, line);
  }
});

test("no line makes the parser throw", () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom("T", "H", "U", "S", "D", "L", "R", "E", "?"), (text, type) => {
      parseLoopLine(`rf1 ${type} ${text}`);
    }),
  );
});

test("lines come whole, however the bytes were cut, and a line without an end costs no memory", () => {
  const text = "rf1 R\nrf1 E zażółć\n";
  const bytes = new TextEncoder().encode(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line));
    splitter.push(bytes.slice(0, cut));
    splitter.push(bytes.slice(cut));
    assert.equal(lines, ["rf1 R", "rf1 E zażółć"]);
  }
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (let i = 0; i < 100; i++) splitter.push(new Uint8Array(1000).fill(65));
  splitter.push(new TextEncoder().encode("rf1 R\nrf1 R\n"));
  assert.equal(lines, ["rf1 R"], "the rest of the overlong line is dropped with it");
});

test.run();
