import type { Caller } from "./caller.ts";
import { statement, versionGuard } from "./change.ts";
import { NO_QUOTAS } from "./group.ts";
import {
  first,
  int,
  ints,
  type Method,
  newId,
  plan,
  type ReadCommand,
  sameId,
  text,
  type WriteCommand,
} from "./method.ts";
import { authorize, elements, ID, nameFault, type ObjectKind, takeId, takenId, wrapPool } from "./object.ts";
import type { Query } from "./query.ts";
import { CODE, cannotAllocate, noSuch, refusal } from "./refusal.ts";
import { poolXml, sqlXml, xmlCdata, xmlText } from "./sql-xml.ts";

const HEAD = sqlXml`<USER><ID>${"user.id"}</ID><GID>${"user.gid"}</GID><GROUPS><ID>${"user.gid"}</ID></GROUPS><GNAME>${xmlText("user.gname")}</GNAME><NAME>${xmlText("user.name")}</NAME><PASSWORD><![CDATA[***]]></PASSWORD><AUTH_DRIVER>${xmlCdata("user.auth_driver")}</AUTH_DRIVER><ENABLED>${"user.enabled"}</ENABLED><TEMPLATE>${"user.template"}</TEMPLATE>`;

/** Someone with a password. The hash is never shown: OpenNebula does, and it can be guessed at leisure. */
export const USER: ObjectKind = {
  table: "user",
  noun: "user",
  type: "USER",
  pool: "USER_POOL",
  owned: false,
  xml: HEAD,
};

const DEFAULTS = `<DEFAULT_USER_QUOTAS>${NO_QUOTAS}</DEFAULT_USER_QUOTAS>`;

/** Group `users`, where a new user goes unless another is named. */
const USERS_GROUP = 1;

/** `one.user.info(id)`; −1 is the caller. */
const userInfo: ReadCommand = {
  kind: "read",
  reads: (args, caller) => [
    { sql: `SELECT id,gid,${HEAD} AS xml FROM user WHERE id=?`, values: [selfOr(int(args, 0), caller)] },
  ],
  answer: (rows, args, caller) => {
    const row = first<{ readonly id: number; readonly gid: number; readonly xml: string }>(rows, 0);
    if (row === undefined) return noSuch(USER.noun, int(args, 0));
    const denied =
      row.id === caller.uid ? undefined : authorize(caller, ["USE", { type: "USER", id: row.id, gid: row.gid }]);
    return denied ?? `${row.xml}${NO_QUOTAS}${DEFAULTS}</USER>`;
  },
};

const POOL_ITEM = sqlXml`${HEAD}</USER><QUOTAS><ID>${"user.id"}</ID>${`'${NO_QUOTAS}'`}</QUOTAS>`;

const userPool: ReadCommand = {
  kind: "read",
  reads: (_args, caller) => [
    {
      sql: poolXml("user", POOL_ITEM, "? OR id=?"),
      values: [caller.isAdmin ? 1 : 0, caller.uid],
    },
  ],
  answer: (rows) => wrapPool(USER, `${elements(rows)}${DEFAULTS}`),
};

interface UserRow {
  readonly id: number;
  readonly version: number;
  readonly name: string;
  readonly gid: number;
  readonly auth_driver: string;
}

/** `one.user.allocate(name, password, driver, groups)` → id. */
const allocateUser: WriteCommand = {
  kind: "write",
  result: newId,
  reads: (args) => [
    { sql: "SELECT id FROM user WHERE name=?", values: [text(args, 0)] },
    { sql: "SELECT id,name FROM user_group WHERE id=?", values: [ints(args, 3)[0] ?? USERS_GROUP] },
  ],
  plan: (rows, args, caller, { sha256 }) => {
    const denied = authorize(caller, ["CREATE", { type: "USER" }]);
    if (denied !== undefined) return denied;
    const [name, password] = [text(args, 0), text(args, 1)];
    const group = first<{ readonly id: number; readonly name: string }>(rows, 1);
    if (group === undefined) return noSuch("group", ints(args, 3)[0] ?? USERS_GROUP);
    const taken = first<{ readonly id: number }>(rows, 0);
    const fault =
      nameFault(name) ??
      (/[:\s'"<>&]/.test(name)
        ? "Invalid NAME, it contains a colon, a quotation mark, < > & or white space"
        : undefined) ??
      passwordFault(password) ??
      (text(args, 2) === "" || text(args, 2) === "core" ? undefined : `Driver "${text(args, 2)}" is not supported`) ??
      (taken && `NAME is already taken by USER ${taken.id}.`);
    if (fault !== undefined) return cannotAllocate(USER.noun, fault);
    return plan({
      guards: [],
      statements: [
        takeId("user"),
        statement(
          `INSERT INTO user(id,name,gid,gname,password) VALUES(${takenId("user")},?,?,?,?)`,
          name,
          group.id,
          group.name,
          sha256(password),
        ),
      ],
      tags: ["user"],
    });
  },
};

/** `one.user.passwd(id, password)` → id; one's own, or by who may manage the user. −1 is the caller. */
const setPassword: WriteCommand = {
  kind: "write",
  result: sameId,
  key: userKey,
  reads: (args, caller) => [userById(selfOr(int(args, 0), caller))],
  plan: (rows, args, caller, { sha256 }) => {
    const row = first<UserRow>(rows, 0);
    if (row === undefined) return noSuch(USER.noun, int(args, 0));
    const denied =
      row.id === caller.uid ? undefined : authorize(caller, ["MANAGE", { type: "USER", id: row.id, gid: row.gid }]);
    if (denied !== undefined) return denied;
    const fault = passwordFault(text(args, 1));
    if (fault !== undefined) return refusal(CODE.action, fault, row.id);
    return plan(
      {
        guards: [versionGuard("user", row)],
        statements: [
          statement("UPDATE user SET version=version+1,password=? WHERE id=?", sha256(text(args, 1)), row.id),
        ],
        tags: [`user:${row.id}`],
      },
      row.id,
    );
  },
};

/** Login tokens a user may have at a time; the oldest to expire gives way. */
const TOKENS_MAX = 16;

/**
 * `one.user.login(name, token, seconds, group)` → the token. Seconds −1: without an end; 0: the token is revoked, "" all
 * of them. Only its hash is kept.
 */
const login: WriteCommand = {
  kind: "write",
  result: (args) =>
    int(args, 2) === 0 ? "" : refusal(CODE.internal, "The token was made, but its answer was lost: ask for another"),
  key: (args) => `user-name:${text(args, 0)}`,
  reads: (args) => [{ sql: "SELECT id,version,name,gid,auth_driver FROM user WHERE name=?", values: [text(args, 0)] }],
  plan: (rows, args, caller, { now, sha256, randomHex }) => {
    const row = first<UserRow>(rows, 0);
    const [token, seconds] = [text(args, 1), int(args, 2)];
    const denied =
      row?.id === caller.uid ? undefined : authorize(caller, ["MANAGE", { type: "USER", id: row?.id ?? -1 }]);
    if (denied !== undefined) return denied;
    if (row === undefined) return refusal(CODE.noExists, `Error getting user ${text(args, 0)}.`);
    const tags = [`user:${row.id}`];
    if (seconds === 0) {
      const one = statement("DELETE FROM login_token WHERE uid=? AND token=?", row.id, sha256(token));
      const every = statement("DELETE FROM login_token WHERE uid=?", row.id);
      return plan({ guards: [], statements: [token === "" ? every : one], tags }, "");
    }
    if (seconds < -1) return refusal(CODE.action, "Expiration time must be -1, 0 or a number of seconds", row.id);
    const fresh = token === "" ? randomHex(32) : token;
    if (fresh.length < 8 || fresh.length > 256) return refusal(CODE.action, "A token has 8 to 256 characters", row.id);
    const expires = seconds === -1 ? -1 : now + seconds;
    return plan(
      {
        guards: [],
        statements: [
          statement("DELETE FROM login_token WHERE uid=? AND expires<>-1 AND expires<=?", row.id, now),
          statement(
            "DELETE FROM login_token WHERE uid=? AND token IN (SELECT token FROM login_token WHERE uid=? ORDER BY expires=-1,expires DESC,token LIMIT -1 OFFSET ?)",
            row.id,
            row.id,
            TOKENS_MAX - 1,
          ),
          statement(
            "INSERT OR REPLACE INTO login_token(uid,token,expires,egid) VALUES(?,?,?,?)",
            row.id,
            sha256(fresh),
            expires,
            int(args, 3),
          ),
        ],
        tags,
      },
      fresh,
    );
  },
};

/** `one.user.delete(id)` → id. Oneadmin and serveradmin stay. */
const deleteUser: WriteCommand = {
  kind: "write",
  result: sameId,
  key: userKey,
  reads: (args) => [userById(int(args, 0))],
  plan: (rows, args, caller) => {
    const row = first<UserRow>(rows, 0);
    if (row === undefined) return noSuch(USER.noun, int(args, 0));
    const denied = authorize(caller, ["ADMIN", { type: "USER", id: row.id, gid: row.gid }]);
    if (denied !== undefined) return denied;
    if (row.id <= 1) return refusal(CODE.action, `${row.name} cannot be deleted.`, row.id);
    return plan({
      guards: [versionGuard("user", row)],
      statements: [
        statement("DELETE FROM login_token WHERE uid=?", row.id),
        statement("DELETE FROM user WHERE id=?", row.id),
      ],
      tags: ["user", `user:${row.id}`],
    });
  },
};

const TEXT = (name: string): { readonly name: string; readonly type: "string" } => ({ name, type: "string" });

export const USER_METHODS: readonly Method[] = [
  {
    name: "one.user.info",
    parameters: [
      { ...ID, default: -1 },
      { name: "decrypt", type: "boolean", default: false },
    ],
    command: userInfo,
  },
  { name: "one.userpool.info", parameters: [], command: userPool },
  {
    name: "one.user.allocate",
    parameters: [
      TEXT("name"),
      TEXT("password"),
      { name: "driver", type: "string", default: "core" },
      { name: "groups", type: "ints", default: [] },
    ],
    command: allocateUser,
  },
  { name: "one.user.passwd", parameters: [ID, TEXT("password")], command: setPassword },
  {
    name: "one.user.login",
    parameters: [
      TEXT("name"),
      TEXT("token"),
      { name: "seconds", type: "int" },
      { name: "group", type: "int", default: -1 },
    ],
    command: login,
  },
  { name: "one.user.delete", parameters: [ID], command: deleteUser },
];

function userById(id: number): Query<UserRow> {
  return { sql: "SELECT id,version,name,gid,auth_driver FROM user WHERE id=?", values: [id] };
}

function passwordFault(password: string): string | undefined {
  if (password === "") return "Invalid password, it cannot be empty";
  return /\s/.test(password) || password.length > 256
    ? "Invalid password, it has white space or is too long"
    : undefined;
}

function selfOr(id: number, caller: Caller): number {
  return id === -1 ? caller.uid : id;
}

function userKey(args: readonly unknown[]): string {
  return `user:${String(args[0])}`;
}
