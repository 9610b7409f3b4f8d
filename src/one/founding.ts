import type { Entry, Statement } from "../base/entry.ts";
import { type Attributes, renderTemplate } from "./attributes.ts";
import { statement } from "./change.ts";
import { SCHEMA_LEVEL_1 } from "./schema.ts";

/** What a founding entry is given from outside: it has no clock, no secret and no network of its own. */
export interface Founding {
  /** SHA-256 of oneadmin's password, lower-case hex. */
  readonly oneadminPasswordHash: string;
  /** SHA-256 of a random password that nobody knows: serveradmin cannot log in until it is given one. */
  readonly serveradminPasswordHash: string;
  /** Wall milliseconds, for people. */
  readonly now: number;
  /** Tables of other folders that are part of schema level 1 (fencing, join tokens), after ours. */
  readonly schema?: readonly Statement[];
}

/** The endpoint that OpenNebula's zone 0 has before anybody sets one. */
const LOCAL_ENDPOINT = "http://localhost:2633/RPC2";

/** Where hosts have the shared datastores. */
const DATASTORES_PATH = "/var/lib/one/datastores";

/**
 * The entries with which a solo box founds a cluster: the schema, then the objects that every OpenNebula has from the
 * start. Applied in order on an empty state; every box that joins replays the same.
 */
export function foundingEntries(founding: Founding): readonly Entry[] {
  const entry = (kind: string, sequence: number, statements: readonly Statement[]): Entry => ({
    version: 1,
    requestId: `founding:${sequence}`,
    kind,
    at: founding.now,
    tags: ["zone:0", "user", "acl"],
    guards: [],
    statements,
  });
  return [
    entry("schema.level-1", 1, [...SCHEMA_LEVEL_1.map((sql) => statement(sql)), ...(founding.schema ?? [])]),
    entry("founding", 2, [...counters(), ...zone(), ...people(founding), ...rules(), ...places()]),
  ];
}

/** The next id of each kind. Groups below 100 are OpenNebula's own, and so are datastores. */
function counters(): readonly Statement[] {
  const first: Readonly<Record<string, number>> = {
    acl: 6,
    cluster: 100,
    datastore: 100,
    host: 0,
    image: 0,
    template: 0,
    user: 2,
    user_group: 100,
    vm: 0,
  };
  return Object.entries(first).map(([name, next]) =>
    statement("INSERT INTO counter(name,next) VALUES(?,?)", name, next),
  );
}

function zone(): readonly Statement[] {
  const template = attributes({ ENDPOINT: LOCAL_ENDPOINT, ENDPOINT_GRPC: "" });
  return [statement("INSERT INTO zone(id,name,template) VALUES(0,'OpenNebula',?)", renderTemplate(template))];
}

function people({ oneadminPasswordHash, serveradminPasswordHash }: Founding): readonly Statement[] {
  const sunstone = renderTemplate([
    {
      name: "SUNSTONE",
      value: {
        DEFAULT_VIEW: "cloud",
        GROUP_ADMIN_DEFAULT_VIEW: "groupadmin",
        GROUP_ADMIN_VIEWS: "groupadmin,cloud",
        VIEWS: "cloud",
      },
    },
  ]);
  const user = "INSERT INTO user(id,name,gid,gname,password,auth_driver) VALUES(?,?,0,'oneadmin',?,?)";
  return [
    statement("INSERT INTO user_group(id,name,template) VALUES(0,'oneadmin','')"),
    statement("INSERT INTO user_group(id,name,template) VALUES(1,'users',?)", sunstone),
    statement(user, 0, "oneadmin", oneadminPasswordHash, "core"),
    statement(user, 1, "serveradmin", serveradminPasswordHash, "server_cipher"),
  ];
}

/** OpenNebula's default rules: what group `users` and everybody may do. User, resource, rights, zone in hex. */
function rules(): readonly Statement[] {
  const rows: readonly (readonly [string, string, string, string])[] = [
    ["200000001", "121429400000000", "8", "400000000"],
    ["400000000", "800400000000", "1", "400000000"],
    ["400000000", "18000400000000", "1", "400000000"],
    ["200000001", "2400000000", "2", "100000000"],
    ["200000001", "4400000000", "1", "100000000"],
    ["200000001", "100400000000", "1", "100000000"],
  ];
  return rows.map((row, id) =>
    statement("INSERT INTO acl(id,user,resource,rights,zone) VALUES(?,?,?,?,?)", id, ...row),
  );
}

/** Cluster `default` and the datastores `system`, `default` and `files`, all on storage that the hosts share. */
function places(): readonly Statement[] {
  const stores: readonly (readonly [number, string, number, string])[] = [
    [0, "system", 1, "SYSTEM_DS"],
    [1, "default", 0, "IMAGE_DS"],
    [2, "files", 2, "FILE_DS"],
  ];
  return [
    statement(
      "INSERT INTO cluster(id,name,template) VALUES(0,'default',?)",
      renderTemplate(attributes({ RESERVED_CPU: "", RESERVED_MEM: "" })),
    ),
    ...stores.map(([id, name, type, word]) =>
      statement(
        `INSERT INTO datastore(id,name,uid,gid,uname,gname,permissions,cluster_id,type,ds_mad,tm_mad,base_path,template)
VALUES(?,?,0,0,'oneadmin','oneadmin',416,0,?,?,'shared',?,?)`,
        id,
        name,
        type,
        type === 1 ? "-" : "fs",
        `${DATASTORES_PATH}/${id}`,
        renderTemplate(attributes({ TYPE: word, TM_MAD: "shared", DS_MAD: type === 1 ? "-" : "fs", SHARED: "YES" })),
      ),
    ),
  ];
}

function attributes(values: Readonly<Record<string, string>>): Attributes {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}
