import { first, int, type Method, type ReadCommand } from "./method.ts";
import { authorize, elements, ID, type ObjectKind, wrapPool } from "./object.ts";
import { noSuch } from "./refusal.ts";
import { poolXml, sqlXml, xmlIds, xmlText } from "./sql-xml.ts";

/** Empty quotas: none are kept yet, clients look for the elements. */
export const NO_QUOTAS =
  "<DATASTORE_QUOTA></DATASTORE_QUOTA><NETWORK_QUOTA></NETWORK_QUOTA><VM_QUOTA></VM_QUOTA><IMAGE_QUOTA></IMAGE_QUOTA>";

const DEFAULTS = `<DEFAULT_GROUP_QUOTAS>${NO_QUOTAS}</DEFAULT_GROUP_QUOTAS>`;

const HEAD = sqlXml`<GROUP><ID>${"user_group.id"}</ID><NAME>${xmlText("user_group.name")}</NAME><TEMPLATE>${"user_group.template"}</TEMPLATE><USERS>${xmlIds("SELECT id FROM user WHERE user.gid=user_group.id")}</USERS><ADMINS></ADMINS>`;

/** A group of users. `group` is a word of SQL, hence the table's name. */
export const GROUP: ObjectKind = {
  table: "user_group",
  noun: "group",
  type: "GROUP",
  pool: "GROUP_POOL",
  owned: false,
  xml: HEAD,
};

const vlanRules = (id: number): string => `<VLAN_RULES><ID><![CDATA[${id}]]></ID></VLAN_RULES>`;

/** `one.group.info(id)`; −1 is the caller's own. */
const groupInfo: ReadCommand = {
  kind: "read",
  reads: (args, caller) => [
    { sql: `SELECT id,${HEAD} AS xml FROM user_group WHERE id=?`, values: [ownOr(int(args, 0), caller.gid)] },
  ],
  answer: (rows, args, caller) => {
    const row = first<{ readonly id: number; readonly xml: string }>(rows, 0);
    if (row === undefined) return noSuch(GROUP.noun, int(args, 0));
    const denied = row.id === caller.gid ? undefined : authorize(caller, ["USE", { type: "GROUP", id: row.id }]);
    return denied ?? `${row.xml}${NO_QUOTAS}${vlanRules(row.id)}${DEFAULTS}</GROUP>`;
  },
};

const groupPool: ReadCommand = {
  kind: "read",
  reads: (_args, caller) => [
    {
      sql: poolXml(
        "user_group",
        sqlXml`${HEAD}</GROUP><QUOTAS><ID>${"id"}</ID>${`'${NO_QUOTAS}'`}</QUOTAS><VLAN_RULES><ID><![CDATA[${"id"}]]></ID></VLAN_RULES>`,
        "? OR id=?",
      ),
      values: [caller.isAdmin ? 1 : 0, caller.gid],
    },
  ],
  answer: (rows) => wrapPool(GROUP, `${elements(rows)}${DEFAULTS}`),
};

export const GROUP_METHODS: readonly Method[] = [
  { name: "one.group.info", parameters: [{ ...ID, default: -1 }], command: groupInfo },
  { name: "one.grouppool.info", parameters: [], command: groupPool },
];

function ownOr(id: number, own: number): number {
  return id === -1 ? own : id;
}
