import type tls from "node:tls";
import type { ClusterId } from "./identity.ts";

/** Where a member listens and how it is known. */
export interface PeerMember {
  readonly raftId: string;
  /** `host:port` */
  readonly address: string;
  readonly certificateHash: string;
}

/** Heartbeats, votes and their answers never wait behind entries: two connections a peer and direction. */
export type Channel = "control" | "bulk";

/** The first frame of a connection, JSON. */
export interface Hello {
  readonly protocol: number;
  readonly featureLevel: number;
  readonly raftId: string;
  /** New at each start of a box: tells a restarted box from a clone that runs beside it. */
  readonly nonce: string;
  readonly channel: Channel | "join";
  readonly cluster: ClusterId | null;
  /** Only with `channel: "join"`. */
  readonly join?: JoinRequest;
}

/** What a joiner asks for with its token. */
export interface JoinRequest {
  readonly secret: string;
  readonly serverId: number;
  readonly raftId: string;
  readonly certificateHash: string;
  /** Where the joiner listens for peers, `host:port`. */
  readonly address: string;
}

/** Raised with each change that an older box cannot read. */
export const PROTOCOL_VERSION = 1;
/** A handshake on a rack's own switch takes some ms; what takes longer is dialled anew. */
export const DIAL_TIMEOUT_MS = 500;

/** SHA-256 of the certificate that the other side showed, or "" when it showed none. */
export function hashOfPeer(socket: tls.TLSSocket): string {
  return (socket.getPeerCertificate()?.fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
}
