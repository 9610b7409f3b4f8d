import { errorChain } from "../base/error.ts";
import type { LeaseGate } from "../cluster/ports.ts";
import type { ApiLimits } from "../config/timings.ts";
import { arpAnnouncement, arpProbe, decodeArp } from "../linux/arp.ts";
import { openArrivals } from "../linux/arrivals.ts";
import { createClock } from "../linux/clock.ts";
import { openNetlink } from "../linux/netlink.ts";
import { openNftables } from "../linux/nftables.ts";
import { openNftablesWatch } from "../linux/nftables-watch.ts";
import { openPacketSocket } from "../linux/packet.ts";
import { destroyConnections } from "../linux/socket-destroy.ts";
import { reserveLocalPorts, writeSetting } from "../linux/sysctl.ts";
import { createHolder, type HolderStatus } from "../vip/driver.ts";
import { POWER_SOURCE_PORTS } from "../vip/lease-table.ts";
import type { HolderPorts } from "../vip/ports.ts";
import type { VipConfig } from "./core-messages.ts";

/** vip.md: after the burst, an announcement every 1–2 s. */
const ANNOUNCE_INTERVAL_MS = 1500;

export interface Gate extends LeaseGate {
  apiAnswered(): void;
  status(): HolderStatus;
  /** The timings in force have changed. */
  setApiLimits(limits: ApiLimits): void;
  stop(): void;
}

export interface GateOptions {
  readonly apiLimits: ApiLimits;
  transferLeadership(why: string): void;
  log(text: string): void;
}

/** The VIP's holder and the power gate on this box's kernel: vip/ on linux/. */
export function createGate(config: VipConfig, options: GateOptions): Gate {
  try {
    reserveLocalPorts(POWER_SOURCE_PORTS.first, POWER_SOURCE_PORTS.last);
  } catch (error) {
    // The gate is shut for them all the same; a readiness check that is given one of them by chance only fails once.
    options.log(errorChain(error));
  }
  return createHolder(
    {
      vips: config.vips,
      powerInterfaces: config.powerInterfaces,
      conflict: config.conflict,
      announceIntervalMs: ANNOUNCE_INTERVAL_MS,
      ...options.apiLimits,
    },
    linuxPorts((code, text) => options.log(`${code}: ${text}`), options.transferLeadership),
  );
}

/** The holder's ports on the kernel of this process's network namespace. */
export function linuxPorts(
  alarm: (code: string, text: string) => void,
  transferLeadership: (why: string) => void,
): HolderPorts {
  const tableWatch = openNftablesWatch();
  const links = openNetlink();
  const arrivals = openArrivals();
  for (const { descriptor } of [tableWatch, links]) arrivals.add(descriptor);
  return {
    clock: createClock(),
    nft: openNftables(),
    tableWatch,
    links,
    frames: {
      announcement: arpAnnouncement,
      probe: arpProbe,
      claim: (frame) => {
        const packet = decodeArp(frame);
        return packet === undefined ? undefined : { mac: packet.senderMac, address: packet.senderIp };
      },
    },
    hasArrivals: () => arrivals.any(),
    openPacketSocket: (interfaceIndex, addresses) => {
      const socket = openPacketSocket(interfaceIndex, addresses);
      arrivals.add(socket.descriptor);
      return socket;
    },
    destroyConnections,
    prepareInterface: (name) => {
      writeSetting(name, "arp_ignore", 1);
      writeSetting(name, "arp_announce", 2);
    },
    alarm,
    transferLeadership,
  };
}
