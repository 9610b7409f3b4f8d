import type { ObjectKind } from "../object.ts";
import { sqlXml, xmlCdata, xmlOwner, xmlPermissions, xmlText } from "../sql-xml.ts";

const HISTORY = sqlXml`<HISTORY><OID>${"vm_id"}</OID><SEQ>${"seq"}</SEQ><HOSTNAME>${xmlText("hostname")}</HOSTNAME><HID>${"hid"}</HID><CID>${"cid"}</CID><STIME>${"stime"}</STIME><ETIME>${"etime"}</ETIME><VM_MAD>${xmlCdata("vm_mad")}</VM_MAD><TM_MAD>${xmlCdata("tm_mad")}</TM_MAD><DS_ID>${"ds_id"}</DS_ID><PLAN_ID>-1</PLAN_ID><ACTION_ID>-1</ACTION_ID><PSTIME>${"pstime"}</PSTIME><PETIME>${"petime"}</PETIME><RSTIME>${"rstime"}</RSTIME><RETIME>${"retime"}</RETIME><ESTIME>${"estime"}</ESTIME><EETIME>${"eetime"}</EETIME><ACTION>${"action"}</ACTION><UID>${"uid"}</UID><GID>${"gid"}</GID><REQUEST_ID>${"request_id"}</REQUEST_ID></HISTORY>`;

const HISTORY_RECORDS = `coalesce((SELECT group_concat(${HISTORY},'' ORDER BY seq) FROM history WHERE vm_id=vm.id),'')`;

const LAST_RECORD_SHORT = sqlXml`<HISTORY><OID>${"vm_id"}</OID><SEQ>${"seq"}</SEQ><HOSTNAME>${xmlCdata("hostname")}</HOSTNAME><HID>${"hid"}</HID><CID>${"cid"}</CID><DS_ID>${"ds_id"}</DS_ID><VM_MAD>${xmlCdata("vm_mad")}</VM_MAD><TM_MAD>${xmlCdata("tm_mad")}</TM_MAD><ACTION><![CDATA[${"action"}]]></ACTION></HISTORY>`;

const LAST_RECORD = `coalesce((SELECT ${LAST_RECORD_SHORT} FROM history WHERE vm_id=vm.id AND history.seq=vm.seq),'')`;

const REASON = sqlXml`<ERROR>${xmlCdata("vm.reason")}</ERROR>`;

const NUMBERS = sqlXml`<RESCHED>${"vm.resched"}</RESCHED><STIME>${"vm.stime"}</STIME><ETIME>${"vm.etime"}</ETIME><DEPLOY_ID>${xmlText("vm.deploy_id")}</DEPLOY_ID>`;

/** From VM to before MONITORING. */
export const VM_XML_HEAD: string = sqlXml`<VM><ID>${"vm.id"}</ID>${xmlOwner("vm")}<NAME>${xmlText("vm.name")}</NAME>${xmlPermissions("vm")}<LAST_POLL>0</LAST_POLL><STATE>${"vm.state"}</STATE><LCM_STATE>${"vm.lcm_state"}</LCM_STATE><PREV_STATE>${"vm.prev_state"}</PREV_STATE><PREV_LCM_STATE>${"vm.prev_lcm_state"}</PREV_LCM_STATE>${NUMBERS}`;

/** From behind MONITORING to the end. */
export const VM_XML_TAIL: string = sqlXml`<SCHED_ACTIONS></SCHED_ACTIONS><TEMPLATE>${"vm.template"}<VMID><![CDATA[${"vm.id"}]]></VMID></TEMPLATE><USER_TEMPLATE>${"vm.user_template"}${`CASE WHEN vm.reason='' THEN '' ELSE ${REASON} END`}</USER_TEMPLATE><HISTORY_RECORDS>${HISTORY_RECORDS}</HISTORY_RECORDS><BACKUPS><BACKUP_CONFIG/><BACKUP_IDS></BACKUP_IDS></BACKUPS></VM>`;

/** A virtual machine. */
export const VM: ObjectKind = {
  table: "vm",
  noun: "virtual machine",
  type: "VM",
  pool: "VM_POOL",
  owned: true,
  xml: sqlXml`${VM_XML_HEAD}<MONITORING></MONITORING>${VM_XML_TAIL}`,
};

/** The short form of `one.vmpool.info`. */
export const VM_SHORT_XML: string = sqlXml`<VM><ID>${"vm.id"}</ID>${xmlOwner("vm")}<NAME>${xmlText("vm.name")}</NAME><LAST_POLL>0</LAST_POLL><STATE>${"vm.state"}</STATE><LCM_STATE>${"vm.lcm_state"}</LCM_STATE>${NUMBERS}<TEMPLATE>${"vm.short_template"}</TEMPLATE><MONITORING/><USER_TEMPLATE/><HISTORY_RECORDS>${LAST_RECORD}</HISTORY_RECORDS></VM>`;
