import type tls from "node:tls";
import type { Announcement } from "./announcement.ts";
import type { ClusterId } from "./identity.ts";

/** Where a member listens and how it is known. */
export interface PeerMember {
  readonly raftId: string;
  /** `host:port` */
  readonly address: string;
  readonly certificateHash: string;
}

/**
 * Heartbeats, votes and their answers never wait behind entries, and neither waits behind a snapshot: two connections a
 * peer and direction, and a third one while a snapshot is sent.
 */
export type Channel = "control" | "bulk" | "snapshot";

/**
 * The first frame of a connection, JSON. Other builds read it: what is added later may be absent, and what is not known
 * is skipped.
 */
export interface Hello extends Partial<Announcement> {
  /** The newest version that the sender speaks; both sides speak the older of their two. */
  readonly protocol: number;
  /** The oldest that it still speaks; absent: only `protocol`. */
  readonly protocolOldest?: number;
  readonly featureLevel: number;
  readonly raftId: string;
  /** New at each start of a box: tells a restarted box from a clone that runs beside it. */
  readonly nonce: string;
  readonly channel: Channel | "join";
  readonly cluster: ClusterId | null;
  /** Only with `channel: "join"`. */
  readonly join?: JoinRequest;
}

/** What a joiner asks for with its token, or a member whose log or state is damaged without one. */
export interface JoinRequest {
  /** "" for a member that asks to be replaced by itself: its own certificate lets it in. */
  readonly secret: string;
  readonly serverId: number;
  readonly raftId: string;
  readonly certificateHash: string;
  /** Where the joiner listens for peers, `host:port`. */
  readonly address: string;
  /** Raft id of the member whose place it takes, whose certificate it has shown; set by the box that saw it, never taken from the wire. */
  readonly replaces?: string;
}

/** Raised with each change of frames or messages that an older box cannot read. */
export const PROTOCOL_VERSION = 1;
/** Boxes are updated one by one: each build speaks the version before its own, too. */
export const PROTOCOL_OLDEST = 1;

/** Why two boxes have no version of the protocol in common, or undefined. */
export function protocolObstacle({ protocol, protocolOldest = protocol }: Hello): string | undefined {
  if (protocol >= PROTOCOL_OLDEST && protocolOldest <= PROTOCOL_VERSION) return undefined;
  const range = (oldest: number, newest: number): string => (oldest === newest ? `${newest}` : `${oldest} … ${newest}`);
  return `protocol ${range(protocolOldest, protocol)} is not spoken here, ${range(PROTOCOL_OLDEST, PROTOCOL_VERSION)} is`;
}

/** Why a box of this level may not take part where `inForce` is in force, or undefined. */
export function levelRefusal({ featureLevel, build }: Pick<Hello, "featureLevel" | "build">, inForce: number) {
  if (featureLevel >= inForce) return undefined;
  const which = build === undefined ? "" : ` ${build}`;
  return `feature level ${inForce} is in force here, and your build${which} knows ${featureLevel}: install a build that knows level ${inForce}`;
}
/** How long a box may take from the connection to its hello, ms: one that starts has many handshakes to do at once. */
export const HELLO_TIMEOUT_MS = 5000;

/** SHA-256 of the certificate that the other side showed, or "" when it showed none. */
export function hashOfPeer(socket: tls.TLSSocket): string {
  return (socket.getPeerCertificate()?.fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
}
