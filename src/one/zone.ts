import { getVectors, isTemplateError, parseTemplate, type Vector } from "./attributes.ts";
import { statement, versionGuard } from "./change.ts";
import {
  all,
  first,
  flag,
  int,
  type LeaderCommand,
  type LocalCommand,
  type Method,
  plan,
  type RaftNumbers,
  sameId,
  type WriteCommand,
} from "./method.ts";
import { authorize, ID, infoCommand, type ObjectKind, plainPoolCommand } from "./object.ts";
import type { Query } from "./query.ts";
import { CODE, noSuch, type Refusal, refusal } from "./refusal.ts";
import { sqlXml, xmlCdata, xmlText } from "./sql-xml.ts";

const SERVER = sqlXml`<SERVER><ENDPOINT>${xmlCdata("endpoint")}</ENDPOINT><ENDPOINT_GRPC>${xmlCdata("endpoint_grpc")}</ENDPOINT_GRPC><ID><![CDATA[${"id"}]]></ID><NAME>${xmlCdata("name")}</NAME></SERVER>`;

const SERVERS = `coalesce((SELECT group_concat(${SERVER},'' ORDER BY id) FROM server WHERE server.zone_id=zone.id),'')`;

/** This cluster of boxes, in OpenNebula's words: zone 0 and its servers. */
export const ZONE: ObjectKind = {
  table: "zone",
  noun: "zone",
  type: "ZONE",
  pool: "ZONE_POOL",
  owned: false,
  xml: sqlXml`<ZONE><ID>${"zone.id"}</ID><NAME>${xmlText("zone.name")}</NAME><STATE>${"zone.state"}</STATE><TEMPLATE>${"zone.template"}</TEMPLATE><SERVER_POOL>${SERVERS}</SERVER_POOL></ZONE>`,
};

/** The one zone that a cluster of boxes is. */
export const ZONE_ID = 0;

/** Bound on the servers of a zone: a group of consensus wants three or five. */
const SERVERS_MAX = 9;

export interface ServerRow {
  readonly id: number;
  readonly name: string;
  readonly endpoint: string;
}

export function allServers(): Query<ServerRow> {
  return { sql: "SELECT id,name,endpoint FROM server ORDER BY id", values: [] };
}

interface ZoneRow {
  readonly id: number;
  readonly version: number;
}

const zoneById = (id: number): Query<ZoneRow> => ({ sql: "SELECT id,version FROM zone WHERE id=?", values: [id] });

/** Holds while the list of servers is the one that was read. */
function sameServers(servers: readonly ServerRow[]) {
  return {
    sql: "SELECT id,name,endpoint FROM server ORDER BY id",
    values: [],
    expect: servers.map((server) => [server.id, server.name, server.endpoint]),
    why: "the zone's servers were changed meanwhile",
  };
}

/**
 * `one.zone.addserver(zone, "SERVER=[NAME=…,ENDPOINT=…]")` → zone id. Adds the row only, with the highest id + 1; the box
 * joins with a token. The first server of a zone is the box itself.
 */
const addServer: WriteCommand = {
  kind: "write",
  result: () => ZONE_ID,
  key: () => "zone",
  reads: () => [allServers()],
  plan: (rows, args, caller) => {
    const denied = authorize(caller, ["ADMIN", { type: "ZONE", id: int(args, 0) }]);
    if (denied !== undefined) return denied;
    const given = newServer(args);
    if ("kind" in given) return given;
    const { server } = given;
    const servers = all<ServerRow>(rows, 0);
    if (servers.length >= SERVERS_MAX) return refusal(CODE.action, `A zone has at most ${SERVERS_MAX} servers`);
    const same = servers.find((one) => one.name === server["NAME"] || one.endpoint === server["ENDPOINT"]);
    if (same !== undefined) return refusal(CODE.action, `NAME or ENDPOINT is already taken by SERVER ${same.id}.`);
    return plan({
      guards: [sameServers(servers)],
      statements: [
        statement(
          "INSERT INTO server(id,zone_id,name,endpoint,endpoint_grpc) VALUES(?,?,?,?,?)",
          (servers[servers.length - 1]?.id ?? -1) + 1,
          ZONE_ID,
          server["NAME"] ?? "",
          server["ENDPOINT"] ?? "",
          server["ENDPOINT_GRPC"] ?? "",
        ),
      ],
      tags: ["zone:0", "server"],
    });
  },
  prepare: async (args, world) => {
    const given = newServer(args);
    if ("kind" in given) return given;
    const { server } = given;
    const servers = await world.query(allServers());
    const why = world.membership.cannotAdd(server["ENDPOINT"] ?? "", servers.length === 0);
    return why === undefined ? undefined : refusal(CODE.action, why);
  },
};

function newServer(args: readonly unknown[]): { readonly server: Vector } | Refusal {
  if (args[0] !== ZONE_ID) {
    return refusal(CODE.action, "Servers have to be added through the target zone endpoints");
  }
  const attributes = parseTemplate(String(args[1]));
  if (isTemplateError(attributes)) return refusal(CODE.action, attributes.error);
  const server = getVectors(attributes, "SERVER")[0];
  if (server === undefined) return refusal(CODE.action, "SERVER not found in template");
  if (!server["NAME"]) return refusal(CODE.action, "Missing NAME in SERVER");
  if (!server["ENDPOINT"]) return refusal(CODE.action, "Missing ENDPOINT or ENDPOINT_GRPC in SERVER");
  if (!/^https?:\/\/[^\s/"<>]{1,255}(\/[^\s"<>]{0,255})?$/.test(server["ENDPOINT"])) {
    return refusal(CODE.action, `ENDPOINT "${server["ENDPOINT"].slice(0, 128)}" is not an http address`);
  }
  return { server };
}

/** `one.zone.delserver(zone, server)` → zone id. The box leaves the group of consensus first, then its row goes. */
const deleteServer: WriteCommand = {
  kind: "write",
  result: () => ZONE_ID,
  key: () => "zone",
  reads: (args) => [allServers(), zoneById(int(args, 0))],
  plan: (rows, args, caller) => {
    const denied = authorize(caller, ["ADMIN", { type: "ZONE", id: int(args, 0) }]);
    if (denied !== undefined) return denied;
    if (first(rows, 1) === undefined) return noSuch(ZONE.noun, int(args, 0));
    const servers = all<ServerRow>(rows, 0);
    if (!servers.some((server) => server.id === int(args, 1))) {
      return refusal(CODE.action, "SERVER not found in zone");
    }
    return plan({
      guards: [],
      statements: [
        statement("DELETE FROM server WHERE id=?", int(args, 1)),
        // The next server may get the same id: a token of this one must not let a box in as that one.
        statement("DELETE FROM join_token WHERE server_id=?", int(args, 1)),
      ],
      tags: ["zone:0", "server"],
    });
  },
  prepare: async (args, world) => {
    const why = await world.membership.remove(int(args, 1));
    return why === undefined ? undefined : refusal(CODE.action, why);
  },
};

/** `one.zone.resetserver(zone, server)` → zone id, once the server's new state is on its way to it. */
const resetServer: LeaderCommand = {
  kind: "leader",
  key: () => "zone",
  run: async (args, caller, world) => {
    const denied = authorize(caller, ["ADMIN", { type: "ZONE", id: int(args, 0) }]);
    if (denied !== undefined) return denied;
    if (int(args, 0) !== ZONE_ID) return noSuch(ZONE.noun, int(args, 0));
    const why = await world.membership.reset(int(args, 1));
    return why === undefined ? ZONE_ID : refusal(CODE.action, why);
  },
};

/** `one.zone.enable(zone, flag)` → zone id. A disabled zone answers reads and refuses all writes but this one. */
const enableZone: WriteCommand = {
  kind: "write",
  result: sameId,
  key: () => "zone",
  reads: (args) => [zoneById(int(args, 0))],
  plan: (rows, args, caller) => {
    const zone = first<ZoneRow>(rows, 0);
    if (zone === undefined) return noSuch(ZONE.noun, int(args, 0));
    const denied = authorize(caller, ["ADMIN", { type: "ZONE", id: zone.id }]);
    if (denied !== undefined) return denied;
    return plan({
      guards: [versionGuard("zone", zone)],
      statements: [statement("UPDATE zone SET version=version+1,state=? WHERE id=?", flag(args, 1) ? 0 : 1, zone.id)],
      tags: [`zone:${zone.id}`],
    });
  },
};

/** `ringfence.zone.jointoken(server)` → a token with which that server joins: one hour, single use. */
const joinToken: LeaderCommand = {
  kind: "leader",
  key: () => "zone",
  run: async (args, caller, world) => {
    const denied = authorize(caller, ["ADMIN", { type: "ZONE", id: ZONE_ID }]);
    if (denied !== undefined) return denied;
    const servers = await world.query(allServers());
    if (!servers.some((server) => server.id === int(args, 0))) {
      return refusal(CODE.action, "SERVER not found in zone");
    }
    const made = await world.membership.joinToken(int(args, 0));
    return "why" in made ? refusal(CODE.action, made.why) : made.token;
  },
};

/** `one.zone.raftstatus()`: the box's own view, answered by each box itself. */
const raftStatus: LocalCommand = {
  kind: "local",
  run: async (_args, _caller, world) => renderRaft(await world.raftNumbers()),
};

const RAFT_STATES: readonly RaftNumbers["state"][] = ["solo", "candidate", "follower", "leader"];

/** The `<RAFT>` element. A solo box has no log that others could compare: −1, as OpenNebula shows it. */
export function renderRaft(raft: RaftNumbers): string {
  const solo = raft.state === "solo";
  const numbers: readonly (readonly [string, number])[] = [
    ["SERVER_ID", solo ? -1 : raft.serverId],
    ["STATE", RAFT_STATES.indexOf(raft.state)],
    ["TERM", solo ? 0 : raft.term],
    ["VOTEDFOR", solo ? -1 : raft.votedFor],
    ["COMMIT", solo ? 0 : raft.commit],
    ["LOG_INDEX", solo ? -1 : raft.logIndex],
    ["LOG_TERM", solo ? -1 : raft.logTerm],
    ["FEDLOG_INDEX", -1],
  ];
  return `<RAFT>${numbers.map(([name, value]) => `<${name}>${value}</${name}>`).join("")}</RAFT>`;
}

const SERVER_ID = { name: "server", type: "int" } as const;

export const ZONE_METHODS: readonly Method[] = [
  {
    name: "one.zone.info",
    parameters: [ID, { name: "decrypt", type: "boolean", default: false }],
    command: infoCommand(ZONE),
  },
  { name: "one.zonepool.info", parameters: [], command: plainPoolCommand(ZONE) },
  { name: "one.zone.raftstatus", parameters: [], command: raftStatus },
  {
    name: "one.zone.addserver",
    parameters: [ID, { name: "template", type: "string" }],
    command: addServer,
    whileDisabled: true,
  },
  { name: "one.zone.delserver", parameters: [ID, SERVER_ID], command: deleteServer, whileDisabled: true },
  { name: "one.zone.resetserver", parameters: [ID, SERVER_ID], command: resetServer, whileDisabled: true },
  {
    name: "one.zone.enable",
    parameters: [ID, { name: "enable", type: "boolean" }],
    command: enableZone,
    whileDisabled: true,
  },
  { name: "ringfence.zone.jointoken", parameters: [SERVER_ID], command: joinToken, whileDisabled: true },
];
