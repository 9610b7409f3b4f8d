import { CodedError } from "../base/error.ts";
import { ipBytes, ipText, macText } from "./arp.ts";
import { ERRNO, errnoText } from "./libc.ts";
import { decodeAttributes, hostUint32, NLM_F_CREATE, NLM_F_REPLACE } from "./netlink-message.ts";
import { openNetlinkSocket } from "./netlink-socket.ts";

const NETLINK_ROUTE = 0;
const RTNLGRP_LINK = 1;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const AF_INET = 2;
const IFINFOMSG_SIZE_BYTES = 16;
const IFADDRMSG_SIZE_BYTES = 8;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_F_NOPREFIXROUTE = 0x200;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;

/** An interface as it is now. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Six bytes with colons; empty for links that have none. */
  readonly mac: string;
  /** Switched on by an administrator. */
  readonly isUp: boolean;
  /** The cable has a signal. */
  readonly hasCarrier: boolean;
  readonly flags: number;
}

/** An IPv4 address of an interface. `validSeconds` 4294967295 is for ever. */
export interface LinkAddress {
  readonly index: number;
  readonly address: string;
  readonly prefix: number;
  readonly validSeconds: number;
}

/** A change of a link, or the news that some were lost and all links must be looked at. */
export type LinkChange =
  | { readonly kind: "changed"; readonly link: Link }
  | { readonly kind: "removed"; readonly link: Link }
  | { readonly kind: "overrun" };

/** rtnetlink of the calling process's network namespace; every call is synchronous, about 15 µs. IPv4. */
export interface Netlink {
  /** For {@link Arrivals}: readable when `pollLinkChanges` has something to tell. */
  readonly descriptor: number;
  findLink(name: string): Link | undefined;
  listAddresses(): LinkAddress[];
  /**
   * Adds the address or renews its lifetime; the kernel deletes it `validSeconds` (whole seconds) after the last call.
   * No route for its net is made (IFA_F_NOPREFIXROUTE), and it never becomes the address that we speak from by default.
   * Throws when the kernel refuses.
   */
  setAddress(index: number, address: string, prefix: number, validSeconds: number): void;
  /** Deletes the address; fine when it or the link is gone already. Throws when the kernel refuses otherwise. */
  deleteAddress(index: number, address: string, prefix: number): void;
  /** Changes of links since the last call, oldest first. Never waits. */
  pollLinkChanges(): LinkChange[];
  close(): void;
}

/** Opens rtnetlink. Throws without CAP_NET_ADMIN only at the first change. */
export function openNetlink(): Netlink {
  // Two sockets: news that nobody has polled yet must not stand in the way of an answer.
  const requests = openNetlinkSocket(NETLINK_ROUTE);
  const news = openNetlinkSocket(NETLINK_ROUTE, [RTNLGRP_LINK]);
  return {
    descriptor: news.descriptor,
    findLink: (name) => {
      for (const message of requests.dump(RTM_GETLINK, new Uint8Array(IFINFOMSG_SIZE_BYTES))) {
        const link = message.type === RTM_NEWLINK ? decodeLink(message.body) : undefined;
        if (link?.name === name) return link;
      }
      return undefined;
    },
    listAddresses: () =>
      requests
        .dump(RTM_GETADDR, new Uint8Array([AF_INET, 0, 0, 0, 0, 0, 0, 0]))
        .filter((message) => message.type === RTM_NEWADDR)
        .map((message) => decodeAddress(message.body)),
    setAddress: (index, address, prefix, validSeconds) => {
      const lifetime = new Uint32Array([validSeconds, validSeconds, 0, 0]); // struct ifa_cacheinfo: preferred, valid
      const errno = requests.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, addressHeader(index, prefix), [
        [IFA_LOCAL, new Uint8Array(ipBytes(address))],
        [IFA_ADDRESS, new Uint8Array(ipBytes(address))],
        [IFA_FLAGS, new Uint8Array(new Uint32Array([IFA_F_NOPREFIXROUTE]).buffer)],
        [IFA_CACHEINFO, new Uint8Array(lifetime.buffer)],
      ]);
      if (errno !== 0) throw refusal("add", address, index, errno);
    },
    deleteAddress: (index, address, prefix) => {
      const errno = requests.change(RTM_DELADDR, 0, addressHeader(index, prefix), [
        [IFA_LOCAL, new Uint8Array(ipBytes(address))],
      ]);
      if (errno !== 0 && errno !== ERRNO.EADDRNOTAVAIL && errno !== ERRNO.ENODEV) {
        throw refusal("delete", address, index, errno);
      }
    },
    pollLinkChanges: () => {
      const { messages, overrun } = news.poll();
      const changes: LinkChange[] = [];
      for (const message of messages) {
        if (message.type === RTM_NEWLINK) changes.push({ kind: "changed", link: decodeLink(message.body) });
        if (message.type === RTM_DELLINK) changes.push({ kind: "removed", link: decodeLink(message.body) });
      }
      if (overrun) changes.push({ kind: "overrun" });
      return changes;
    },
    close: () => {
      requests.close();
      news.close();
    },
  };
}

function addressHeader(index: number, prefix: number): Uint8Array {
  const header = new Uint8Array(IFADDRMSG_SIZE_BYTES); // struct ifaddrmsg: family, prefix, flags, scope, index
  header.set([AF_INET, prefix, 0, 0]);
  new DataView(header.buffer).setUint32(4, index, true);
  return header;
}

function decodeLink(body: Uint8Array): Link {
  const attributes = decodeAttributes(body, IFINFOMSG_SIZE_BYTES);
  const mac = attributes.get(IFLA_ADDRESS);
  const name = attributes.get(IFLA_IFNAME) ?? new Uint8Array();
  const flags = hostUint32(body, 8);
  return {
    index: hostUint32(body, 4),
    name: new TextDecoder().decode(name).replace(/\0.*$/, ""),
    mac: mac?.length === 6 ? macText(mac, 0) : "",
    isUp: (flags & IFF_UP) !== 0,
    hasCarrier: (flags & IFF_LOWER_UP) !== 0,
    flags,
  };
}

function decodeAddress(body: Uint8Array): LinkAddress {
  const attributes = decodeAttributes(body, IFADDRMSG_SIZE_BYTES);
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  return {
    index: hostUint32(body, 4),
    address: address?.length === 4 ? ipText(address, 0) : "",
    prefix: body[1] ?? 0,
    validSeconds: hostUint32(attributes.get(IFA_CACHEINFO) ?? new Uint8Array(), 4),
  };
}

function refusal(verb: string, address: string, index: number, errno: number): CodedError {
  return new CodedError("netlink", `Cannot ${verb} address "${address}" on interface ${index}: ${errnoText(errno)}`);
}
