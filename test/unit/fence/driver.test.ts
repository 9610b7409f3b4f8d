// Both drivers with the real IPMI method, a simulated BMC on loopback, real SQL and the real clock: one failure from the
// verdict to the VM's new place.

import { Database } from "bun:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change, Outcome, SqlValue } from "../../../src/base/entry.ts";
import { createFenceDriver } from "../../../src/fence/driver.ts";
import type { HostJudgement } from "../../../src/fence/machine-types.ts";
import { createIpmiMethod } from "../../../src/fence/methods/ipmi.ts";
import { FENCE_POLICY_DEFAULT } from "../../../src/fence/policy.ts";
import {
  allFenceRecords,
  type FenceRow,
  fenceSchema,
  notBeingFenced,
  stillRecovering,
} from "../../../src/fence/record.ts";
import { closedChange, recoveringChange } from "../../../src/fence/record-change.ts";
import { type Bmc, createBmc } from "../../../src/node-ipmi/bmc/bmc.ts";
import type { Query } from "../../../src/one/query.ts";
import { SCHEMA_LEVEL_1 } from "../../../src/one/schema.ts";
import { createVmhaDriver } from "../../../src/vmha/driver.ts";
import { RECOVERY_OPTIONS_DEFAULT } from "../../../src/vmha/options.ts";
import type { LostHost } from "../../../src/vmha/ports.ts";
import { vmhaSchema } from "../../../src/vmha/record.ts";
import { DOWN, HEARD } from "./fixtures.ts";

const GUID = "3fa85f6457174562b3fc2c963f66afa6";

interface Bed {
  readonly bmc: Bmc;
  readonly host: { isOn: boolean };
  readonly kinds: readonly { readonly kind: string; readonly at: number }[];
  readonly alerts: readonly string[];
  readonly rows: <R>(query: Query<R>) => R[];
  readonly judge: (judgement: HostJudgement) => void;
  readonly lease: { remainingMs: number; onAsk: () => void };
  readonly stop: () => Promise<void>;
  readonly until: (what: string, condition: () => boolean) => Promise<void>;
}

async function withBed(
  body: (bed: Bed) => Promise<void>,
  prepare: (db: Database) => void = () => undefined,
): Promise<void> {
  const host = { isOn: true };
  const bmc = await createBmc({
    address: "127.0.0.1",
    port: 0,
    users: [{ name: "fence", password: "secret", privilege: "operator" }],
    guid: Buffer.from(GUID, "hex"),
    power: {
      get: () => host.isOn,
      set: (isOn) => {
        host.isOn = isOn;
      },
      reset: () => undefined,
    },
  });
  const db = found(bmc.port);
  prepare(db);
  const rows = <R>(query: Query<R>) => db.query(query.sql).all(...query.values) as R[];
  const kinds: { kind: string; at: number }[] = [];
  const alerts: string[] = [];
  let judgement: HostJudgement = { ...HEARD, lastAnswerAt: performance.now() };
  const lease = { remainingMs: 500, onAsk: (): void => {} };
  const drivers: { wake(): void; stop(): Promise<void> }[] = [];
  const common = {
    read: async <R>(query: Query<R>) => rows<R>(query),
    propose: async (change: Change, kind: string): Promise<Outcome> => {
      const outcome = apply(db, change);
      if (outcome.kind === "done") kinds.push({ kind, at: performance.now() });
      for (const driver of drivers) driver.wake();
      return outcome;
    },
    clock: {
      now: () => performance.now(),
      wall: () => Date.now(),
      after: (ms: number, run: () => void) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    alert: (text: string) => {
      alerts.push(text);
    },
  };
  const fence = createFenceDriver(
    {
      ...common,
      lease: {
        remainingMs: () => {
          lease.onAsk();
          return lease.remainingMs;
        },
      },
      monitor: { judgement: (hostId) => (hostId === 0 ? judgement : HEARD) },
      readiness: { answeringForMs: () => 120_000 },
      methods: new Map([["ipmi", createIpmiMethod()]]),
      unseal: (text) => text.replace("sealed:", ""),
      random: () => 0.5,
    },
    FENCE_POLICY_DEFAULT,
    7,
  );
  const vmha = createVmhaDriver(
    {
      ...common,
      records: {
        all: () => allFenceRecords(),
        recovering: (record, wallAt) => recoveringChange(record as FenceRow, wallAt),
        closed: (record, report, marks) => closedChange(record as FenceRow, report, marks),
        stillRecovering: (record: LostHost) => stillRecovering(record),
        notBeingFenced,
      },
      isSettled: (hostId) => fence.isSettled(hostId),
      returnedDomains: () => [],
      closedReason: () => "",
      keepAway: () => new Map(),
    },
    { options: RECOVERY_OPTIONS_DEFAULT, isCrashRestarted: true },
  );
  drivers.push(fence, vmha);
  const stop = async () => {
    await Promise.all(drivers.map((driver) => driver.stop()));
  };
  try {
    await body({
      bmc,
      host,
      kinds,
      alerts,
      rows,
      lease,
      stop,
      judge: (next) => {
        judgement = next;
        fence.wake();
      },
      until: async (what, condition) => {
        const endsAt = performance.now() + 10_000;
        while (!condition()) {
          assert.ok(performance.now() < endsAt, `${what} did not come; ${kinds.map(({ kind }) => kind)} ${alerts}`);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    });
  } finally {
    await stop();
    await bmc.close();
  }
}

function found(port: number): Database {
  const db = new Database(":memory:");
  for (const sql of SCHEMA_LEVEL_1) db.run(sql);
  for (const { sql, values } of [...fenceSchema, ...vmhaSchema]) db.run(sql, [...values]);
  const section = { ADDRESS: "127.0.0.1", PORT: String(port), USER: "fence", PASSWORD: "sealed:secret" };
  for (const id of [0, 1])
    db.run(
      "INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id,total_cpu,total_mem,fence) VALUES(?,?,2,'kvm','kvm',0,400,4000,?)",
      [id, `h${id}`, JSON.stringify([section])],
    );
  db.run("UPDATE host SET cpu_usage=100,mem_usage=1000,running_vms=1 WHERE id=0");
  db.run(
    "INSERT INTO vm(id,name,uid,gid,uname,gname,permissions,state,lcm_state,prev_state,stime,cpu,memory,host_id,seq,template) VALUES(5,'vm5',0,0,'','',0,3,3,3,0,100,1000,0,0,'')",
  );
  db.run("INSERT INTO fence_binding(host_id,guid,uuid,bound_by) VALUES(0,?,?,'test')", [GUID, GUID]);
  return db;
}

function apply(db: Database, change: Change): Outcome {
  for (const guard of change.guards) {
    const rows = db.query(guard.sql).values(...guard.values) as SqlValue[][];
    if (JSON.stringify(rows) !== JSON.stringify(guard.expect))
      return { kind: "rejected", index: 0, by: "guard", why: guard.why };
  }
  for (const { sql, values } of change.statements) db.run(sql, [...values]);
  return { kind: "done", index: 0, rows: [], changes: [] };
}

const vm5: Query<{ host_id: number; state: number; lcm_state: number }> = {
  sql: "SELECT host_id,state,lcm_state FROM vm WHERE id=5",
  values: [],
};

function down(): HostJudgement {
  return { ...DOWN, downSinceAt: performance.now(), lastAnswerAt: performance.now() - 2_000 };
}

test("a host that is down but powered is powered off, and its VM is placed elsewhere, in this order", () =>
  withBed(async ({ bmc, host, judge, kinds, rows, until, alerts }) => {
    judge(down());
    await until("the VM's new place", () => rows(vm5)[0]?.host_id === 1);
    assert.equal(
      kinds.map(({ kind }) => kind),
      ["fence.intent", "fence.off-sent", "fence.off-proven", "vmha.freeze", "vmha.resubmit"],
    );
    assert.is(host.isOn, false);
    assert.equal(bmc.chassis.changes, ["off"]);
    assert.equal(rows(vm5), [{ host_id: 1, state: 3, lcm_state: 2 }]);
    assert.equal(alerts, []);
    const at = new Map(kinds.map(({ kind, at }) => [kind, Math.round(at - (kinds[0]?.at ?? 0))]));
    console.log("ms after the intent:", Object.fromEntries(at));
  }));

test("a host without power is proven off after three answers over a second", () =>
  withBed(async ({ host, judge, kinds, rows, until }) => {
    host.isOn = false;
    judge({ ...down(), bmcPower: "off" });
    await until("the VM's new place", () => rows(vm5)[0]?.host_id === 1);
    const at = new Map(kinds.map(({ kind, at }) => [kind, Math.round(at - (kinds[0]?.at ?? 0))]));
    console.log("ms after the intent:", Object.fromEntries(at));
  }));

test("without a lease nothing is sent; with it the same record goes on", () =>
  withBed(async ({ bmc, judge, kinds, lease, rows, until }) => {
    lease.onAsk = () => {
      // It is gone at the very first question after the intent was written.
      if (kinds.length > 0) lease.remainingMs = 0;
    };
    judge(down());
    await until("the intent", () => kinds.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(bmc.chassis.changes, []);
    lease.onAsk = () => {};
    lease.remainingMs = 500;
    await until("the VM's new place", () => rows(vm5)[0]?.host_id === 1);
  }));

test("another machine's BMC: nothing is powered off, no VM moves, the reason is on the host", () =>
  withBed(async ({ bmc, host, judge, rows, until, alerts }) => {
    await bmc.inject({ fault: "wrong-guid" });
    judge(down());
    await until("FAILED", () => rows(allFenceRecords())[0]?.state === "FAILED");
    assert.is(host.isOn, true);
    assert.equal(rows(vm5), [{ host_id: 0, state: 3, lcm_state: 3 }]);
    const notes = rows<{ fence_note: string }>({ sql: "SELECT fence_note FROM host WHERE id=0", values: [] });
    assert.match(notes[0]?.fence_note ?? "", /FAILED: .*GUID/);
    assert.ok(alerts.some((text) => /refused to power off/.test(text)));
    await bmc.clearFaults();
    await until("the next round", () => rows(vm5)[0]?.host_id === 1);
  }));

/** Hosts 1 and 2 were powered off by an earlier leader, recovered, and their records closed. */
const twoWerePoweredOff = (secondsAgo: number) => (db: Database) => {
  db.run("INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id) VALUES(2,'h2',2,'kvm','kvm',0)");
  const marks = JSON.stringify({ offSentAt: Date.now() - secondsAgo * 1000 });
  for (const id of [1, 2])
    db.run("INSERT INTO fence VALUES(?,9,1,'CLOSED',6,1,'ipmi',1,6,'','','[]','[]','','boot-1',?,'{\"seconds\":{}}')", [
      id,
      marks,
    ]);
};

test("a new leader counts the power commands of failures that are closed", () =>
  withBed(async ({ host, rows, judge, until }) => {
    judge(down());
    await until("the storm gate", () => rows(allFenceRecords())[0]?.reason_code === "storm");
    assert.is(host.isOn, true);
  }, twoWerePoweredOff(60)));

test("what an earlier leader sent long ago is no storm", () =>
  withBed(async ({ host, judge, until }) => {
    judge(down());
    await until("the off", () => !host.isOn);
  }, twoWerePoweredOff(400)));

test("stop ends a session in flight at once and nothing is written afterwards", () =>
  withBed(async ({ bmc, judge, kinds, stop, until }) => {
    await bmc.inject({ fault: "silent" });
    judge(down());
    await until("the intent", () => kinds.length > 0);
    const startedAt = performance.now();
    await stop();
    assert.ok(performance.now() - startedAt < 300, `stop took ${performance.now() - startedAt} ms`);
    const written = kinds.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.is(kinds.length, written);
  }));

test.run();
