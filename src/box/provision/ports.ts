import type { ProvisionedFile, Texts } from "./planner.ts";

/** Something that may carry a folder `ringfence`: a stick's partition, the ESP. */
export interface Medium {
  /** For people: `/dev/sdb1`. */
  readonly name: string;
  /**
   * Mounts it, read-only unless `isWritable`, and runs with the folder's path; undefined when it has no such folder.
   * Unmounted, and with that written, when it returns. Throws what is wrong with it.
   */
  use<T>(isWritable: boolean, work: (folder: string | undefined) => Promise<T>): Promise<T>;
}

/** What the driver of provisioning needs of the box. */
export interface ProvisionPorts {
  /** What is plugged in; the ESP first, so that a stick wins. */
  media(): readonly Medium[];
  /** What the box has now. */
  kept(): Texts;
  isMember(): boolean;
  /** Durable when it returns: the old or the new file, never half of it. */
  write(file: ProvisionedFile, text: string): void;
  /** For the console and the log. */
  say(text: string): void;
  /** A mistake, `file:line: what`: for the console's first screen, until the next boot. */
  refused(problem: string): void;
  /** For the cluster's record. */
  record(source: string, outcome: string): void;
}
