import { openNetlinkSocket } from "./netlink-socket.ts";

const NETLINK_NETFILTER = 12;
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
/** enum nf_tables_msg_types: what takes a gate away. Elements of sets come and go and are not among them. */
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_DELCHAIN = 5;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_DELRULE = 8;
const NFT_MSG_DELSET = 11;

/** Tells when someone changed the rules of this network namespace. */
export interface NftablesWatch {
  /** For {@link Arrivals}: readable when `poll` has something to look at. */
  readonly descriptor: number;
  /** True when a table, chain, rule or set was deleted, or a rule added, since the last call. Never waits. */
  poll(): boolean;
  close(): void;
}

/** Joins the kernel's announcements of nftables. A lost announcement counts as a change. */
export function openNftablesWatch(): NftablesWatch {
  const socket = openNetlinkSocket(NETLINK_NETFILTER, [NFNLGRP_NFTABLES]);
  const telling = new Set(
    [NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN, NFT_MSG_NEWRULE, NFT_MSG_DELRULE, NFT_MSG_DELSET].map(
      (message) => (NFNL_SUBSYS_NFTABLES << 8) | message,
    ),
  );
  return {
    descriptor: socket.descriptor,
    poll: () => {
      const { messages, overrun } = socket.poll();
      return overrun || messages.some((message) => telling.has(message.type));
    },
    close: () => socket.close(),
  };
}
