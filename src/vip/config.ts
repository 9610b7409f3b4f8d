/** One virtual address: `VIP = [ INTERFACE = "eth0", ADDRESS = "10.3.3.2/24" ]`. */
export interface VirtualAddress {
  readonly interface: string;
  /** IPv4 with dots. The config schema refuses IPv6 until the ND half is there (DESIGN.md, "IPv6"). */
  readonly address: string;
  /** Names the interface's net only; the address itself is added as a host address (/32). */
  readonly prefix: number;
}

/** What the holder is told. Times in ms. */
export interface HolderConfig {
  /** None is a valid choice: then only the power gate exists. */
  readonly vips: readonly VirtualAddress[];
  /** Where BMCs are reached. Power datagrams leave through these, under a live token, and through no other. */
  readonly powerInterfaces: readonly string[];
  /** What a foreign MAC with our address makes us do: give the VIP up within 50 ms, or answer it. */
  readonly conflict: "release" | "defend";
  /** Between announcements after the burst: 1000–2000. */
  readonly announceIntervalMs: number;
  /** A token is activated only if the API answered within this: 1000, fast profile 300; E when that is longer. */
  readonly apiFreshMs: number;
  /** A leader whose API was silent for this asks for a transfer: 2000, or twice {@link apiFreshMs}. */
  readonly apiDeadMs: number;
}
