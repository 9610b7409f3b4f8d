/** Guests' disks in the datastore that all hosts share. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { datastoreDirectory, type Place } from "../place.ts";
import { bootSector } from "./boot-sector.ts";
import { DISK_SIZE_BYTES } from "./record.ts";

/** Where the hosts see the datastore. */
export const DATASTORE_MOUNT = "/var/lib/one/datastores";

/** A guest's disk by its two names. */
export interface GuestDisk {
  /** On this machine. */
  readonly path: string;
  /** In the hosts, and in OpenNebula's templates. */
  readonly source: string;
}

/** The disk of guest `name`, made if it is not there: bootable for the fast tier, and empty but for that. */
export function guestDisk(place: Place, name: string): GuestDisk {
  const path = `${datastoreDirectory(place)}/1/${name}.raw`;
  mkdirSync(dirname(path), { recursive: true });
  if (!existsSync(path)) {
    const file = openSync(path, "wx");
    try {
      ftruncateSync(file, DISK_SIZE_BYTES);
      // The linux tier is started by a kernel of its own and ignores it.
      writeSync(file, bootSector());
    } finally {
      closeSync(file);
    }
  }
  return { path, source: `${DATASTORE_MOUNT}/1/${name}.raw` };
}
