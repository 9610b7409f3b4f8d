import type { ObjectKind } from "../object.ts";
import { sqlXml, xmlCdata, xmlIds, xmlText } from "../sql-xml.ts";
import { HOST_STATE } from "./states.ts";

const SHARE = sqlXml`<HOST_SHARE><MEM_USAGE>${"host.mem_usage"}</MEM_USAGE><CPU_USAGE>${"host.cpu_usage"}</CPU_USAGE><TOTAL_MEM>${"host.total_mem"}</TOTAL_MEM><TOTAL_CPU>${"host.total_cpu"}</TOTAL_CPU><MAX_MEM>${"host.total_mem-host.reserved_mem"}</MAX_MEM><MAX_CPU>${"host.total_cpu-host.reserved_cpu"}</MAX_CPU><RUNNING_VMS>${"host.running_vms"}</RUNNING_VMS><VMS_THREAD>1</VMS_THREAD><DATASTORES><DISK_USAGE><![CDATA[0]]></DISK_USAGE><FREE_DISK><![CDATA[0]]></FREE_DISK><MAX_DISK><![CDATA[0]]></MAX_DISK><USED_DISK><![CDATA[0]]></USED_DISK></DATASTORES><PCI_DEVICES></PCI_DEVICES><NUMA_NODES></NUMA_NODES></HOST_SHARE>`;

/** An attribute that is there only while the column says something. */
const whenSet = (name: string, column: string): string =>
  `CASE WHEN ${column}='' THEN '' ELSE ${sqlXml`<${`'${name}'`}>${xmlCdata(column)}</${`'${name}'`}>`} END`;

/** A host that is being fenced, or held for a person, is in nobody's service: lists show `err`, not `on`. */
const SHOWN_STATE = `CASE WHEN host.state=${HOST_STATE.monitored} AND host.fence_note<>'' THEN ${HOST_STATE.error} ELSE host.state END`;

/** Everything of a HOST but MONITORING, which is not state, and the closing tag. */
export const HOST_XML_OPEN: string = sqlXml`<HOST><ID>${"host.id"}</ID><NAME>${xmlText("host.name")}</NAME><STATE>${SHOWN_STATE}</STATE><PREV_STATE>${"host.prev_state"}</PREV_STATE><IM_MAD>${xmlCdata("host.im_mad")}</IM_MAD><VM_MAD>${xmlCdata("host.vm_mad")}</VM_MAD><CLUSTER_ID>${"host.cluster_id"}</CLUSTER_ID><CLUSTER>${xmlText("(SELECT name FROM cluster WHERE cluster.id=host.cluster_id)")}</CLUSTER>${SHARE}<VMS>${xmlIds("SELECT id FROM vm WHERE vm.host_id=host.id")}</VMS><TEMPLATE>${"host.shown"}${whenSet("ERROR", "host.error")}${whenSet("FENCE_STATE", "host.fence_note")}</TEMPLATE>`;

/** A hypervisor. */
export const HOST: ObjectKind = {
  table: "host",
  noun: "host",
  type: "HOST",
  pool: "HOST_POOL",
  owned: false,
  xml: sqlXml`${HOST_XML_OPEN}<MONITORING/></HOST>`,
};
