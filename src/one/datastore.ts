import type { Method } from "./method.ts";
import { ID, infoCommand, type ObjectKind, ownedPoolCommand } from "./object.ts";
import { sqlXml, xmlCdata, xmlIds, xmlOwner, xmlPermissions, xmlText } from "./sql-xml.ts";

/** A directory that all hosts see. How full it is is a sample, not state: a datastore reports 0 until hosts do. */
export const DATASTORE: ObjectKind = {
  table: "datastore",
  noun: "datastore",
  type: "DATASTORE",
  pool: "DATASTORE_POOL",
  owned: true,
  xml: sqlXml`<DATASTORE><ID>${"datastore.id"}</ID>${xmlOwner("datastore")}<NAME>${xmlText("datastore.name")}</NAME>${xmlPermissions("datastore")}<DS_MAD>${xmlCdata("datastore.ds_mad")}</DS_MAD><TM_MAD>${xmlCdata("datastore.tm_mad")}</TM_MAD><BASE_PATH>${xmlCdata("datastore.base_path")}</BASE_PATH><TYPE>${"datastore.type"}</TYPE><DISK_TYPE>0</DISK_TYPE><STATE>0</STATE><CLUSTERS><ID>${"datastore.cluster_id"}</ID></CLUSTERS><TOTAL_MB>0</TOTAL_MB><FREE_MB>0</FREE_MB><USED_MB>0</USED_MB><IMAGES>${xmlIds("SELECT id FROM image WHERE image.datastore_id=datastore.id")}</IMAGES><TEMPLATE>${"datastore.template"}</TEMPLATE></DATASTORE>`,
};

export const DATASTORE_METHODS: readonly Method[] = [
  {
    name: "one.datastore.info",
    parameters: [ID, { name: "decrypt", type: "boolean", default: false }],
    command: infoCommand(DATASTORE),
  },
  {
    name: "one.datastorepool.info",
    parameters: [
      { name: "filter", type: "int", default: -2 },
      { name: "start", type: "int", default: -1 },
      { name: "end", type: "int", default: -1 },
    ],
    command: ownedPoolCommand(DATASTORE),
  },
];
