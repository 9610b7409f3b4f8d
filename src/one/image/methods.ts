import { type Attributes, getText, isTemplateError, parseTemplate, renderTemplate, without } from "../attributes.ts";
import { statement, versionGuard } from "../change.ts";
import { DATASTORE } from "../datastore.ts";
import { first, int, type Method, newId, plan, text, type WriteCommand } from "../method.ts";
import {
  authorize,
  ID,
  infoCommand,
  nameFault,
  ownedPoolCommand,
  POOL_PARAMETERS,
  resourceOf,
  takeId,
  takenId,
} from "../object.ts";
import { objectCommand } from "../object-command.ts";
import { CODE, cannotAllocate, noSuch, refusal } from "../refusal.ts";
import { DEFAULT_PERMISSIONS } from "../template/commands.ts";
import { IMAGE, IMAGE_COLUMNS, type ImageRow } from "./kind.ts";

interface NewImage {
  readonly name: string;
  readonly path: string;
  readonly format: string;
  readonly type: number;
  readonly persistent: boolean;
  readonly sizeMb: number;
  readonly attributes: Attributes;
  readonly datastoreId: number;
}

interface DatastoreRow {
  readonly id: number;
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  readonly type: number;
  readonly base_path: string;
}

const TYPES: readonly string[] = ["OS", "CDROM", "DATABLOCK"];
const READY = 1;

/**
 * `one.image.allocate(template, datastore)` → id. The file is there already, on the shared datastore: PATH is registered
 * as it stands and nothing is copied. A path outside of the datastore is an administrator's to give.
 */
const allocateImage: WriteCommand<NewImage> = {
  kind: "write",
  result: newId,
  parse: (args) => {
    const attributes = parseTemplate(text(args, 0));
    if (isTemplateError(attributes)) return cannotAllocate(IMAGE.noun, attributes.error);
    const read = (name: string, fallback: string): string => getText(attributes, name) ?? fallback;
    const path = getText(attributes, "PATH") ?? read("SOURCE", "");
    const image: NewImage = {
      name: read("NAME", ""),
      path,
      format: read("FORMAT", path.endsWith(".qcow2") ? "qcow2" : "raw"),
      type: TYPES.indexOf(read("TYPE", "OS").toUpperCase()),
      persistent: /^yes$/i.test(read("PERSISTENT", "NO")),
      sizeMb: Number(read("SIZE", "0")),
      attributes: without(attributes, "NAME", "PATH", "SOURCE", "FORMAT", "TYPE", "PERSISTENT", "SIZE"),
      datastoreId: int(args, 1),
    };
    const fault = nameFault(image.name) ?? imageFault(image);
    return fault === undefined ? image : cannotAllocate(IMAGE.noun, fault);
  },
  reads: ({ name, datastoreId }, caller) => [
    { sql: "SELECT id FROM image WHERE name=? AND uid=?", values: [name, caller.uid] },
    { sql: "SELECT id,uid,gid,permissions,type,base_path FROM datastore WHERE id=?", values: [datastoreId] },
  ],
  plan: (rows, image, caller, { now }) => {
    const taken = first<{ readonly id: number }>(rows, 0);
    const datastore = first<DatastoreRow>(rows, 1);
    if (datastore === undefined) return noSuch(DATASTORE.noun, image.datastoreId);
    const denied = authorize(caller, ["CREATE", { type: "IMAGE" }], ["USE", resourceOf(DATASTORE, datastore)]);
    if (denied !== undefined) return denied;
    if (taken !== undefined) return cannotAllocate(IMAGE.noun, `NAME is already taken by IMAGE ${taken.id}.`);
    if (datastore.type !== 0) return cannotAllocate(IMAGE.noun, "Datastore is not an image datastore.");
    if (!caller.isAdmin && !image.path.startsWith(`${datastore.base_path}/`)) {
      return cannotAllocate(IMAGE.noun, `Not allowed to use image file ${image.path}`);
    }
    return plan({
      guards: [],
      statements: [
        takeId("image"),
        statement(
          `INSERT INTO image(id,name,uid,gid,uname,gname,permissions,type,persistent,regtime,modtime,source,path,format,size_mb,state,datastore_id,template)
VALUES(${takenId("image")},?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
          image.name,
          caller.uid,
          caller.gid,
          caller.name,
          caller.gname,
          DEFAULT_PERMISSIONS,
          image.type,
          image.persistent ? 1 : 0,
          now,
          now,
          image.path,
          image.path,
          image.format,
          image.sizeMb,
          READY,
          image.datastoreId,
          renderTemplate(image.attributes),
        ),
      ],
      tags: ["image"],
    });
  },
};

/** `one.image.delete(id)` → id: forgets it. The file stays, as we did not make it. */
const deleteImage = objectCommand<ImageRow>(
  {
    kind: IMAGE,
    byId: (id) => ({ sql: `SELECT ${IMAGE_COLUMNS} FROM image WHERE id=?`, values: [id] }),
    resource: (row) => resourceOf(IMAGE, row),
  },
  {
    right: "MANAGE",
    plan: (row) => {
      if (row.running_vms > 0) return refusal(CODE.action, `There are ${row.running_vms} VMs using it.`, row.id);
      return plan({
        guards: [versionGuard("image", row)],
        statements: [statement("DELETE FROM image WHERE id=?", row.id)],
        tags: [`image:${row.id}`],
      });
    },
  },
);

function imageFault(image: NewImage): string | undefined {
  if (!/^\/[A-Za-z0-9._/@:+-]+$/.test(image.path) || image.path.split("/").includes("..")) {
    return `PATH "${image.path}" is not an absolute path of plain characters`;
  }
  if (image.type === -1) return `TYPE is not one of ${TYPES.join(", ")}`;
  if (image.format !== "raw" && image.format !== "qcow2") return `FORMAT "${image.format}" is not raw or qcow2`;
  return Number.isSafeInteger(image.sizeMb) && image.sizeMb >= 0 ? undefined : "SIZE is not a number of MB";
}

export const IMAGE_METHODS: readonly Method[] = [
  {
    name: "one.image.allocate",
    parameters: [
      { name: "template", type: "string" },
      { name: "datastore", type: "int" },
      { name: "skip_capacity", type: "boolean", default: false },
    ],
    command: allocateImage,
  },
  {
    name: "one.image.delete",
    parameters: [ID, { name: "force", type: "boolean", default: false }],
    command: deleteImage,
  },
  {
    name: "one.image.info",
    parameters: [ID, { name: "decrypt", type: "boolean", default: false }],
    command: infoCommand(IMAGE),
  },
  { name: "one.imagepool.info", parameters: POOL_PARAMETERS, command: ownedPoolCommand(IMAGE) },
];
