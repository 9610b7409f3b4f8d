// The cache of rows behind the hypervisor driver, on real SQL.

import { Database } from "bun:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fenceSchema } from "../../../src/fence/record.ts";
import { recordChange } from "../../../src/fence/record-change.ts";
import type { Query } from "../../../src/one/query.ts";
import { SCHEMA_LEVEL_1 } from "../../../src/one/schema.ts";
import { HostRows } from "../../../src/parts/host-rows.ts";
import { vmhaSchema } from "../../../src/vmha/record.ts";

class World {
  readonly db = new Database(":memory:");
  failure: Error | undefined;
  readonly loaded: string[] = [];
  readonly rows = new HostRows({
    read: async <R>({ sql, values }: Query<R>) => {
      if (this.failure !== undefined) throw this.failure;
      return this.db.query(sql).all(...values) as R[];
    },
    loaded: async (tags) => {
      this.loaded.push(tags.join(" "));
    },
    log: () => undefined,
  });

  constructor() {
    for (const sql of SCHEMA_LEVEL_1) this.db.run(sql);
    for (const { sql, values } of [...fenceSchema, ...vmhaSchema]) this.db.run(sql, [...values]);
    for (const id of [0, 1])
      this.db.run("INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id) VALUES(?,?,2,'kvm','kvm',0)", [
        id,
        `h${id}`,
      ]);
    // In BOOT on host 1, start 4; it was lost with host 0.
    this.db.run(
      "INSERT INTO vm(id,name,uid,gid,uname,gname,permissions,state,lcm_state,prev_state,stime,cpu,memory,host_id,seq,template) VALUES(5,'vm5',0,0,'','',0,3,2,3,0,100,1000,1,4,'')",
    );
    this.db.run("INSERT INTO recovery VALUES(0,5,1,2,'RESUBMITTED',1,'',1,0)");
  }

  record(state: Parameters<typeof recordChange>[2]["state"]): void {
    this.db.run("DELETE FROM fence WHERE host_id=0");
    const change = recordChange(0, undefined, { state, isNewFailure: true, reasonCode: "answered" });
    for (const { sql, values } of change.statements) this.db.run(sql, [...values]);
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const endsAt = performance.now() + 4_000;
    while (!condition()) {
      assert.ok(performance.now() < endsAt, `${what} did not come`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

test("a VM that was lost with a host is started elsewhere under the proof, and not while the proof is void", async () => {
  const world = new World();
  for (const [state, mayStart] of [
    ["RECOVERING", true],
    ["HELD", false],
    ["INTENT", false],
    ["OFF_SENT", false],
    ["OFF_PROVEN", true],
    ["CLOSED", true],
  ] as const) {
    world.record(state);
    await world.rows.loadAll();
    const refusal = world.rows.refuseStart(5, 1, 4);
    assert.is(refusal === undefined, mayStart, `${state}: ${refusal}`);
  }
});

test("an earlier failure of the host withholds nothing", async () => {
  const world = new World();
  world.record("HELD");
  world.db.run("UPDATE fence SET failure=2");
  await world.rows.loadAll();
  assert.is(world.rows.refuseStart(5, 1, 4), undefined);
});

test("a start is refused on a host that is being fenced, and for another start than the record's", async () => {
  const world = new World();
  world.record("INTENT");
  world.db.run("DELETE FROM recovery");
  await world.rows.loadAll();
  assert.match(world.rows.refuseStart(5, 0, 4) ?? "", /changed/);
  assert.match(world.rows.refuseStart(5, 1, 3) ?? "", /changed/);
  assert.is(world.rows.refuseStart(5, 1, 4), undefined);
  world.db.run("UPDATE vm SET host_id=0");
  world.rows.applied(["vm:5"]);
  await world.until("the row", () => world.loaded.length === 1);
  assert.match(world.rows.refuseStart(5, 0, 4) ?? "", /fenced/);
});

test("a read that failed stops all starts until everything was read again", async () => {
  const world = new World();
  world.record("CLOSED");
  await world.rows.loadAll();
  assert.is(world.rows.refuseStart(5, 1, 4), undefined);
  world.failure = new Error("disk");
  world.db.run("UPDATE vm SET seq=5,version=version+1");
  world.rows.applied(["vm:5"]);
  await world.until("the refusal", () => world.rows.refuseStart(5, 1, 4) !== undefined);
  world.failure = undefined;
  await world.until("the new row", () => world.rows.refuseStart(5, 1, 5) === undefined);
  assert.match(world.rows.refuseStart(5, 1, 4) ?? "", /changed/);
  world.rows.stop();
});

test("a new host is heard of by its tag without a number", async () => {
  const world = new World();
  world.rows.applied(["vm", "host"]);
  world.rows.applied(["image:3"]);
  await world.until("the tag", () => world.loaded.length > 0);
  assert.equal(world.loaded, ["vm host"]);
});

test.run();
