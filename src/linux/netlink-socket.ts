import { CodedError } from "../base/error.ts";
import { ERRNO, errnoText, lastErrno, libc } from "./libc.ts";
import {
  decodeMessages,
  encodeMessage,
  hostUint32,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink-message.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
/** The kernel builds datagrams of at most 32 KiB for a dump (NLMSG_GOODSIZE grown to the reader's buffer). */
const BUFFER_SIZE_BYTES = 32 * 1024;
/** Datagrams of one answer or one poll: 64 of 32 KiB, far over what any box has. */
const DATAGRAMS_MAX = 64;

type Attributes = readonly (readonly [number, Uint8Array])[];

/** A netlink socket used synchronously: the kernel has queued the answer when the send returns. */
export interface NetlinkSocket {
  /** For {@link Arrivals}: readable when `poll` has something to tell. */
  readonly descriptor: number;
  /** Asks for one change. 0 or the errno that the kernel answered. */
  change(type: number, flags: number, fixed: Uint8Array, attributes?: Attributes): number;
  /** Asks for a list. Throws when the kernel refuses. */
  dump(type: number, fixed: Uint8Array, attributes?: Attributes): NetlinkMessage[];
  /** What has arrived unasked since the last call. `overrun`: some was lost, look again at everything. */
  poll(): { readonly messages: readonly NetlinkMessage[]; readonly overrun: boolean };
  close(): void;
}

/** Opens a socket of a netlink protocol (0 route, 4 sock_diag, 12 netfilter) and joins the given multicast groups. */
export function openNetlinkSocket(protocol: number, groups: readonly number[] = []): NetlinkSocket {
  const socket = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (socket < 0) throw failure(`open netlink protocol ${protocol}`);
  // Without a port number of its own, which bind gives, a socket gets no news: the kernel takes it for itself (port 0).
  const address = new Uint8Array(12); // struct sockaddr_nl
  new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
  if (libc.bind(socket, address, address.length) !== 0) {
    const error = failure(`bind netlink protocol ${protocol}`);
    libc.close(socket);
    throw error;
  }
  for (const group of groups) {
    const value = new Int32Array([group]);
    if (libc.setsockopt(socket, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value, 4) !== 0) {
      const error = failure(`join group ${group} of netlink protocol ${protocol}`);
      libc.close(socket);
      throw error;
    }
  }
  const buffer = new Uint8Array(BUFFER_SIZE_BYTES);
  let sequence = 0;

  const receive = (): readonly NetlinkMessage[] | number => {
    const size = Number(libc.recv(socket, buffer, buffer.length, MSG_DONTWAIT));
    return size < 0 ? lastErrno() : decodeMessages(buffer.slice(0, size));
  };
  const request = (type: number, flags: number, fixed: Uint8Array, attributes: Attributes): NetlinkMessage[] => {
    sequence = (sequence + 1) >>> 0;
    const message = encodeMessage(type, flags, sequence, fixed, attributes);
    if (libc.send(socket, message, message.length, MSG_DONTWAIT) < 0) throw failure(`send netlink message ${type}`);
    const answers: NetlinkMessage[] = [];
    for (let count = 0; count < DATAGRAMS_MAX; count++) {
      const received = receive();
      if (typeof received === "number") {
        throw new CodedError("netlink", `Cannot read the answer to netlink message ${type}: ${errnoText(received)}`);
      }
      for (const answer of received) {
        if (answer.sequence !== sequence) continue;
        if (answer.type === NLMSG_DONE) return answers;
        answers.push(answer);
        if (answer.type === NLMSG_ERROR) return answers;
      }
    }
    throw new CodedError(
      "netlink",
      `Cannot read the answer to netlink message ${type}: over ${DATAGRAMS_MAX} datagrams`,
    );
  };

  return {
    descriptor: socket,
    change: (type, flags, fixed, attributes = []) => {
      const answer = request(type, flags | NLM_F_ACK, fixed, attributes).at(-1);
      return answer === undefined ? 0 : -(hostUint32(answer.body) | 0);
    },
    dump: (type, fixed, attributes = []) => {
      const answers = request(type, NLM_F_DUMP, fixed, attributes);
      const last = answers.at(-1);
      if (last?.type === NLMSG_ERROR) {
        throw new CodedError(
          "netlink",
          `Cannot list by netlink message ${type}: ${errnoText(-(hostUint32(last.body) | 0))}`,
        );
      }
      return answers;
    },
    poll: () => {
      const messages: NetlinkMessage[] = [];
      let overrun = false;
      for (let count = 0; count < DATAGRAMS_MAX; count++) {
        const received = receive();
        if (typeof received !== "number") messages.push(...received);
        else if (received === ERRNO.ENOBUFS) overrun = true;
        else break;
      }
      return { messages, overrun };
    },
    close: () => libc.close(socket),
  };
}

function failure(action: string): CodedError {
  return new CodedError("netlink", `Cannot ${action}: ${errnoText(lastErrno())}`);
}
