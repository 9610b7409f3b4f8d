// A host is dead for good, its recovery is over: what people do with the VMs that stayed there.

import { Database } from "bun:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change, Outcome, SqlValue } from "../../../src/base/entry.ts";
import {
  allFenceRecords,
  type FenceRow,
  fenceSchema,
  notBeingFenced,
  stillRecovering,
} from "../../../src/fence/record.ts";
import { closedChange, recordChange, recoveringChange } from "../../../src/fence/record-change.ts";
import type { Query } from "../../../src/one/query.ts";
import { SCHEMA_LEVEL_1 } from "../../../src/one/schema.ts";
import { createVmhaDriver, type VmhaDriver } from "../../../src/vmha/driver.ts";
import { RECOVERY_OPTIONS_DEFAULT } from "../../../src/vmha/options.ts";
import type { LostHost } from "../../../src/vmha/ports.ts";
import { vmhaSchema } from "../../../src/vmha/record.ts";

class World {
  readonly db = new Database(":memory:");
  readonly driver: VmhaDriver;
  onRead: (sql: string) => void = () => undefined;
  /** Why a host takes no VM. */
  readonly closed = new Map<number, string>();

  constructor() {
    for (const sql of SCHEMA_LEVEL_1) this.db.run(sql);
    for (const { sql, values } of [...fenceSchema, ...vmhaSchema]) this.db.run(sql, [...values]);
    for (const [id, state] of [
      [0, 3],
      [1, 2],
      [2, 2],
    ] as const)
      this.db.run(
        "INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id,total_cpu,total_mem) VALUES(?,?,?,'kvm','kvm',0,1000,10000)",
        [id, `h${id}`, state],
      );
    this.driver = createVmhaDriver(
      {
        read: async <R>({ sql, values }: Query<R>) => {
          const rows = this.db.query(sql).all(...values) as R[];
          this.onRead(sql);
          return rows;
        },
        propose: async (change) => this.apply(change),
        records: {
          all: () => allFenceRecords(),
          recovering: (record, wallAt) => recoveringChange(record as FenceRow, wallAt),
          closed: (record, report, marks) => closedChange(record as FenceRow, report, marks),
          stillRecovering: (record: LostHost) => stillRecovering(record),
          notBeingFenced,
        },
        isSettled: () => false,
        returnedDomains: () => [],
        closedReason: (hostId) => this.closed.get(hostId) ?? "",
        keepAway: () => new Map(),
        clock: {
          now: () => performance.now(),
          wall: () => 5_000,
          after: (ms, run) => {
            const timer = setTimeout(run, Math.min(ms, 20));
            return () => clearTimeout(timer);
          },
        },
        alert: () => undefined,
      },
      { options: RECOVERY_OPTIONS_DEFAULT, isCrashRestarted: true },
    );
  }

  apply(change: Change): Outcome {
    for (const guard of change.guards) {
      const rows = this.db.query(guard.sql).values(...guard.values) as SqlValue[][];
      if (JSON.stringify(rows) !== JSON.stringify(guard.expect))
        return { kind: "rejected", index: 0, by: "guard", why: guard.why };
    }
    for (const { sql, values } of change.statements) this.db.run(sql, [...values]);
    return { kind: "done", index: 0, rows: [], changes: [] };
  }

  addVm(id: number, state: number, lcm: number, hostId = 0): void {
    this.db.run(
      "INSERT INTO vm(id,name,uid,gid,uname,gname,permissions,state,lcm_state,prev_state,stime,cpu,memory,host_id,seq,template) VALUES(?,'',0,0,'','',0,?,?,3,0,100,1000,?,0,'')",
      [id, state, lcm, hostId],
    );
    this.db.run(
      "UPDATE host SET running_vms=running_vms+1,cpu_usage=cpu_usage+100,mem_usage=mem_usage+1000 WHERE id=?",
      [hostId],
    );
  }

  record(state: FenceRow["state"], report: string): void {
    this.db.run("DELETE FROM fence");
    this.apply(recordChange(0, undefined, { state, isNewFailure: true, report }));
  }

  /** Phase and host of each VM. */
  phases(): unknown[] {
    return this.db.query("SELECT state,lcm_state,host_id FROM vm ORDER BY id").values();
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const endsAt = performance.now() + 3_000;
    while (!condition()) {
      assert.ok(performance.now() < endsAt, `${what} did not come: ${JSON.stringify(this.phases())}`);
      this.driver.wake();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async rounds(): Promise<void> {
    for (let i = 0; i < 10; i++) {
      this.driver.wake();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const STOPPING = [
  [1, 3, 12],
  [2, 3, 18],
  [3, 3, 15],
  [4, 3, 16],
] as const;

test("what is asked of a VM on a host that stays off is done; the host can be emptied and deleted", async () => {
  const world = new World();
  for (const [id, state, lcm] of STOPPING) world.addVm(id, state, lcm);
  world.record("CLOSED", "{}");
  await world.until("the ends", () => JSON.stringify(world.phases()).startsWith("[[6,0,null],[8,0,0],[3,2,"));
  assert.equal(world.phases()[3], [3, 16, 0], "nobody asked anything of this one");
  assert.equal(world.db.query("SELECT running_vms FROM host WHERE id=0").values(), [[2]]);
  await world.driver.stop();
});

test("nothing is taken for done on a host that is not proven off, was never off, or is back", async () => {
  for (const [state, report, hostState] of [
    ["HELD", "", 3],
    ["CLOSED", "", 3],
    ["CLOSED", "{}", 2],
  ] as const) {
    const world = new World();
    for (const [id, phase, lcm] of STOPPING) world.addVm(id, phase, lcm);
    world.record(state, report);
    world.db.run("UPDATE host SET state=? WHERE id=0", [hostState]);
    await world.rounds();
    assert.equal(
      world.phases(),
      STOPPING.map(([, phase, lcm]) => [phase, lcm, 0]),
      `${state} ${hostState}`,
    );
    await world.driver.stop();
  }
});

test("a start that failed is not repeated elsewhere while its host is not heard: it may still happen there", async () => {
  const world = new World();
  world.closed.set(1, "it is undecided");
  world.addVm(1, 3, 36, 1);
  world.db.run("INSERT INTO vm_retry VALUES(1,1)");
  world.addVm(2, 3, 36, 1);
  world.record("RECOVERING", "");
  world.db.run("INSERT INTO recovery VALUES(0,2,1,2,'RESUBMITTED',1,'',1,0)");
  // The ladder's second step waits 2 s.
  const endsAt = performance.now() + 2_300;
  while (performance.now() < endsAt) await world.rounds();
  assert.equal(world.phases(), [
    [3, 36, 1],
    [3, 36, 1],
  ]);
  world.closed.clear();
  await world.until("both elsewhere", () => JSON.stringify(world.phases()) === "[[3,2,2],[3,2,2]]");
  await world.driver.stop();
});

test("a VM that a person starts again while the ladder looks at it is left to that start", async () => {
  const world = new World();
  world.addVm(1, 7, 0, 1);
  world.onRead = (sql) => {
    if (!sql.includes("vm_retry)")) return;
    world.onRead = () => undefined;
    world.db.run("UPDATE vm SET state=3,lcm_state=2,version=version+1");
  };
  await world.rounds();
  assert.equal(world.phases(), [[3, 2, 1]]);
  assert.equal(world.db.query("SELECT seq FROM vm").values(), [[0]]);
  await world.driver.stop();
});

test.run();
