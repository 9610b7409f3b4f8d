import { Database } from "bun:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change, SqlValue } from "../../../src/base/entry.ts";
import { FENCE_METHODS } from "../../../src/fence/commands.ts";
import {
  allFenceRecords,
  type FenceRow,
  fenceRecord,
  fenceSchema,
  notBeingFenced,
  stillRecovering,
} from "../../../src/fence/record.ts";
import {
  closedChange,
  nextRow,
  REPORTS_KEPT,
  recordChange,
  recoveringChange,
} from "../../../src/fence/record-change.ts";
import type { Caller } from "../../../src/one/caller.ts";
import type { WriteCommand } from "../../../src/one/method.ts";
import { SCHEMA_LEVEL_1 } from "../../../src/one/schema.ts";

const ADMIN: Caller = { uid: 0, name: "ann", gid: 0, gname: "oneadmin", isAdmin: true, rules: [] };
const NOBODY: Caller = { ...ADMIN, uid: 9, name: "bob", isAdmin: false };

function state(): Database {
  const db = new Database(":memory:");
  for (const sql of SCHEMA_LEVEL_1) db.run(sql);
  for (const { sql, values } of fenceSchema) db.run(sql, [...values]);
  const host = "INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id,template) VALUES(?,?,2,'kvm','kvm',0,?)";
  for (const id of [3, 4]) db.run(host, [id, `h${id}`, "<RACK><![CDATA[r1]]></RACK>"]);
  return db;
}

/** True when all guards held and the statements ran. */
function apply(db: Database, change: Change): boolean {
  for (const guard of change.guards) {
    const rows = db.query(guard.sql).values(...guard.values) as SqlValue[][];
    if (JSON.stringify(rows) !== JSON.stringify(guard.expect)) return false;
  }
  for (const { sql, values } of change.statements) db.run(sql, [...values]);
  return true;
}

function read(db: Database, hostId = 3): FenceRow | undefined {
  const query = fenceRecord(hostId);
  return (db.query(query.sql).get(...query.values) as FenceRow | null) ?? undefined;
}

const INTENT = { state: "INTENT", epoch: 7, level: 1, method: "ipmi", attempt: 1, isNewFailure: true } as const;

function command(db: Database, name: string, args: (string | number)[], caller = ADMIN): unknown {
  const found = FENCE_METHODS.find((method) => method.name === name);
  const write = found?.command as WriteCommand;
  const rows = write.reads(args, caller).map(({ sql, values }) => db.query(sql).all(...values) as never[]);
  const result = write.plan(rows, args, caller, { now: 0, seal: String, sha256: String, randomHex: () => "" });
  return result.kind === "plan" ? apply(db, result) : result.kind === "refusal" ? result.message : result;
}

test("the row that is written is the row that was decided, and onehost show tells it", () => {
  const db = state();
  assert.ok(apply(db, recordChange(3, undefined, INTENT)));
  assert.equal(read(db), nextRow(3, undefined, INTENT));
  assert.ok(apply(db, recordChange(3, read(db), { state: "HELD", reasonCode: "storm", reason: "too many" })));
  assert.equal(db.query("SELECT fence_note FROM host WHERE id=3").values(), [["HELD: too many"]]);
  assert.ok(apply(db, recordChange(3, read(db), { state: "CLOSED", reason: "it answers" })));
  assert.equal(db.query("SELECT fence_note FROM host WHERE id=3").values(), [[""]]);
});

test("two arrows from one state: the second is rejected", () => {
  const db = state();
  apply(db, recordChange(3, undefined, INTENT));
  const row = read(db);
  assert.ok(apply(db, recordChange(3, row, { state: "OFF_SENT", offEpoch: 7 })));
  assert.not.ok(apply(db, recordChange(3, row, { state: "CLOSED" })));
  assert.not.ok(apply(db, recordChange(3, undefined, INTENT)));
});

test("a new failure starts from nothing but its number", () => {
  const db = state();
  apply(db, recordChange(3, undefined, INTENT));
  apply(db, recordChange(3, read(db), { state: "OFF_SENT", offEpoch: 7, marks: { offSentAt: 1 } }));
  apply(db, recordChange(3, read(db), { state: "CLOSED" }));
  apply(db, recordChange(3, read(db), INTENT));
  const row = read(db);
  assert.equal([row?.failure, row?.off_epoch, row?.marks, row?.version], [2, 0, "{}", 4]);
});

test("while a host is being fenced it may not be put to use, and only its recovery starts its VMs", () => {
  const db = state();
  const guards = (hostId: number) => apply(db, { guards: [notBeingFenced(hostId)], statements: [], tags: [] });
  assert.ok(guards(3));
  apply(db, recordChange(3, undefined, INTENT));
  assert.not.ok(guards(3));
  assert.ok(guards(4));
  const recovering = () =>
    apply(db, { guards: [stillRecovering({ host_id: 3, failure: 1 })], statements: [], tags: [] });
  assert.not.ok(recovering());
  const proofs = [{ kind: "person", by: "ann" }] as const;
  apply(db, recordChange(3, read(db), { state: "OFF_PROVEN", proofs }));
  apply(db, recoveringChange(read(db) as FenceRow, 5));
  assert.ok(recovering());
  apply(db, closedChange(read(db) as FenceRow, '{"startSeconds":1}', { closedAt: 9 }));
  assert.ok(guards(3));
  assert.not.ok(recovering());
});

test("reports are kept, and bounded", () => {
  const db = state();
  for (let failure = 1; failure <= REPORTS_KEPT + 5; failure++) {
    apply(db, recordChange(3, read(db), INTENT));
    apply(db, recordChange(3, read(db), { state: "CLOSED", report: `{"n":${failure}}` }));
  }
  assert.equal(db.query("SELECT count(*),max(failure) FROM fence_report").values(), [[REPORTS_KEPT, REPORTS_KEPT + 5]]);
});

test("confirm asks for the name, is for admins, and is good for the row that was shown", () => {
  const db = state();
  assert.match(String(command(db, "ringfence.fence.confirm", [3, "h3"])), /does not wait/);
  apply(db, recordChange(3, undefined, { ...INTENT, state: "HELD" }));
  assert.match(String(command(db, "ringfence.fence.confirm", [3, "h4"])), /nothing was confirmed/);
  assert.match(String(command(db, "ringfence.fence.confirm", [3, "h3"], NOBODY)), /Not authorized/);
  assert.is(command(db, "ringfence.fence.confirm", [3, "h3"]), true);
  assert.is(read(db)?.confirmed_by, "ann");
  apply(db, recordChange(3, read(db), { state: "HELD", isConfirmationVoid: true }));
  assert.is(read(db)?.confirmed_by, "");
});

test("one answer for a whole rack", () => {
  const db = state();
  for (const id of [3, 4]) apply(db, recordChange(id, undefined, { ...INTENT, state: "HELD" }));
  assert.is(command(db, "ringfence.fence.confirmdomain", ["rack", "r1"]), true);
  const query = allFenceRecords();
  assert.equal(
    (db.query(query.sql).all() as FenceRow[]).map((row) => row.confirmed_by),
    ["ann", "ann"],
  );
  assert.match(String(command(db, "ringfence.fence.confirmdomain", ["rack", "r2"])), /No host/);
});

test("a BMC is bound to one host, and not by what many share", () => {
  const db = state();
  const uuid = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
  assert.is(command(db, "ringfence.fence.bind", [3, uuid, uuid]), true);
  assert.match(String(command(db, "ringfence.fence.bind", [4, uuid, uuid])), /bound to host 3/);
  assert.match(String(command(db, "ringfence.fence.bind", [4, "0".repeat(32), uuid])), /many machines share/);
  assert.match(String(command(db, "ringfence.fence.bind", [4, "abc", uuid])), /not a GUID/);
});

test("the BMC of a host that was deleted can be bound to the host that is added anew", () => {
  const db = state();
  const uuid = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
  assert.is(command(db, "ringfence.fence.bind", [3, uuid, uuid]), true);
  db.run("DELETE FROM host WHERE id=3");
  assert.is(command(db, "ringfence.fence.bind", [4, uuid, uuid]), true);
  assert.equal(db.query("SELECT host_id FROM fence_binding").values(), [[4]]);
});

test("disarm is on the record with its reason", () => {
  const db = state();
  assert.is(command(db, "ringfence.fence.disarm", ["moving racks"]), true);
  assert.equal(db.query("SELECT armed,changed_by,why FROM fence_setting").values(), [[0, "ann", "moving racks"]]);
  assert.is(command(db, "ringfence.fence.arm", []), true);
  assert.equal(db.query("SELECT armed FROM fence_setting").values(), [[1]]);
});

test.run();
