import { CodedError } from "../base/error.ts";
import { ipBytes } from "./arp.ts";
import { ERRNO, errnoText } from "./libc.ts";
import { openNetlinkSocket } from "./netlink-socket.ts";

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const AF_INET = 2;
const IPPROTO_TCP = 6;
const INET_DIAG_REQ_BYTECODE = 1;
const INET_DIAG_BC_S_COND = 7;
/** struct inet_diag_req_v2: family, protocol, extensions, padding, states (32 bit), then the socket's id. */
const REQUEST_SIZE_BYTES = 56;
const ID_SIZE_BYTES = 48;
/** Where struct inet_diag_msg keeps the socket's id: after family, state, timer and retransmissions. */
const ANSWER_ID_OFFSET = 4;
/** Every state except LISTEN (10): a listener on all addresses stays, one on the address goes with the next claim. */
const STATES = 0xffffffff & ~(1 << 10);

/**
 * Ends every TCP connection whose own end is `address` (what `ss -K src ADDRESS` does): its owner reads ECONNABORTED at
 * once instead of waiting for a peer that now talks to another box. Returns how many. The kernel does the searching.
 * Throws when the kernel has no CONFIG_INET_DIAG_DESTROY.
 */
export function destroyConnections(address: string): number {
  const socket = openNetlinkSocket(NETLINK_SOCK_DIAG);
  try {
    const condition: readonly [number, Uint8Array] = [INET_DIAG_REQ_BYTECODE, sourceCondition(address)];
    const found = socket.dump(SOCK_DIAG_BY_FAMILY, request(undefined), [condition]);
    let destroyed = 0;
    for (const message of found) {
      const id = message.body.subarray(ANSWER_ID_OFFSET, ANSWER_ID_OFFSET + ID_SIZE_BYTES);
      const errno = socket.change(SOCK_DESTROY, 0, request(id));
      if (errno === 0) destroyed++;
      // It may have ended by itself since we listed it.
      else if (errno !== ERRNO.ENOENT) {
        throw new CodedError("netlink", `Cannot end a connection of "${address}": ${errnoText(errno)}`);
      }
    }
    return destroyed;
  } finally {
    socket.close();
  }
}

function request(id: Uint8Array | undefined): Uint8Array {
  const bytes = new Uint8Array(REQUEST_SIZE_BYTES);
  bytes.set([AF_INET, IPPROTO_TCP]);
  new DataView(bytes.buffer).setUint32(4, STATES >>> 0, true);
  if (id !== undefined) bytes.set(id, 8);
  return bytes;
}

/** One instruction: pass when the source address is `address`, whatever the port; else jump past the end (refuse). */
function sourceCondition(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  // struct inet_diag_bc_op: code, length when true, length when false (past the end by 4 is "no").
  bytes.set([INET_DIAG_BC_S_COND, 16]);
  view.setUint16(2, 20, true);
  // struct inet_diag_hostcond: family, prefix length, padding, port (-1 is any), address.
  bytes.set([AF_INET, 32], 4);
  view.setInt32(8, -1, true);
  bytes.set(ipBytes(address), 12);
  return bytes;
}
