import { ByteReader, ByteWriter } from "../raft/bytes.ts";
import { decodeMembership, encodeMembership } from "../raft/membership-codec.ts";
import type { PeerMember } from "./hello.ts";
import type { MembershipAt } from "./ports.ts";

/** A membership of seven boxes with long names and addresses. */
const MEMBERSHIP_BYTES_MAX = 64 * 1024;

/**
 * Whom this box speaks with: the members in force here and, while it is behind, also those of a newer membership that a
 * member told it. A box that was away while others were replaced would refuse its new leader for ever otherwise: it
 * learns memberships from the log, and the log comes from that leader. What is heard here decides about connections
 * only; who counts is the log's affair.
 */
export class AddressBook {
  #inForce: MembershipAt;
  #heard: MembershipAt | undefined;

  constructor(inForce: MembershipAt) {
    this.#inForce = inForce;
  }

  putInForce(membership: MembershipAt): void {
    this.#inForce = membership;
    if (this.#heard !== undefined && this.#heard.index <= membership.index) this.#heard = undefined;
  }

  /** What a member says to be in force there. `answer`: it is behind, and should hear ours. */
  hear(membership: MembershipAt): "new" | "known" | "answer" {
    if (membership.index < this.#inForce.index) return "answer";
    if (membership.index <= Math.max(this.#inForce.index, this.#heard?.index ?? 0)) return "known";
    this.#heard = membership;
    return "new";
  }

  /** Of a box that both name, the newer record holds. */
  members(): PeerMember[] {
    const members = new Map<string, PeerMember>();
    for (const { value } of [this.#inForce, ...(this.#heard === undefined ? [] : [this.#heard])]) {
      for (const { raftId, peerAddress: address, certificateHash } of value.members)
        members.set(raftId, { raftId, address, certificateHash });
    }
    return [...members.values()];
  }

  /** The membership in force, for a frame. */
  encoded(): Uint8Array<ArrayBuffer> {
    const writer = new ByteWriter(1024);
    writer.integer(this.#inForce.index);
    writer.bytes(encodeMembership(this.#inForce.value));
    return writer.done();
  }
}

/** Inverse of {@link AddressBook.encoded}. Throws MalformedError. */
export function decodeMembershipAt(payload: Uint8Array): MembershipAt {
  const reader = new ByteReader(payload);
  const index = reader.integer();
  const value = decodeMembership(reader.bytes(MEMBERSHIP_BYTES_MAX));
  reader.end();
  return { index, value };
}
