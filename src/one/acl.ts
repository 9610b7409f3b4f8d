import { ALL, CLUSTER, GROUP, INDIVIDUAL, type Operation, RESOURCE, RIGHT } from "./caller.ts";
import { all, type Method, type ReadCommand } from "./method.ts";
import type { Query } from "./query.ts";

/** One access rule as it is kept: the four numbers in hex, as OpenNebula writes them. */
export interface AclRow {
  readonly id: number;
  readonly user: string;
  readonly resource: string;
  readonly rights: string;
  readonly zone: string;
}

export function allRules(): Query<AclRow> {
  return { sql: "SELECT id,user,resource,rights,zone FROM acl ORDER BY id", values: [] };
}

/** `@1 HOST/* MANAGE #0`: a rule as people read it. */
export function ruleText(rule: AclRow): string {
  const resource = BigInt(`0x${rule.resource}`);
  const types = Object.entries(RESOURCE).flatMap(([name, bit]) => ((resource & bit) === 0n ? [] : [name]));
  const rights = Object.entries(RIGHT).flatMap(([name, bit]) =>
    (Number.parseInt(rule.rights, 16) & bit) === 0 ? [] : [name as Operation],
  );
  const zone = who(BigInt(`0x${rule.zone}`));
  return `${who(BigInt(`0x${rule.user}`))} ${types.join("+")}/${who(resource)} ${rights.join("+")} ${zone}`;
}

/** Whether a rule speaks of this user. */
export function isAbout(rule: AclRow, uid: number, gid: number): boolean {
  const user = BigInt(`0x${rule.user}`);
  const low = Number(user & 0xffffffffn);
  if ((user & ALL) !== 0n) return true;
  if ((user & INDIVIDUAL) !== 0n) return low === uid;
  return (user & GROUP) !== 0n && low === gid;
}

function who(bits: bigint): string {
  const low = String(bits & 0xffffffffn);
  if ((bits & ALL) !== 0n) return "*";
  if ((bits & INDIVIDUAL) !== 0n) return `#${low}`;
  return (bits & CLUSTER) !== 0n ? `%${low}` : `@${low}`;
}

/** `one.acl.info()`: rules of groups before rules of everybody, as OpenNebula's table is ordered. */
const aclInfo: ReadCommand = {
  kind: "read",
  reads: () => [allRules()],
  answer: (rows) => {
    const rules = [...all<AclRow>(rows, 0)].sort(
      (a, b) => Number(BigInt(`0x${a.user}`) - BigInt(`0x${b.user}`)) || a.id - b.id,
    );
    const element = (rule: AclRow): string =>
      `<ACL><ID>${rule.id}</ID><USER>${rule.user}</USER><RESOURCE>${rule.resource}</RESOURCE><RIGHTS>${rule.rights}</RIGHTS><ZONE>${rule.zone}</ZONE><STRING>${ruleText(rule)}</STRING></ACL>`;
    return `<ACL_POOL>${rules.map(element).join("")}</ACL_POOL>`;
  },
};

export const ACL_METHODS: readonly Method[] = [{ name: "one.acl.info", parameters: [], command: aclInfo }];
