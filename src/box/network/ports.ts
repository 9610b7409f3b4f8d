import type { Owned } from "./planner.ts";

/** What came of a program: its outputs, and its exit code. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What the network's driver needs of the machine. Everything is bounded in time by whoever stands behind it. */
export interface NetworkPorts {
  /** `ip` with these words, and this text on its standard input. */
  ip(words: readonly string[], input?: string): Promise<Ran>;
  /** What an earlier call of this boot has set up. */
  readOwned(): Owned;
  writeOwned(owned: Owned): void;
  /** Starts a DHCP client that goes on by itself; one that runs already is left alone. */
  startDhcp(device: string, metric: number, hostname: string | undefined): void;
  stopDhcp(device: string): Promise<void>;
  setHostname(name: string): void;
  /** The servers that were set; those that DHCP brings come after them. */
  writeDns(servers: readonly string[]): void;
  /** Keys of box.conf, beside those that came otherwise. */
  writeSshKeys(keys: readonly string[]): void;
  log(text: string): void;
}
