import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Fitness } from "../../../src/cluster/fitness/policy.ts";
import { SIDE_PAYLOAD_BYTES_MAX } from "../../../src/cluster/frame.ts";
import type { ToldCheck } from "../../../src/cluster/state-check/policy.ts";
import { VERDICTS_MAX } from "../../../src/monitor/verdict-codec.ts";
import { decodeSideReport, encodeSideReport, toldCheck } from "../../../src/parts/side-report.ts";

const checks: readonly ToldCheck[] = [1024, 2048].map((index) =>
  toldCheck({
    ...{ index, comparable: "1/3", running: "ab".repeat(32) },
    content: index === 1024 ? "" : "cd".repeat(32),
  }),
);
const fitness: Fitness = { room: "enough", freeBytes: 0, durableMs: 0, hasState: true };

test("verdicts and BMC lives travel together, seconds rounded down", () => {
  const verdicts = Uint8Array.from([1, 2, 3]);
  const bmcs = [
    { hostId: 7, answeringForMs: 61_999, wasSilent: false },
    { hostId: 4_000_000_000, answeringForMs: 1e9, wasSilent: true },
  ];
  const report = decodeSideReport(encodeSideReport({ fitness, checks, verdicts, bmcs }));
  assert.equal([...(report?.verdicts ?? [])], [1, 2, 3]);
  assert.equal(report?.bmcs, [
    { hostId: 7, answeringForMs: 61_000, wasSilent: false },
    { hostId: 4_000_000_000, answeringForMs: 16_383_000, wasSilent: true },
  ]);
});

test("the largest verdicts still fit; BMC lives take what room is left", () => {
  const verdicts = new Uint8Array(4 + VERDICTS_MAX * 13);
  const bmcs = Array.from({ length: 1000 }, (_, hostId) => ({ hostId, answeringForMs: 0, wasSilent: false }));
  const bytes = encodeSideReport({ fitness, checks, verdicts, bmcs });
  assert.ok(bytes.length <= SIDE_PAYLOAD_BYTES_MAX);
  assert.is(decodeSideReport(bytes)?.verdicts.length, verdicts.length);
  assert.ok(
    (decodeSideReport(encodeSideReport({ fitness, checks, verdicts: new Uint8Array(0), bmcs }))?.bmcs.length ?? 0) >
      600,
  );
});

test("what a box tells of its disk arrives, rounded to the side of caution", () => {
  for (const room of ["enough", "low", "full"] as const) {
    const told = decodeSideReport(
      encodeSideReport({
        fitness: { room, freeBytes: 5 * 1024 * 1024 - 1, durableMs: 1.2, hasState: room !== "low" },
        checks: [],
        verdicts: Uint8Array.from([9]),
        bmcs: [],
      }),
    );
    assert.equal(told?.fitness, { room, freeBytes: 4 * 1024 * 1024, durableMs: 2, hasState: room !== "low" });
    assert.equal([...(told?.verdicts ?? [])], [9]);
  }
});

test("the newest two checks of the state arrive", () => {
  const verdicts = Uint8Array.from([9]);
  const told = decodeSideReport(
    encodeSideReport({ fitness, checks: [{ ...checks[0], index: 5 } as ToldCheck, ...checks], verdicts, bmcs: [] }),
  );
  assert.equal(told?.checks, checks);
  assert.equal(
    told?.checks.map(({ content }) => content.length),
    [0, 32],
  );
  assert.equal([...(told?.verdicts ?? [])], [9]);
});

test("anything else is no report", () => {
  const good = encodeSideReport({ fitness, checks, verdicts: Uint8Array.from([1]), bmcs: [] });
  const unknownRoom = Uint8Array.from(good);
  unknownRoom[4] = 9;
  for (const bad of [new Uint8Array(0), good.subarray(1), Uint8Array.from([...good, 0]), unknownRoom])
    assert.is(decodeSideReport(bad), undefined);
});

test.run();
