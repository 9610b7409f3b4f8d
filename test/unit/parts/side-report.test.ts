import { test } from "uvu";
import * as assert from "uvu/assert";
import { SIDE_PAYLOAD_BYTES_MAX } from "../../../src/cluster/frame.ts";
import { VERDICTS_MAX } from "../../../src/monitor/verdict-codec.ts";
import { decodeSideReport, encodeSideReport } from "../../../src/parts/side-report.ts";

test("verdicts and BMC lives travel together, seconds rounded down", () => {
  const verdicts = Uint8Array.from([1, 2, 3]);
  const bmcs = [
    { hostId: 7, answeringForMs: 61_999, wasSilent: false },
    { hostId: 4_000_000_000, answeringForMs: 1e9, wasSilent: true },
  ];
  const report = decodeSideReport(encodeSideReport({ verdicts, bmcs }));
  assert.equal([...(report?.verdicts ?? [])], [1, 2, 3]);
  assert.equal(report?.bmcs, [
    { hostId: 7, answeringForMs: 61_000, wasSilent: false },
    { hostId: 4_000_000_000, answeringForMs: 16_383_000, wasSilent: true },
  ]);
});

test("the largest verdicts still fit; BMC lives take what room is left", () => {
  const verdicts = new Uint8Array(4 + VERDICTS_MAX * 13);
  const bmcs = Array.from({ length: 1000 }, (_, hostId) => ({ hostId, answeringForMs: 0, wasSilent: false }));
  const bytes = encodeSideReport({ verdicts, bmcs });
  assert.ok(bytes.length <= SIDE_PAYLOAD_BYTES_MAX);
  assert.is(decodeSideReport(bytes)?.verdicts.length, verdicts.length);
  assert.ok((decodeSideReport(encodeSideReport({ verdicts: new Uint8Array(0), bmcs }))?.bmcs.length ?? 0) > 600);
});

test("anything else is no report", () => {
  const good = encodeSideReport({ verdicts: Uint8Array.from([1]), bmcs: [] });
  for (const bad of [new Uint8Array(0), good.subarray(1), Uint8Array.from([...good, 0])])
    assert.is(decodeSideReport(bad), undefined);
});

test.run();
