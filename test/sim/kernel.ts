import { assert } from "../../src/base/assert.ts";
import { decodeArp, encodeArp } from "../../src/linux/arp.ts";
import type { LinkPort, NftPort, PacketPort } from "../../src/vip/ports.ts";
import type { Lan } from "./lan.ts";

/** The virtual address of every run. */
export const VIP = { interface: "eth0", address: "10.3.3.2", prefix: 24 } as const;
const LINK_INDEX = 2;
/** A socket's receive buffer, in frames; what comes then is dropped. */
const FRAMES_MAX = 64;

const OK = { ok: true, output: "" } as const;
const NO_TABLE = { ok: false, error: "No such file or directory" } as const;

/**
 * A box's kernel as far as the holder uses it: the packet lease's tables, one link, its address, raw sockets. It goes on
 * whatever becomes of the process, and its clock is the box's. nft's text is read as the real one reads it, so that the
 * product's own lease-table.ts is what builds the gate.
 */
export class SimKernel {
  readonly mac: string;
  readonly #clock: () => number;
  readonly #lan: Lan;
  /** What was loaded; undefined when there are no tables. */
  #rules: string | undefined;
  readonly #live = new Map<number, number>();
  #vipToken = 0;
  #powerToken = 0;
  #addressUntil = 0;
  #frames: Uint8Array[] | undefined;

  constructor(number: number, clock: () => number, lan: Lan) {
    this.mac = `02:00:00:00:00:${number.toString(16).padStart(2, "0")}`;
    this.#clock = clock;
    this.#lan = lan;
    lan.attach(this);
  }

  readonly nft: NftPort = { run: (commands) => this.#nft(commands) };

  readonly links: LinkPort = {
    findLink: (name) => (name === VIP.interface ? { index: LINK_INDEX, mac: this.mac, hasCarrier: true } : undefined),
    setAddress: (_index, _address, _prefix, validSeconds) => {
      this.#addressUntil = this.#clock() + validSeconds * 1000;
    },
    deleteAddress: () => {
      this.#addressUntil = 0;
    },
    pollLinkChanges: () => [],
  };

  /** A frame waits in the socket. */
  get hasArrivals(): boolean {
    return (this.#frames?.length ?? 0) > 0;
  }

  /** The socket of the process that runs now; an older one's is gone with it. */
  openSocket(): PacketPort {
    const frames: Uint8Array[] = [];
    this.#frames = frames;
    return {
      send: (frame) => {
        const isForVip = decodeArp(frame)?.senderIp === VIP.address;
        if (isForVip && !this.passesVip) return "refused";
        this.#lan.send(this, frame);
        return "sent";
      },
      receive: () => frames.shift(),
      close: () => {
        if (this.#frames === frames) this.#frames = undefined;
      },
    };
  }

  /** A frame from the cable. The kernel answers for the address by itself, if the gate lets it. */
  receive(frame: Uint8Array): void {
    if (this.#frames !== undefined && this.#frames.length < FRAMES_MAX) this.#frames.push(frame);
    const packet = decodeArp(frame);
    if (packet?.operation !== "request" || packet.targetIp !== VIP.address || !this.isHolder) return;
    this.#lan.send(
      this,
      encodeArp(packet.senderMac, {
        operation: "reply",
        senderMac: this.mac,
        senderIp: VIP.address,
        targetMac: packet.senderMac,
        targetIp: packet.senderIp,
      }),
    );
  }

  /** Power gone: nothing of this survives. */
  reset(): void {
    this.#rules = undefined;
    this.#frames = undefined;
    this.#addressUntil = 0;
    this.#clear();
  }

  /** Packets for and from the VIP pass. */
  get passesVip(): boolean {
    return this.#isLive(this.#vipToken);
  }

  /** Power datagrams leave. */
  get passesPower(): boolean {
    return this.#isLive(this.#powerToken);
  }

  /** This box answers for the address. */
  get isHolder(): boolean {
    return this.#addressUntil > this.#clock() && this.passesVip;
  }

  /** Only planted mistakes use this: the timer of what is active is set to what the process computed. */
  extendActive(lifeMs: number): void {
    if (this.#powerToken !== 0) this.#live.set(this.#powerToken, this.#clock() + lifeMs);
  }

  #isLive(token: number): boolean {
    return token !== 0 && (this.#live.get(token) ?? 0) > this.#clock();
  }

  #clear(): void {
    this.#live.clear();
    this.#vipToken = 0;
    this.#powerToken = 0;
  }

  #nft(commands: string): ReturnType<NftPort["run"]> {
    if (commands.startsWith("list table "))
      return this.#rules === undefined ? NO_TABLE : { ok: true, output: this.#rules };
    if (commands.startsWith("add table ")) {
      this.#rules = commands;
      this.#clear();
      return OK;
    }
    if (this.#rules === undefined) return NO_TABLE;
    for (const command of commands.split("; ")) this.#perform(command);
    return OK;
  }

  #perform(command: string): void {
    const [verb, kind, family, table, name] = command.split(" ");
    assert(family === "netdev" && table === "lease", `nft: unknown table in "${command}"`);
    const token = Number(/0x[0-9a-f]+/.exec(command)?.[0] ?? 0);
    if (verb === "add" && name === "live") this.#addLive(token, Number(/timeout (\d+)ms/.exec(command)?.[1]));
    else if (verb === "flush" && name === "live") this.#live.clear();
    else if (name === "vip") this.#vipToken = verb === "add" ? token : 0;
    else if (name === "power") this.#powerToken = verb === "add" ? token : 0;
    else assert(false, `nft: cannot read "${verb} ${kind} ${command}"`);
  }

  #addLive(token: number, lifeMs: number): void {
    const now = this.#clock();
    for (const [old, until] of this.#live) if (until < now) this.#live.delete(old);
    this.#live.set(token, now + lifeMs);
  }
}
