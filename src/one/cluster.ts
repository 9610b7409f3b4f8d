import type { Method } from "./method.ts";
import { ID, infoCommand, type ObjectKind, plainPoolCommand } from "./object.ts";
import { sqlXml, xmlIds, xmlText } from "./sql-xml.ts";

/** Hosts and datastores that belong together. There is one, `default`, until clusters can be made. */
export const CLUSTER: ObjectKind = {
  table: "cluster",
  noun: "cluster",
  type: "CLUSTER",
  pool: "CLUSTER_POOL",
  owned: false,
  xml: sqlXml`<CLUSTER><ID>${"cluster.id"}</ID><NAME>${xmlText("cluster.name")}</NAME><HOSTS>${xmlIds("SELECT id FROM host WHERE host.cluster_id=cluster.id")}</HOSTS><DATASTORES>${xmlIds("SELECT id FROM datastore WHERE datastore.cluster_id=cluster.id")}</DATASTORES><VNETS></VNETS><TEMPLATE>${"cluster.template"}</TEMPLATE></CLUSTER>`,
};

export const CLUSTER_METHODS: readonly Method[] = [
  { name: "one.cluster.info", parameters: [ID], command: infoCommand(CLUSTER) },
  { name: "one.clusterpool.info", parameters: [], command: plainPoolCommand(CLUSTER) },
];
