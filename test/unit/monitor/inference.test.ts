import { test } from "uvu";
import * as assert from "uvu/assert";
import { type BoxReport, type HostInference, infer, REPORT_AGE_MS_MAX } from "../../../src/monitor/inference.ts";
import { DEFAULT_LIMITS, type HostVerdict } from "../../../src/monitor/machine.ts";

const HOST = 7;
const NOW = 100_000;

/** One box's report on the host: `quiet` ms of silence (null: never heard), written `late` ms ago. */
interface Said {
  readonly box: number;
  readonly quiet: number | null;
  readonly late?: number;
  readonly alone?: boolean;
  readonly bmc?: HostVerdict["bmc"];
  readonly storage?: HostVerdict["storage"]["kind"];
  readonly libvirt?: number;
  readonly disk?: number;
}

function report(said: Said): BoxReport {
  const limit = said.bmc === "off" ? 1000 : 2000;
  const verdict: HostVerdict = {
    hostId: HOST,
    kind: said.quiet === null || said.quiet > limit ? "suspect" : "answering",
    answerAgeMs: said.quiet,
    libvirtAgeMs: said.libvirt ?? said.quiet,
    diskAgeMs: said.disk ?? said.quiet,
    counts: said.alone !== true,
    bmc: said.bmc ?? "unknown",
    storage: { kind: said.storage ?? "unknown", ageMs: 0 },
  };
  const writtenAt = NOW - (said.late ?? 0);
  return { boxId: said.box, writtenAt, verdicts: new Map([[HOST, verdict]]), isTruncated: false };
}

function judge(voters: number[], ...said: Said[]): HostInference {
  return infer(HOST, voters, said.map(report), DEFAULT_LIMITS, NOW);
}

const THREE = [1, 2, 3];
const FIVE = [1, 2, 3, 4, 5];

const table: readonly [string, HostInference["kind"], HostInference][] = [
  ["all three hear it", "up", judge(THREE, { box: 1, quiet: 100 }, { box: 2, quiet: 300 }, { box: 3, quiet: 400 })],
  [
    "all three miss it",
    "down",
    judge(THREE, { box: 1, quiet: 2100 }, { box: 2, quiet: 2200 }, { box: 3, quiet: 2300 }),
  ],
  ["two of three miss it, the third is dead", "down", judge(THREE, { box: 1, quiet: 2100 }, { box: 2, quiet: 2200 })],
  ["one of three misses it, the others are dead", "undecided", judge(THREE, { box: 1, quiet: 9000 })],
  [
    "one fresh answer vetoes two that miss it",
    "up",
    judge(THREE, { box: 1, quiet: 9000 }, { box: 2, quiet: 9000 }, { box: 3, quiet: 400 }),
  ],
  [
    "an answer at a box that is no voter vetoes, too",
    "up",
    judge(THREE, { box: 1, quiet: 9000 }, { box: 2, quiet: 9000 }, { box: 3, quiet: 9000 }, { box: 9, quiet: 400 }),
  ],
  [
    "a box that hears nobody is the sick one: its word does not count",
    "undecided",
    judge(THREE, { box: 1, quiet: 2100 }, { box: 2, quiet: 2200, alone: true }),
  ],
  [
    "two sick boxes of three never make a host down",
    "undecided",
    judge(THREE, { box: 1, quiet: 9000, alone: true }, { box: 2, quiet: 9000, alone: true }, { box: 3, quiet: 9000 }),
  ],
  [
    "the leader alone behind a cut hears nobody and decides nothing",
    "undecided",
    judge(
      THREE,
      { box: 1, quiet: 9000, alone: true },
      { box: 2, quiet: 100, late: 8000 },
      { box: 3, quiet: 100, late: 8000 },
    ),
  ],
  [
    "reports older than 1 s are no votes",
    "undecided",
    judge(THREE, { box: 1, quiet: 5000 }, { box: 2, quiet: 5000, late: 1100 }, { box: 3, quiet: 5000, late: 1500 }),
  ],
  [
    "an old report of a young answer still vetoes while that answer is young",
    "up",
    judge(THREE, { box: 1, quiet: 5000 }, { box: 2, quiet: 5000 }, { box: 3, quiet: 100, late: 1500 }),
  ],
  [
    "a box that has just fallen silent neither votes nor vetoes",
    "undecided",
    judge(THREE, { box: 1, quiet: 2100 }, { box: 2, quiet: 1900, late: 200 }, { box: 3, quiet: 1950, late: 100 }),
  ],
  [
    "three of five miss it, two are dead",
    "down",
    judge(FIVE, { box: 1, quiet: 3000 }, { box: 2, quiet: 3000 }, { box: 3, quiet: 3000 }),
  ],
  ["two of five miss it, three are dead", "undecided", judge(FIVE, { box: 1, quiet: 3000 }, { box: 2, quiet: 3000 })],
  [
    "boxes that are not voters do not vote",
    "undecided",
    judge(THREE, { box: 1, quiet: 3000 }, { box: 8, quiet: 3000 }, { box: 9, quiet: 3000 }),
  ],
  [
    "BMC off: 1 s of silence is enough",
    "down",
    judge(THREE, { box: 1, quiet: 1100, bmc: "off" }, { box: 2, quiet: 1100 }, { box: 3, quiet: 1050 }),
  ],
  [
    "BMC off never overrides an answer",
    "up",
    judge(THREE, { box: 1, quiet: 100, bmc: "off" }, { box: 2, quiet: 3000, bmc: "off" }, { box: 3, quiet: 3000 }),
  ],
  [
    "one BMC answer on outweighs an off",
    "undecided",
    judge(THREE, { box: 1, quiet: 1900, late: 150, bmc: "off" }, { box: 2, quiet: 1900, late: 150, bmc: "on" }),
  ],
  [
    "silent to all with a storage beat: isolated",
    "isolated",
    judge(THREE, { box: 1, quiet: 3000, storage: "beating" }, { box: 2, quiet: 3000 }, { box: 3, quiet: 3000 }),
  ],
  [
    "silent to all and powered on: isolated",
    "isolated",
    judge(THREE, { box: 1, quiet: 3000, bmc: "on" }, { box: 2, quiet: 3000 }),
  ],
  [
    "powered on, and the storage beat has stopped: down, it hangs",
    "down",
    judge(THREE, { box: 1, quiet: 4000, bmc: "on", storage: "stopped" }, { box: 2, quiet: 4000 }),
  ],
  [
    "never heard by two boxes after a restart of both, missed by the third",
    "down",
    judge(THREE, { box: 1, quiet: null }, { box: 2, quiet: 2500 }),
  ],
  ["nobody has reported", "undecided", judge(THREE)],
];

for (const [name, kind, result] of table) {
  test(`${name}: ${kind}`, () => assert.is(result.kind, kind, JSON.stringify(result)));
}

test("a down verdict names its witnesses, the shortest silence and the evidence", () => {
  const result = judge(
    THREE,
    { box: 1, quiet: 2100, bmc: "off" },
    { box: 3, quiet: 2600 },
    { box: 2, quiet: 2200, alone: true },
  );
  assert.equal(result, {
    kind: "down",
    evidence: { boxes: [1, 3], votersInForce: 3, silentMs: 2100, bmc: "off", storage: "unknown" },
  });
});

test("an undecided verdict says what each box lacks", () => {
  const result = judge(THREE, { box: 1, quiet: 2100 }, { box: 2, quiet: 2200, alone: true });
  assert.is(
    result.kind === "undecided" && result.reason,
    "2 of 3 boxes must miss it: box 1 does not hear it, box 2 hears nobody, box 3 has not reported",
  );
});

test("a host that some boxes miss is up, and they are named", () => {
  const result = judge(THREE, { box: 1, quiet: 9000 }, { box: 2, quiet: 200 }, { box: 3, quiet: 400 });
  assert.equal(result.kind === "up" && result.unheardBy, [1]);
});

test("degraded is told by the youngest age of all boxes, with its reason", () => {
  const sick = judge(
    THREE,
    { box: 1, quiet: 100, libvirt: 61_000 },
    { box: 2, quiet: 100, libvirt: 63_000, disk: 50_000 },
  );
  assert.is(sick.kind === "up" && sick.degraded, "libvirtd has not answered for 61 s");
  const well = judge(THREE, { box: 1, quiet: 100, libvirt: 61_000 }, { box: 2, quiet: 100, libvirt: 1000 });
  assert.is(well.kind === "up" && well.degraded, undefined);
});

test("a box whose report had no room for the host blocks the verdict, as it may hear it", () => {
  const blind: BoxReport = { boxId: 3, writtenAt: NOW, verdicts: new Map(), isTruncated: true };
  const reports = [report({ box: 1, quiet: 9000 }), report({ box: 2, quiet: 9000 }), blind];
  assert.is(infer(HOST, THREE, reports, DEFAULT_LIMITS, NOW).kind, "undecided");
  const gone = { ...blind, writtenAt: NOW - REPORT_AGE_MS_MAX - 1 };
  const without = [...reports.slice(0, 2), gone];
  assert.is(infer(HOST, THREE, without, DEFAULT_LIMITS, NOW).kind, "down", "but not when it has left");
});

test.run();
