import { test } from "uvu";
import * as assert from "uvu/assert";
import { FENCE_POLICY_DEFAULT, firstShut } from "../../../src/fence/policy.ts";
import type { FencePorts } from "../../../src/fence/ports.ts";
import type { FenceRow } from "../../../src/fence/record.ts";
import { lostReason, surveyHosts } from "../../../src/fence/survey.ts";
import type { HostRow } from "../../../src/one/host/row.ts";
import type { Query } from "../../../src/one/query.ts";
import type { VmRow } from "../../../src/one/vm/row.ts";
import { hostRow, vmRow } from "../scheduler/fixtures.ts";
import { DOWN, RECORD } from "./fixtures.ts";

const FENCE = JSON.stringify([{ ADDRESS: "10.0.0.9" }]);

/** What the machine of host 3 is to see: host 4 is its neighbour, everything else as given. */
async function lookAt(
  host: Partial<HostRow>,
  more: { vms?: VmRow[]; record?: FenceRow; room?: number; neighbour?: "alive" | "suspect" | "down" } = {},
) {
  const tables: [RegExp, readonly object[]][] = [
    [/FROM host /, [hostRow(3, { fence: FENCE, ...host }), hostRow(4, { total_cpu: more.room ?? 400 })]],
    [/FROM fence ORDER/, more.record === undefined ? [] : [more.record]],
    [/FROM fence_binding/, [{ host_id: 3, guid: "3fa85f6457174562b3fc2c963f66afa6", uuid: "", bound_by: "" }]],
    [/FROM fence_setting/, [{ armed: 1, changed_by: "", why: "" }]],
    [/FROM vm /, more.vms ?? []],
  ];
  const ports = {
    read: async <R>(query: Query<R>) => (tables.find(([text]) => text.test(query.sql))?.[1] ?? []) as readonly R[],
    monitor: {
      judgement: (hostId: number) =>
        ({ ...DOWN, verdict: hostId === 3 ? "down" : (more.neighbour ?? "alive") }) as const,
    },
    lease: { remainingMs: () => 500 },
    clock: { now: () => 100_000, wall: () => 0 },
    methods: new Map([["ipmi", {}]]),
  } as unknown as FencePorts;
  const { hosts } = await surveyHosts(ports, FENCE_POLICY_DEFAULT, []);
  const found = hosts.find((survey) => survey.host.id === 3);
  if (found === undefined) throw new Error("host 3 was not surveyed");
  return { ...found.look, shut: firstShut(found.look.gates)?.gate };
}

test("a host in service that is down is asked for", async () => {
  const look = await lookAt({}, { vms: [vmRow(1, { host_id: 3 })] });
  assert.equal([look.isDealtWith, look.shut], [false, undefined]);
  assert.equal(look.levels, [{ level: 1, method: "ipmi" }]);
});

test("a host that was added and never heard is not fenced for a mistake in its address", async () => {
  assert.is((await lookAt({ state: 0 })).isDealtWith, true);
  assert.is((await lookAt({ state: 0 }, { vms: [vmRow(1, { host_id: 3 })] })).isDealtWith, false);
});

test("a disabled host without VMs has no record; one with VMs is held for a person", async () => {
  assert.is((await lookAt({ state: 4 })).isDealtWith, true);
  const look = await lookAt({ state: 4 }, { vms: [vmRow(1, { host_id: 3 })] });
  assert.equal([look.isDealtWith, look.shut], [false, "maintenance"]);
});

test("a failure that was dealt with is not begun again, another one is", async () => {
  const record: FenceRow = { ...RECORD, state: "CLOSED", failure: 5, report: "{}" };
  assert.is((await lookAt({ state: 3, error: lostReason(5) }, { record })).isDealtWith, true);
  assert.is((await lookAt({ state: 3, error: "ssh: no route" }, { record })).isDealtWith, false);
  assert.is((await lookAt({ state: 2 }, { record })).isDealtWith, false);
});

test("a host that was never off and dies again before it is back in service is not taken for dealt with", async () => {
  const record: FenceRow = { ...RECORD, state: "CLOSED", failure: 5 };
  assert.is((await lookAt({ state: 3, error: lostReason(5) }, { record })).isDealtWith, false);
});

test("a host whose VMs fit nowhere is not powered off", async () => {
  assert.is((await lookAt({}, { vms: [vmRow(1, { host_id: 3 })], room: 50 })).shut, "capacity");
});

test("a host is not powered off while no other one is heard: after a power cut they all are still starting", async () => {
  for (const neighbour of ["suspect", "down"] as const)
    assert.is((await lookAt({}, { vms: [vmRow(1, { host_id: 3 })], neighbour })).shut, "capacity");
});

test.run();
