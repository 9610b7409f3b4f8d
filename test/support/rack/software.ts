/** What a node's init needs to know of the node: its disk, its files, how its network comes up, what it runs. */
export interface Software {
  /** Directory of this machine (the node's disk) → path in the node. Survives a power cut. */
  readonly binds: readonly (readonly [source: string, target: string])[];
  /** Files in the node's /run/rack, new at each boot. */
  readonly files: Readonly<Record<string, string>>;
  /** Shell lines that bring the network up. */
  readonly network: string;
  /** Shell lines that start the node's programs; `service PROGRAM WORDS &` keeps one running. */
  readonly services: string;
}
