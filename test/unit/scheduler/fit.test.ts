import { test } from "uvu";
import * as assert from "uvu/assert";
import { findPlace, placeOf } from "../../../src/scheduler/fit.ts";
import { demand, hostRow } from "./fixtures.ts";

const place = (id: number, more = {}, closed = "") => placeOf(hostRow(id, more), {}, closed);

test("VMs are spread: fewest VMs, then most memory, then the lowest id", () => {
  assert.equal(findPlace(demand(1), [place(1, { running_vms: 2 }), place(2)]), { ok: true, hostId: 2 });
  assert.equal(findPlace(demand(1), [place(1), place(2, { total_mem: 9_000 })]), { ok: true, hostId: 2 });
  assert.equal(findPlace(demand(1), [place(2), place(1)]), { ok: true, hostId: 1 });
});

test("a rank comes first", () => {
  const places = [place(1), place(2, { running_vms: 5 })];
  assert.equal(findPlace(demand(1, { rank: "RUNNING_VMS" }), places), { ok: true, hostId: 2 });
});

test("hosts out of service are refused with their state", () => {
  const fit = findPlace(demand(1), [place(1, { state: 3 }), place(2, { state: 4 }), place(3, {}, "being fenced")]);
  assert.equal(fit, { ok: false, why: "1 host: ERROR; 1 host: DISABLED; 1 host: being fenced" });
});

test("reasons are counted", () => {
  const places = [place(1, { cpu_usage: 350 }), place(2, { cpu_usage: 350 }), place(3, { reserved_mem: 3_500 })];
  assert.equal(findPlace(demand(1), places), { ok: false, why: "2 hosts: not enough CPU; 1 host: not enough memory" });
  assert.equal(findPlace(demand(1), []), { ok: false, why: "there is no other host" });
});

test("a VM keeps away from where it must not be", () => {
  const excluded = new Map([[1, "it failed to start there"]]);
  assert.equal(findPlace(demand(1, { excluded }), [place(1), place(2)]), { ok: true, hostId: 2 });
  assert.equal(findPlace(demand(1, { excluded }), [place(1)]), { ok: false, why: "1 host: it failed to start there" });
});

test("an expression that cannot be read places nothing", () => {
  const fit = findPlace(demand(1, { requirements: "ID ==" }), [place(1)]);
  assert.not.ok(fit.ok);
  assert.match(fit.ok ? "" : fit.why, /SCHED_REQUIREMENTS/);
});

test.run();
