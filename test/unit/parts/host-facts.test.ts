import { test } from "uvu";
import * as assert from "uvu/assert";
import type { HostRow } from "../../../src/one/host/row.ts";
import type { VmRow } from "../../../src/one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../../../src/one/vm/states.ts";
import { admittedBootId, factsOf, hostUuid, noteLine, stepFor, toldNothing } from "../../../src/parts/host-facts.ts";

const UUID = "11111111-2222-4333-8444-555555555555";
const rowWith = (facts: string): HostRow => ({ facts }) as HostRow;

test("a host is put to use only with its boot on the record, where a leader that never heard it finds it", () => {
  const told = toldNothing();
  assert.is(factsOf(told), undefined);
  noteLine(told, { kind: "hello", bootId: "b-1", cpus: 4, hasKvm: true, hostname: "h" });
  noteLine(told, { kind: "uuid", uuid: UUID });
  assert.is(factsOf(told), undefined);
  assert.ok(noteLine(told, { kind: "sample", memoryTotalKib: 5, memoryAvailableKib: 1, cpuTicks: 0, cpuIdleTicks: 0 }));
  const row = rowWith(factsOf(told)?.facts ?? "");
  assert.is(admittedBootId(row), "b-1");
  assert.is(hostUuid(toldNothing(), row), UUID);
  assert.is(admittedBootId(rowWith("")), "");
});

test("another boot makes other facts", () => {
  const told = { ...toldNothing(), cpus: 1, memoryTotalKib: 1, uuid: UUID, bootId: "b-1" };
  assert.is.not(factsOf(told)?.facts, factsOf({ ...told, bootId: "b-2" })?.facts);
});

test("a guest that ended leaves no VM in a state that nobody ends", () => {
  const gone = { kind: "gone", vmId: 1, hostId: 0, epoch: 2, reason: "r" } as const;
  for (const lcm_state of [LCM_STATE.boot, LCM_STATE.running, LCM_STATE.unknown, LCM_STATE.shutdown]) {
    const vm = { id: 1, version: 1, state: VM_STATE.active, lcm_state, host_id: 0, seq: 2, cpu: 1, memory: 1 } as VmRow;
    for (const cause of ["shutdown", "destroyed", "crashed", "unknown"] as const)
      assert.ok(stepFor({ ...gone, cause }, vm, 0)?.ok, `${lcm_state} ${cause}`);
  }
});

test.run();
