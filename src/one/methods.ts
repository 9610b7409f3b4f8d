import { ACL_METHODS } from "./acl.ts";
import { CLUSTER_METHODS } from "./cluster.ts";
import { CONSOLE_RECORD_METHODS } from "./console-record.ts";
import { DATASTORE_METHODS } from "./datastore.ts";
import { GENERATION_METHODS } from "./generation.ts";
import { GROUP_METHODS } from "./group.ts";
import { HOST_METHODS } from "./host/methods.ts";
import { IMAGE_METHODS } from "./image/methods.ts";
import type { Method } from "./method.ts";
import { TEMPLATE_METHODS } from "./template/methods.ts";
import { USER_METHODS } from "./user.ts";
import { VM_METHODS } from "./vm/methods.ts";
import { ZONE_METHODS } from "./zone.ts";

/** The interface that we speak: what `one.system.version` answers and clients choose their calls by. */
export const OPENNEBULA_VERSION = "7.0.0";

const SYSTEM_METHODS: readonly Method[] = [
  {
    name: "one.system.version",
    parameters: [],
    command: { kind: "read", reads: () => [], answer: () => OPENNEBULA_VERSION },
  },
];

/** All methods of the front-end's own objects. Other folders bring theirs, and the box puts them in one table. */
export const ONE_METHODS: readonly Method[] = [
  ...SYSTEM_METHODS,
  ...ZONE_METHODS,
  ...HOST_METHODS,
  ...VM_METHODS,
  ...TEMPLATE_METHODS,
  ...IMAGE_METHODS,
  ...DATASTORE_METHODS,
  ...CLUSTER_METHODS,
  ...USER_METHODS,
  ...GROUP_METHODS,
  ...ACL_METHODS,
  ...CONSOLE_RECORD_METHODS,
  ...GENERATION_METHODS,
];
