import type { ObjectKind } from "../object.ts";
import { sqlXml, xmlCdata, xmlIds, xmlOwner, xmlPermissions, xmlText } from "../sql-xml.ts";

/** A disk image: a file on the shared datastore. */
export const IMAGE: ObjectKind = {
  table: "image",
  noun: "image",
  type: "IMAGE",
  pool: "IMAGE_POOL",
  owned: true,
  xml: sqlXml`<IMAGE><ID>${"image.id"}</ID>${xmlOwner("image")}<NAME>${xmlText("image.name")}</NAME>${xmlPermissions("image")}<TYPE>${"image.type"}</TYPE><DISK_TYPE>0</DISK_TYPE><PERSISTENT>${"image.persistent"}</PERSISTENT><REGTIME>${"image.regtime"}</REGTIME><MODTIME>${"image.modtime"}</MODTIME><SOURCE>${xmlCdata("image.source")}</SOURCE><PATH>${xmlCdata("image.path")}</PATH><FORMAT>${xmlCdata("image.format")}</FORMAT><FS></FS><SIZE>${"image.size_mb"}</SIZE><STATE>${"image.state"}</STATE><PREV_STATE>${"image.prev_state"}</PREV_STATE><RUNNING_VMS>${"image.running_vms"}</RUNNING_VMS><CLONING_OPS>0</CLONING_OPS><CLONING_ID>-1</CLONING_ID><TARGET_SNAPSHOT>-1</TARGET_SNAPSHOT><DATASTORE_ID>${"image.datastore_id"}</DATASTORE_ID><DATASTORE>${xmlText("(SELECT name FROM datastore WHERE datastore.id=image.datastore_id)")}</DATASTORE><VMS>${xmlIds("SELECT vm_id AS id FROM image_use WHERE image_use.image_id=image.id")}</VMS><CLONES></CLONES><APP_CLONES></APP_CLONES><TEMPLATE>${"image.template"}</TEMPLATE><SNAPSHOTS><ALLOW_ORPHANS><![CDATA[NO]]></ALLOW_ORPHANS><CURRENT_BASE><![CDATA[-1]]></CURRENT_BASE><NEXT_SNAPSHOT><![CDATA[0]]></NEXT_SNAPSHOT></SNAPSHOTS><BACKUP_INCREMENTS></BACKUP_INCREMENTS></IMAGE>`,
};

/** What commands read of an image. */
export interface ImageRow {
  readonly id: number;
  readonly version: number;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  readonly persistent: number;
  readonly source: string;
  readonly format: string;
  readonly size_mb: number;
  readonly state: number;
  readonly running_vms: number;
  readonly datastore_id: number;
}

export const IMAGE_COLUMNS =
  "id,version,name,uid,gid,permissions,persistent,source,format,size_mb,state,running_vms,datastore_id";
