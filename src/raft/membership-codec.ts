import { ByteReader, ByteWriter, MalformedError } from "./bytes.ts";
import type { Member, Membership, MembershipChange, MembershipStep, RaftId } from "./types.ts";
import { MEMBERSHIP_STEPS_MAX } from "./types.ts";

/** First byte of both encodings; a box that reads another one stops instead of guessing. */
const VERSION = 1;
/** A bound for the reader only: a group has at most seven boxes, joint twice that. */
const MEMBERS_MAX = 64;
const TEXT_SIZE_BYTES_MAX = 1024;
const STEP_KINDS = ["add-learner", "add-voter", "promote", "demote", "remove", "update"] as const;

/** The data of a membership entry. */
export function encodeMembershipChange(change: MembershipChange): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(256);
  writer.u8(VERSION);
  if (change.kind === "leave-joint") {
    writer.u8(2);
    return writer.done();
  }
  writer.u8(change.kind === "simple" ? 0 : 1);
  if (change.kind === "enter-joint") writer.u8(change.autoLeave ? 1 : 0);
  writer.u8(change.steps.length);
  for (const step of change.steps) writeStep(writer, step);
  return writer.done();
}

/** Inverse of {@link encodeMembershipChange}. Throws MalformedError. */
export function decodeMembershipChange(bytes: Uint8Array): MembershipChange {
  const reader = new ByteReader(bytes);
  readVersion(reader);
  const kind = reader.u8();
  if (kind > 2) throw new MalformedError(`Cannot read membership change: kind ${kind} is unknown`);
  if (kind === 2) {
    reader.end();
    return { kind: "leave-joint" };
  }
  const autoLeave = kind === 1 && reader.flag();
  const count = reader.u8();
  if (count > MEMBERSHIP_STEPS_MAX) throw new MalformedError(`Cannot read membership change: ${count} steps`);
  const steps: MembershipStep[] = [];
  for (let i = 0; i < count; i++) steps.push(readStep(reader));
  reader.end();
  return kind === 0 ? { kind: "simple", steps } : { kind: "enter-joint", steps, autoLeave };
}

/** For the log's membership record and the snapshot's manifest. */
export function encodeMembership(membership: Membership): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(512);
  writer.u8(VERSION);
  for (const list of [membership.voters, membership.votersOutgoing, membership.learners, membership.learnersNext]) {
    writer.u8(list.length);
    for (const id of list) writer.raftId(id);
  }
  writer.u8(membership.autoLeave ? 1 : 0);
  writer.u8(membership.members.length);
  for (const member of membership.members) writeMember(writer, member);
  return writer.done();
}

/** Inverse of {@link encodeMembership}. Throws MalformedError. */
export function decodeMembership(bytes: Uint8Array): Membership {
  const reader = new ByteReader(bytes);
  readVersion(reader);
  const voters = readIds(reader);
  const votersOutgoing = readIds(reader);
  const learners = readIds(reader);
  const learnersNext = readIds(reader);
  const autoLeave = reader.flag();
  const members: Member[] = [];
  for (let i = readCount(reader); i > 0; i--) members.push(readMember(reader));
  reader.end();
  return { voters, votersOutgoing, learners, learnersNext, autoLeave, members };
}

function writeStep(writer: ByteWriter, step: MembershipStep): void {
  writer.u8(STEP_KINDS.indexOf(step.kind));
  if (step.kind === "add-learner" || step.kind === "add-voter" || step.kind === "update") {
    writeMember(writer, step.member);
  } else {
    writer.raftId(step.raftId);
  }
}

function readStep(reader: ByteReader): MembershipStep {
  const code = reader.u8();
  const kind = STEP_KINDS[code];
  if (kind === undefined) throw new MalformedError(`Cannot read membership step: kind ${code} is unknown`);
  if (kind === "add-learner" || kind === "add-voter" || kind === "update") return { kind, member: readMember(reader) };
  return { kind, raftId: reader.raftId() };
}

function writeMember(writer: ByteWriter, member: Member): void {
  writer.raftId(member.raftId);
  // −1 is a founder that no server-add has named yet.
  writer.integer(member.serverId + 1);
  writer.text(member.certificateHash);
  writer.text(member.peerAddress);
  writer.text(member.name);
}

function readMember(reader: ByteReader): Member {
  return {
    raftId: reader.raftId(),
    serverId: reader.integer() - 1,
    certificateHash: reader.text(TEXT_SIZE_BYTES_MAX),
    peerAddress: reader.text(TEXT_SIZE_BYTES_MAX),
    name: reader.text(TEXT_SIZE_BYTES_MAX),
  };
}

function readVersion(reader: ByteReader): void {
  const version = reader.u8();
  if (version !== VERSION) throw new MalformedError(`Cannot read membership: version ${version} is not ${VERSION}`);
}

function readCount(reader: ByteReader): number {
  const count = reader.u8();
  if (count > MEMBERS_MAX) throw new MalformedError(`Cannot read membership: ${count} members`);
  return count;
}

function readIds(reader: ByteReader): RaftId[] {
  const ids: RaftId[] = [];
  for (let i = readCount(reader); i > 0; i--) ids.push(reader.raftId());
  return ids;
}
