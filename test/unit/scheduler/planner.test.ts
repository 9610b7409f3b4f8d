import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { placeOf } from "../../../src/scheduler/fit.ts";
import { planPending, STARTS_PER_HOST_MAX } from "../../../src/scheduler/planner.ts";
import { demand, hostRow } from "./fixtures.ts";

test("a plan never promises more than a host has", () => {
  const random = createPrng(1);
  for (let round = 0; round < 200; round++) {
    const hosts = [0, 1, 2].map((id) =>
      hostRow(id, { cpu_usage: random.range(0, 450), mem_usage: random.range(0, 4_500) }),
    );
    const demands = Array.from({ length: 12 }, (_, id) =>
      demand(id, { cpu: random.range(1, 200), memory: random.range(1, 2_000) }),
    );
    const plan = planPending(
      demands,
      hosts.map((host) => placeOf(host, {}, "")),
    );
    for (const host of hosts) {
      const own = plan.starts.filter(({ hostId }) => hostId === host.id).map(({ vmId }) => demands[vmId]);
      const cpu = own.reduce((sum, vm) => sum + (vm?.cpu ?? 0), 0);
      const memory = own.reduce((sum, vm) => sum + (vm?.memory ?? 0), 0);
      assert.ok(own.length === 0 || (cpu <= 400 - host.cpu_usage && memory <= 4_000 - host.mem_usage));
      assert.ok(own.length <= STARTS_PER_HOST_MAX);
    }
    assert.is(plan.starts.length + plan.waiting.length, demands.length);
  }
});

test("each placement is seen by the next: they spread", () => {
  const plan = planPending(
    [demand(1), demand(2), demand(3)],
    [0, 1, 2].map((id) => placeOf(hostRow(id), {}, "")),
  );
  assert.equal(plan.starts.map(({ hostId }) => hostId).sort(), [0, 1, 2]);
});

test("the same input gives the same plan", () => {
  const run = () =>
    planPending(
      [demand(1), demand(2)],
      [0, 1].map((id) => placeOf(hostRow(id), {}, "")),
    );
  assert.equal(run(), run());
});

test("a VM that fits nowhere waits with its reason", () => {
  const plan = planPending([demand(1, { cpu: 500 })], [placeOf(hostRow(0), {}, "")]);
  assert.equal(plan, { starts: [], waiting: [{ vmId: 1, why: "1 host: not enough CPU" }] });
});

test.run();
