/** nftables: all commands of one call are one transaction. */
export interface NftPort {
  run(
    commands: string,
  ): { readonly ok: true; readonly output: string } | { readonly ok: false; readonly error: string };
}

/** Whether a table, chain, rule or set was changed by anyone since the last call. */
export interface TableWatchPort {
  poll(): boolean;
}

/** What the holder needs to know of an interface. */
export interface LinkState {
  readonly index: number;
  readonly mac: string;
  readonly hasCarrier: boolean;
}

/** Links and addresses of the kernel. Methods throw when the kernel refuses. */
export interface LinkPort {
  findLink(name: string): LinkState | undefined;
  setAddress(index: number, address: string, prefix: number, validSeconds: number): void;
  deleteAddress(index: number, address: string, prefix: number): void;
  /** Whatever happened to links since the last call; the holder looks at its own ones when there is any. */
  pollLinkChanges(): readonly unknown[];
}

/** A raw socket on one interface. */
export interface PacketPort {
  /** `refused`: the packet lease dropped the frame. */
  send(frame: Uint8Array): "sent" | "refused" | { readonly errno: number };
  receive(): Uint8Array | undefined;
  close(): void;
}

/** The frames of address announcement; for IPv4 ARP, for IPv6 neighbour advertisements. */
export interface FramePort {
  announcement(mac: string, address: string): Uint8Array;
  probe(mac: string, address: string): Uint8Array;
  /** Who says to have which address; undefined for frames that claim none. */
  claim(frame: Uint8Array): { readonly mac: string; readonly address: string } | undefined;
}

/** Everything of the world that the holder touches. All calls are synchronous and short. */
export interface HolderPorts {
  readonly clock: { monotonicRaw(): number; bootTime(): number };
  readonly nft: NftPort;
  readonly tableWatch: TableWatchPort;
  readonly links: LinkPort;
  readonly frames: FramePort;
  /** Whether the table's watch, the links or a packet socket may have anything to tell: asked in each tick, for all of them. */
  hasArrivals(): boolean;
  openPacketSocket(interfaceIndex: number, addresses: readonly string[]): PacketPort;
  /** Ends the TCP connections whose own end is this address. */
  destroyConnections(address: string): number;
  /** arp_ignore = 1 and arp_announce = 2: an address is answered for on its own interface only. */
  prepareInterface(name: string): void;
  /** For the log and the operator. `code` is stable. */
  alarm(code: string, text: string): void;
  /** Asks the core to give the leadership to another box. */
  transferLeadership(why: string): void;
}
