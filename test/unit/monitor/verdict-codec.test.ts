import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { HostVerdict } from "../../../src/monitor/machine.ts";
import {
  decodeVerdicts,
  encodeVerdicts,
  PAYLOAD_SIZE_BYTES_MAX,
  VERDICTS_MAX,
} from "../../../src/monitor/verdict-codec.ts";

const age = fc.option(fc.integer({ min: 0, max: 600_000 }), { nil: null });
const verdict: fc.Arbitrary<HostVerdict> = fc.record({
  hostId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  kind: fc.constantFrom("answering", "degraded", "suspect", "unheard"),
  answerAgeMs: age,
  libvirtAgeMs: age,
  diskAgeMs: age,
  counts: fc.boolean(),
  bmc: fc.constantFrom("on", "off", "unknown"),
  storage: fc.record({
    kind: fc.constantFrom("beating", "stopped", "unknown"),
    ageMs: fc.integer({ min: 0, max: 600_000 }),
  }),
});

test("verdicts survive the wire, with ages rounded down by less than their unit", () => {
  fc.assert(
    fc.property(fc.array(verdict, { maxLength: 20 }), (verdicts) => {
      const decoded = decodeVerdicts(encodeVerdicts(verdicts));
      assert.not(decoded.isTruncated);
      assert.is(decoded.verdicts.length, verdicts.length);
      decoded.verdicts.forEach((after, i) => {
        const before = verdicts[i];
        if (before === undefined) throw new Error("lost");
        for (const key of ["hostId", "kind", "counts", "bmc"] as const) assert.is(after[key], before[key]);
        assert.is(after.storage.kind, before.storage.kind);
        const near = (a: number | null, b: number | null, unitMs: number): void => {
          if (a === null || b === null) assert.is(a, b);
          else assert.ok(a <= b && b - a < unitMs, `${b} became ${a}`);
        };
        near(after.answerAgeMs, before.answerAgeMs, 10);
        near(after.libvirtAgeMs, before.libvirtAgeMs, 100);
        near(after.diskAgeMs, before.diskAgeMs, 100);
        near(after.storage.ageMs, before.storage.ageMs, 10);
      });
    }),
  );
});

const one: HostVerdict = {
  hostId: 1,
  kind: "suspect",
  answerAgeMs: 10_000_000,
  libvirtAgeMs: 1,
  diskAgeMs: null,
  counts: true,
  bmc: "off",
  storage: { kind: "unknown", ageMs: 0 },
};

test("an age beyond the range stays the longest age and does not become never", () => {
  assert.is(decodeVerdicts(encodeVerdicts([one])).verdicts[0]?.answerAgeMs, 655_340);
});

test("100 hosts fit into 4 KiB, and a report that leaves hosts out says so", () => {
  assert.ok(encodeVerdicts(Array.from({ length: 100 }, () => one)).byteLength <= PAYLOAD_SIZE_BYTES_MAX);
  const over = encodeVerdicts(Array.from({ length: VERDICTS_MAX + 1 }, () => one));
  assert.ok(over.byteLength <= PAYLOAD_SIZE_BYTES_MAX);
  assert.ok(decodeVerdicts(over).isTruncated);
});

test("bytes that no box wrote are refused, never half read", () => {
  const good = encodeVerdicts([one]);
  for (const bytes of [new Uint8Array(0), good.slice(0, -1), Uint8Array.of(9, ...good.slice(1)), new Uint8Array(4)]) {
    assert.throws(() => decodeVerdicts(bytes), /Cannot read verdicts/);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeVerdicts(bytes);
      } catch (error) {
        assert.match(String(error), "Cannot read verdicts");
      }
    }),
  );
});

test.run();
