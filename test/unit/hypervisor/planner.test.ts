import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  HELD_ELSEWHERE_MS,
  type HeldDomain,
  type HostAction,
  type HostView,
  planHost,
  planStrays,
  UNSURE_SETTLE_MS,
  type VmMemory,
  type VmRecord,
  type WantedVm,
} from "../../../src/hypervisor/planner.ts";

const NOW = 1_000_000;
const blank: VmMemory = {
  epoch: 3,
  wasSeen: false,
  wasDeployed: false,
  unsure: undefined,
  failures: 0,
  retryAt: 0,
  failure: undefined,
  shutdownAskedAt: undefined,
  stop: undefined,
  heldSince: undefined,
};

interface Given {
  readonly phase?: WantedVm["phase"];
  readonly domain?: Partial<HeldDomain>;
  readonly memory?: Partial<VmMemory>;
  readonly elsewhere?: number;
  /** How long this leader has looked at hosts. */
  readonly ledMs?: number;
}

/** VM 7 in epoch 3 on host 1. */
function plan(given: Given): HostAction | undefined {
  const view: HostView = {
    hostId: 1,
    now: NOW,
    startedAt: NOW - (given.ledMs ?? 3_600_000),
    wanted: [{ vmId: 7, epoch: 3, phase: given.phase ?? "boot" }],
    domains: given.domain === undefined ? [] : [{ vmId: 7, epoch: 3, isActive: true, ...given.domain }],
    record: () => ({ kind: "placed", hostId: 1, epoch: 3 }),
    memory: () => (given.memory === undefined ? undefined : { ...blank, ...given.memory }),
    runsElsewhere: () => given.elsewhere,
  };
  const actions = planHost(view);
  assert.ok(actions.length <= 1);
  return actions[0];
}

const table: readonly [string, Given, HostAction["kind"] | undefined][] = [
  ["wanted and absent is deployed", {}, "deploy"],
  ["wanted and there is adopted, not started again", { domain: {} }, "running"],
  ["a domain without a guest is not started beside", { domain: { isActive: false } }, "hold"],
  ["a domain of an older start is not started beside", { domain: { epoch: 2 } }, undefined],
  ["a domain of a newer start is left alone", { domain: { epoch: 4 } }, undefined],
  ["a VM that another host's list has is not started", { elsewhere: 2 }, "hold"],
  ["held back for 30 s: it is told", { elsewhere: 2, memory: { heldSince: NOW - HELD_ELSEWHERE_MS } }, "failed"],
  ["a running VM that is absent is told, never started", { phase: "running" }, "gone"],
  [
    "a VM that we started and that ended before the record knew is told, never started again",
    { memory: { wasSeen: true } },
    "gone",
  ],
  ["memory of another epoch does not count", { memory: { epoch: 2, wasSeen: true } }, "deploy"],
  ["an unsure start waits", { memory: { unsure: { absentSince: undefined, why: "x" } } }, undefined],
  [
    "an unsure start waits for lists without it over 10 s",
    { memory: { unsure: { absentSince: NOW - UNSURE_SETTLE_MS + 1, why: "x" } } },
    undefined,
  ],
  [
    "an unsure start that was absent for 10 s has failed",
    { memory: { unsure: { absentSince: NOW - UNSURE_SETTLE_MS, why: "x" } } },
    "failed",
  ],
  [
    "an unsure start is not told as gone either",
    { phase: "off", memory: { unsure: { absentSince: undefined, why: "x" } } },
    undefined,
  ],
  [
    "a failed start waits its time and is told meanwhile",
    { memory: { retryAt: NOW + 1, failure: "no disk" } },
    "failed",
  ],
  ["a refused start waits its time in silence", { memory: { retryAt: NOW + 1 } }, undefined],
  ["a failed start is tried again after its time", { memory: { retryAt: NOW, failure: "no disk" } }, "deploy"],
  ["shutdown presses the button", { phase: "shutdown", domain: {} }, "shutdown"],
  ["and not again within 10 s", { phase: "shutdown", domain: {}, memory: { shutdownAskedAt: NOW - 9999 } }, undefined],
  ["and again after 10 s", { phase: "shutdown", domain: {}, memory: { shutdownAskedAt: NOW - 10_000 } }, "shutdown"],
  ["shut down and absent is told", { phase: "shutdown" }, "gone"],
  ["off ends it", { phase: "off", domain: {} }, "destroy"],
  ["off and absent is told", { phase: "off" }, "gone"],
];

for (const [name, given, expected] of table) {
  test(name, () => assert.is(plan(given)?.kind, expected));
}

test("gone carries what libvirt said, and unknown when nobody saw it end", () => {
  const stop = { cause: "crashed", reason: "libvirt: stopped Failed" } as const;
  const told = plan({ phase: "running", memory: { wasSeen: true, stop } });
  assert.equal(told, { kind: "gone", vmId: 7, epoch: 3, ...stop });
  const missed = plan({ phase: "running" });
  assert.is(missed?.kind === "gone" && missed.cause, "unknown");
});

test("strays are what was given up, recorded elsewhere or deleted; never what is newer than the record", () => {
  const records: Record<number, VmRecord> = {
    1: { kind: "placed", hostId: 1, epoch: 3 },
    2: { kind: "placed", hostId: 1, epoch: 4 },
    3: { kind: "placed", hostId: 9, epoch: 3 },
    4: { kind: "none" },
    5: { kind: "placed", hostId: 1, epoch: 2 },
    6: { kind: "placed", hostId: 9, epoch: 2 },
  };
  const strays = planStrays({
    hostId: 1,
    domains: [1, 2, 3, 4, 5, 6].map((vmId) => ({ vmId, epoch: 3, isActive: true })),
    record: (vmId) => records[vmId] ?? { kind: "none" },
  });
  assert.equal(
    strays.map((stray) => stray.vmId),
    [2, 3, 4],
  );
  assert.ok(strays.every((stray) => stray.kind === "destroy" && stray.isStray));
});

test("a new leader that never saw the domain waits before it calls it gone: an earlier leader's start may still be read", () => {
  for (const phase of ["off", "shutdown"] as const) {
    assert.is(plan({ phase, ledMs: UNSURE_SETTLE_MS - 1 }), undefined);
    assert.is(plan({ phase, ledMs: UNSURE_SETTLE_MS })?.kind, "gone");
    assert.is(plan({ phase, ledMs: 0, memory: { wasSeen: true } })?.kind, "gone");
  }
  assert.is(plan({ phase: "running", ledMs: 0 })?.kind, "gone", "it was seen running: its start is over");
  assert.is(plan({ phase: "boot", ledMs: 0 })?.kind, "deploy", "libvirt lets only one of two starts on one host be");
});

test.run();
