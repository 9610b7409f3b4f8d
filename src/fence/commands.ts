import type { Change } from "../base/entry.ts";
import type { Caller } from "../one/caller.ts";
import { statement } from "../one/change.ts";
import { allHosts, type HostRow, hostById } from "../one/host/row.ts";
import {
  type Answer,
  all,
  first,
  int,
  type Method,
  type Parameter,
  type Plan,
  plan,
  type ReadCommand,
  text,
  type WriteCommand,
} from "../one/method.ts";
import type { Query } from "../one/query.ts";
import { CODE, noSuch, notAllowed, type Refusal, refusal } from "../one/refusal.ts";
import { domainsOf } from "./configuration.ts";
import { compareGuid, isPlaceholderGuid, normalizeGuid } from "./identity.ts";
import { DOMAIN_TAGS } from "./policy.ts";
import {
  allBindings,
  allFenceRecords,
  type BindingRow,
  type FenceRow,
  fenceRecord,
  fenceSetting,
  recordGuard,
} from "./record.ts";

const armFencing: WriteCommand = {
  kind: "write",
  result: () => true,
  reads: () => [],
  plan: (_rows, _args, caller) => setArmed(caller, true, ""),
};

const disarmFencing: WriteCommand = {
  kind: "write",
  result: () => true,
  reads: () => [],
  plan: (_rows, args, caller) => setArmed(caller, false, text(args, 0)),
};

const confirmHost: WriteCommand = {
  kind: "write",
  result: (args) => int(args, 0),
  key: (args) => `host:${int(args, 0)}`,
  reads: (args) => [hostById(int(args, 0)), fenceRecord(int(args, 0))],
  plan: (rows, args, caller) => confirm(caller, int(args, 0), text(args, 1), first(rows, 0), first(rows, 1)),
};

const confirmHosts: WriteCommand = {
  kind: "write",
  result: (_args, returned) => returned.length,
  reads: () => [allHosts(), allFenceRecords()],
  plan: (rows, args, caller) => confirmDomain(caller, text(args, 0), text(args, 1), all(rows, 0), all(rows, 1)),
};

const bindHost: WriteCommand = {
  kind: "write",
  result: (args) => int(args, 0),
  key: (args) => `host:${int(args, 0)}`,
  reads: (args) => [hostById(int(args, 0)), bindingsOfHosts],
  plan: (rows, args, caller) => bind(caller, first(rows, 0), all(rows, 1), int(args, 0), text(args, 1), text(args, 2)),
};

/** A host that was deleted and added again has another number: its BMC is not bound to anybody any more. */
const bindingsOfHosts: Query<BindingRow> = {
  sql: allBindings().sql.replace("ORDER BY", "WHERE host_id IN (SELECT id FROM host) ORDER BY"),
  values: [],
};

const fenceStatus: ReadCommand = {
  kind: "read",
  reads: () => [allHosts(), allFenceRecords(), allBindings(), fenceSetting()],
  answer: (rows) => status(all(rows, 0), all(rows, 1), all(rows, 2), first(rows, 3)),
};

const HOST_ID: Parameter = { name: "host", type: "int" };
const string = (name: string): Parameter => ({ name, type: "string" });

/** The methods of fencing for people: `ringfence fence arm|disarm|confirm|bind|status`. Admins only. */
export const FENCE_METHODS: readonly Method[] = [
  { name: "ringfence.fence.arm", parameters: [], command: armFencing },
  {
    name: "ringfence.fence.disarm",
    parameters: [{ name: "why", type: "string", default: "" }],
    command: disarmFencing,
  },
  /** The host's name is asked for, beside its number: it is what a person reads on the machine. */
  { name: "ringfence.fence.confirm", parameters: [HOST_ID, string("name")], command: confirmHost },
  { name: "ringfence.fence.confirmdomain", parameters: [string("tag"), string("value")], command: confirmHosts },
  /** `guid` and `uuid` as they were shown to the person: what they saw is what is stored. */
  { name: "ringfence.fence.bind", parameters: [HOST_ID, string("guid"), string("uuid")], command: bindHost },
  { name: "ringfence.fence.status", parameters: [], command: fenceStatus },
];

/** Longest reason that a person may leave. */
const WHY_LENGTH_MAX = 200;

function setArmed(caller: Caller, isArmed: boolean, why: string): Plan | Refusal {
  if (!caller.isAdmin) return notAllowed(caller.uid, [isArmed ? "ARM FENCING" : "DISARM FENCING"]);
  const change: Change = {
    guards: [],
    statements: [
      statement(
        "UPDATE fence_setting SET armed=?,changed_by=?,why=? WHERE id=0",
        isArmed ? 1 : 0,
        caller.name,
        why.slice(0, WHY_LENGTH_MAX),
      ),
    ],
    tags: ["fence"],
  };
  return plan(change);
}

function confirm(
  caller: Caller,
  hostId: number,
  name: string,
  host: HostRow | undefined,
  record: FenceRow | undefined,
): Plan | Refusal {
  if (!caller.isAdmin) return notAllowed(caller.uid, [`CONFIRM HOST [${hostId}]`]);
  if (host === undefined) return noSuch("host", hostId);
  if (host.name !== name)
    return refusal(CODE.action, `Host ${hostId} is "${host.name}", not "${name}": nothing was confirmed.`, hostId);
  if (record === undefined || !WAITS_FOR_PERSON.has(record.state))
    return refusal(CODE.action, `Host ${hostId} does not wait for a confirmation.`, hostId);
  return plan(confirmChange(record, caller));
}

function confirmDomain(
  caller: Caller,
  tag: string,
  value: string,
  hosts: readonly HostRow[],
  records: readonly FenceRow[],
): Plan | Refusal {
  const key = tag.toUpperCase();
  if (!caller.isAdmin) return notAllowed(caller.uid, [`CONFIRM ${key} [${value}]`]);
  if (!DOMAIN_TAGS.some((known) => known === key))
    return refusal(CODE.action, `"${tag}" is not one of ${DOMAIN_TAGS.join(", ")}.`);
  const inDomain = new Set(hosts.filter((host) => domainsOf(host).includes(`${key}=${value}`)).map(({ id }) => id));
  const waiting = records.filter((row) => inDomain.has(row.host_id) && WAITS_FOR_PERSON.has(row.state));
  if (waiting.length === 0) return refusal(CODE.action, `No host with ${key}=${value} waits for a confirmation.`);
  const changes = waiting.map((row) => confirmChange(row, caller));
  const change: Change = {
    guards: changes.flatMap(({ guards }) => guards),
    statements: changes.flatMap(({ statements }) => statements),
    tags: changes.flatMap(({ tags }) => tags),
  };
  return plan(change);
}

/** States in which nothing has been proven yet. */
const WAITS_FOR_PERSON: ReadonlySet<string> = new Set(["HELD", "FAILED", "INTENT", "OFF_SENT"]);

/** Good for this failure only: guarded by the very row that the person was shown. */
function confirmChange(record: FenceRow, caller: Caller): Change {
  return {
    guards: [recordGuard(record.host_id, record)],
    statements: [
      statement("UPDATE fence SET version=version+1,confirmed_by=? WHERE host_id=?", caller.name, record.host_id),
    ],
    tags: [`fence:${record.host_id}`],
  };
}

function bind(
  caller: Caller,
  host: HostRow | undefined,
  bindings: readonly BindingRow[],
  hostId: number,
  guidText: string,
  uuidText: string,
): Plan | Answer | Refusal {
  if (!caller.isAdmin) return notAllowed(caller.uid, [`BIND HOST [${hostId}]`]);
  if (host === undefined) return noSuch("host", hostId);
  const guid = normalizeGuid(guidText);
  const uuid = normalizeGuid(uuidText);
  if (guid === undefined) return refusal(CODE.action, `"${guidText}" is not a GUID of 16 bytes.`, hostId);
  if (uuid === undefined) return refusal(CODE.action, `"${uuidText}" is not a UUID of 16 bytes.`, hostId);
  if (isPlaceholderGuid(guid))
    return refusal(
      CODE.action,
      `The GUID ${guidText} is one that many machines share: set one in the BMC first.`,
      hostId,
    );
  const other = bindings.find((row) => row.host_id !== hostId && compareGuid(row.guid, guid) !== "different");
  if (other !== undefined)
    return refusal(CODE.action, `The BMC with GUID ${guidText} is bound to host ${other.host_id} already.`, hostId);
  const change: Change = {
    guards: [
      { sql: "SELECT count(*) FROM host WHERE id=?", values: [hostId], expect: [[1]], why: `host ${hostId} is gone` },
    ],
    statements: [
      statement("DELETE FROM fence_binding WHERE host_id NOT IN (SELECT id FROM host)"),
      statement(
        "INSERT INTO fence_binding(host_id,guid,uuid,bound_by) VALUES(?,?,?,?) ON CONFLICT(host_id) DO UPDATE SET guid=excluded.guid,uuid=excluded.uuid,bound_by=excluded.bound_by",
        hostId,
        guid,
        uuid,
        caller.name,
      ),
    ],
    tags: [`fence:${hostId}`],
  };
  return plan(change);
}

/** JSON for `ringfence fence status` and `ringfence status`: every host with what a person needs to know. */
function status(
  hosts: readonly HostRow[],
  records: readonly FenceRow[],
  bindings: readonly BindingRow[],
  setting: { readonly armed: number; readonly changed_by: string; readonly why: string } | undefined,
): string {
  return JSON.stringify({
    armed: setting?.armed === 1,
    changedBy: setting?.changed_by ?? "",
    why: setting?.why ?? "",
    hosts: hosts.map((host) => {
      const record = records.find((row) => row.host_id === host.id);
      const binding = bindings.find((row) => row.host_id === host.id);
      return {
        id: host.id,
        name: host.name,
        state: record?.state ?? "HEALTHY",
        failure: record?.failure ?? 0,
        attempt: record?.attempt ?? 0,
        reasonCode: record?.reason_code ?? "",
        reason: record?.reason ?? "",
        confirmedBy: record?.confirmed_by ?? "",
        evidence: JSON.parse(record?.evidence ?? "[]"),
        proofs: JSON.parse(record?.proofs ?? "[]"),
        marks: JSON.parse(record?.marks ?? "{}"),
        report: record === undefined || record.report === "" ? null : JSON.parse(record.report),
        binding: binding === undefined ? null : { guid: binding.guid, uuid: binding.uuid, boundBy: binding.bound_by },
      };
    }),
  });
}
