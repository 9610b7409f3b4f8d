import { decodeArp, encodeArp } from "../../../src/linux/arp.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";

/** One answered question: who answered, when it was asked and when the answer was read (performance.now()). */
export interface Answer {
  readonly mac: string;
  readonly askedAt: number;
  readonly readAt: number;
}

/** Asks the wire who has an address. */
export interface ArpProber {
  readonly answers: readonly Answer[];
  /** Sends one question and reads what has arrived. */
  ask(): void;
  close(): void;
}

/** More questions than can be under way: an answer comes within a millisecond, and a sender address names its question. */
const QUESTIONS_MAX = 200;

/** Opens a prober on `eth0` of the calling thread's namespace; asks as 10.99.1.1 … 10.99.1.200. */
export function openArpProber(address: string): ArpProber {
  const link = openNetlink().findLink("eth0");
  if (link === undefined) throw new Error("no eth0");
  const socket = openPacketSocket(link.index, [address]);
  const askedAt = new Map<string, number>();
  const answers: Answer[] = [];
  let count = 0;
  const read = (): void => {
    for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
      const packet = decodeArp(frame);
      const asked = askedAt.get(packet?.targetIp ?? "");
      if (packet?.operation !== "reply" || packet.senderIp !== address || asked === undefined) continue;
      answers.push({ mac: packet.senderMac, askedAt: asked, readAt: performance.now() });
    }
  };
  return {
    answers,
    ask: () => {
      read();
      const senderIp = `10.99.1.${1 + (count++ % QUESTIONS_MAX)}`;
      const question = { senderMac: link.mac, senderIp, targetMac: "00:00:00:00:00:00", targetIp: address };
      askedAt.set(senderIp, performance.now());
      socket.send(encodeArp("ff:ff:ff:ff:ff:ff", { operation: "request", ...question }));
    },
    close: () => {
      read();
      socket.close();
    },
  };
}
