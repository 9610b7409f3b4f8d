import { arpAnnouncement, arpProbe, decodeArp } from "../../../src/linux/arp.ts";
import { createClock } from "../../../src/linux/clock.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openNftables } from "../../../src/linux/nftables.ts";
import { openNftablesWatch } from "../../../src/linux/nftables-watch.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";
import { destroyConnections } from "../../../src/linux/socket-destroy.ts";
import { writeSetting } from "../../../src/linux/sysctl.ts";
import type { HolderPorts } from "../../../src/vip/ports.ts";

/** The holder's ports on the kernel of the calling thread's network namespace. */
export function createLinuxPorts(
  alarm: (code: string, text: string) => void,
  transferLeadership: (why: string) => void,
): HolderPorts {
  return {
    clock: createClock(),
    nft: openNftables(),
    tableWatch: openNftablesWatch(),
    links: openNetlink(),
    frames: {
      announcement: arpAnnouncement,
      probe: arpProbe,
      claim: (frame) => {
        const packet = decodeArp(frame);
        return packet === undefined ? undefined : { mac: packet.senderMac, address: packet.senderIp };
      },
    },
    openPacketSocket,
    destroyConnections,
    prepareInterface: (name) => {
      writeSetting(name, "arp_ignore", 1);
      writeSetting(name, "arp_announce", 2);
    },
    alarm,
    transferLeadership,
  };
}
