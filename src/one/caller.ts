/** Who calls, as the state knows it. */
export interface Caller {
  readonly uid: number;
  readonly name: string;
  /** Primary group. */
  readonly gid: number;
  readonly gname: string;
  /** Of group oneadmin: everything is allowed. */
  readonly isAdmin: boolean;
  /** The rules that speak of this user, its group or all; empty for an admin, who needs none. */
  readonly rules: readonly Rule[];
}

/** One access rule, as OpenNebula stores it: the high bits say what the low 32 mean. */
export interface Rule {
  readonly resource: bigint;
  readonly rights: number;
}

export type Operation = "USE" | "MANAGE" | "ADMIN" | "CREATE";

/** Bits of an access rule's rights. */
export const RIGHT: Readonly<Record<Operation, number>> = { USE: 1, MANAGE: 2, ADMIN: 4, CREATE: 8 };

/** What the low 32 bits of a rule's user or resource are. */
export const INDIVIDUAL = 0x100000000n;
export const GROUP = 0x200000000n;
export const ALL = 0x400000000n;
export const CLUSTER = 0x800000000n;

/** Resource types of access rules. */
export const RESOURCE = {
  VM: 0x1000000000n,
  HOST: 0x2000000000n,
  NET: 0x4000000000n,
  IMAGE: 0x8000000000n,
  USER: 0x10000000000n,
  TEMPLATE: 0x20000000000n,
  GROUP: 0x40000000000n,
  DATASTORE: 0x100000000000n,
  CLUSTER: 0x200000000000n,
  DOCUMENT: 0x400000000000n,
  ZONE: 0x800000000000n,
  SECGROUP: 0x1000000000000n,
  MARKETPLACE: 0x8000000000000n,
  MARKETPLACEAPP: 0x10000000000000n,
  VMGROUP: 0x20000000000000n,
  BACKUPJOB: 0x100000000000000n,
} as const;

export type ResourceType = keyof typeof RESOURCE;

/** An object that a right is asked for. An object without an owner (host, cluster, zone) leaves those fields out. */
export interface Resource {
  readonly type: ResourceType;
  /** Left out for CREATE. */
  readonly id?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly permissions?: number;
  readonly clusterId?: number;
}

/** Whether the owner bits or a rule let `caller` do `operation`. */
export function may(caller: Caller, operation: Operation, resource: Resource): boolean {
  if (caller.isAdmin) return true;
  const bit = { USE: 4, MANAGE: 2, ADMIN: 1, CREATE: 0 }[operation];
  const permissions = resource.permissions ?? 0;
  const granted =
    (resource.uid === caller.uid ? permissions >> 6 : 0) |
    (resource.gid === caller.gid ? permissions >> 3 : 0) |
    permissions;
  if ((granted & bit) !== 0) return true;
  return caller.rules.some((rule) => (rule.rights & RIGHT[operation]) !== 0 && covers(rule.resource, resource));
}

/** `MANAGE VM [3]`, as the refusal's text names a right. */
export function rightName(operation: Operation, resource: Resource): string {
  return `${operation} ${resource.type}${resource.id === undefined ? "" : ` [${resource.id}]`}`;
}

function covers(rule: bigint, resource: Resource): boolean {
  if ((rule & RESOURCE[resource.type]) === 0n) return false;
  const low = Number(rule & 0xffffffffn);
  if ((rule & ALL) !== 0n) return true;
  if ((rule & INDIVIDUAL) !== 0n) return resource.id === low;
  if ((rule & GROUP) !== 0n) return resource.gid === low;
  if ((rule & CLUSTER) !== 0n) return resource.clusterId === low;
  return false;
}
