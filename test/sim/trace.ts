import { Core } from "../../src/raft/core.ts";
import type { Message } from "../../src/raft/messages.ts";
import { nodeStatus } from "../../src/raft/status.ts";
import type { Membership, MembershipChange, MembershipStep, RaftId, RaftNode, Status } from "../../src/raft/types.ts";
import { NOBODY } from "../../src/raft/types.ts";

/** The names that etcd's trace validation knows (state_trace.go of etcd-io/raft); see TRACE.md for what we fill in. */
export type TraceEventName =
  | "InitState"
  | "BecomeCandidate"
  | "BecomeFollower"
  | "BecomeLeader"
  | "Commit"
  | "Replicate"
  | "ChangeConf"
  | "ApplyConfChange"
  | "Ready"
  | "SendAppendEntriesRequest"
  | "ReceiveAppendEntriesRequest"
  | "SendAppendEntriesResponse"
  | "ReceiveAppendEntriesResponse"
  | "SendRequestVoteRequest"
  | "ReceiveRequestVoteRequest"
  | "SendRequestVoteResponse"
  | "ReceiveRequestVoteResponse"
  | "SendSnapshot"
  | "ReceiveSnapshot";

export type TraceRole = "StateFollower" | "StateCandidate" | "StateLeader";

export interface TraceMessage {
  readonly type: "MsgApp" | "MsgAppResp" | "MsgHeartbeat" | "MsgHeartbeatResp" | "MsgVote" | "MsgVoteResp" | "MsgSnap";
  readonly term: number;
  readonly from: string;
  readonly to: string;
  readonly entries: number;
  readonly logTerm: number;
  readonly index: number;
  readonly commit: number;
  readonly vote: string;
  readonly reject: boolean;
  readonly rejectHint: number;
}

export interface TraceEvent {
  readonly name: TraceEventName;
  readonly nid: string;
  readonly state: { readonly term: number; readonly vote: string; readonly commit: number };
  readonly role: TraceRole;
  readonly log: number;
  readonly conf: readonly [readonly string[], readonly string[]];
  readonly msg?: TraceMessage;
  readonly prop?: { readonly cc: TraceConfChange };
}

export interface TraceConfChange {
  readonly changes?: readonly { readonly nid: string; readonly action: string }[];
  readonly newconf?: readonly string[];
}

/** What the tracer knows of one life of a core. */
interface Life {
  status: Status;
  /** Own entries that were appended as leader: the leader's answer to itself is due when they are durable. */
  selfAcks: number[];
  /** The Ready that carries a candidate's vote for itself: `asked` until it is handed out. */
  ownVote: "none" | "asked" | number;
}

/**
 * Writes what the cores of a run do, as etcd's trace points would. It watches from outside: the two primitives through
 * which every message leaves a core are wrapped while it is installed, and each input is compared before and after. The
 * run itself is the same as without it. One at a time.
 */
export class Tracer {
  readonly #write: (event: TraceEvent) => void;
  readonly #lives = new Map<RaftId, Life>();
  readonly #restore: () => void;
  /** While an input runs whose first event is known only afterwards. */
  #held: TraceEvent[] | undefined;

  constructor(write: (event: TraceEvent) => void) {
    this.#write = write;
    const { send, sendAfterAppend } = Core.prototype;
    const leaves = (core: Core, message: Message): void => this.#leaves(core, message);
    Core.prototype.send = function (this: Core, message: Message): void {
      leaves(this, message);
      send.call(this, message);
    };
    Core.prototype.sendAfterAppend = function (this: Core, message: Message): void {
      leaves(this, message);
      sendAfterAppend.call(this, message);
    };
    this.#restore = () => {
      Core.prototype.send = send;
      Core.prototype.sendAfterAppend = sendAfterAppend;
    };
  }

  uninstall(): void {
    this.#restore();
  }

  /** A box begins a life with this core; what it does from here on is written. */
  observe(node: RaftNode): RaftNode {
    const first = node.status();
    const { id } = first;
    this.#lives.set(id, { status: first, selfAcks: [], ownVote: "none" });
    this.#emit("InitState", first);
    const look = (grown?: MembershipChange): void => this.#look(node.status(), grown);
    const after = <T>(result: T): T => {
      look();
      return result;
    };
    return {
      ...node,
      tick: (now) => after(node.tick(now)),
      step: (message, now) => {
        this.#arrives(node.status(), message);
        node.step(message, now);
        look();
      },
      propose: (datas, now) => after(node.propose(datas, now)),
      proposeMembership: (change, now) => {
        const result = node.proposeMembership(change, now);
        look(change);
        return result;
      },
      campaign: (now) => after(node.campaign(now)),
      transferLeader: (to, now) => after(node.transferLeader(to, now)),
      appended: (sequence, now) => this.#appended(node, sequence, now),
      applied: (index, now) => {
        node.applied(index, now);
        look({ kind: "leave-joint" });
      },
      applyMembership: (index, change, now) => {
        const before = node.status();
        const membership = node.applyMembership(index, change, now);
        const newconf = membership.voters.map(decimal);
        if (membership !== before.membership)
          this.#emit("ApplyConfChange", before, { prop: { cc: { changes: [], newconf } } });
        look();
        return membership;
      },
      restore: (meta, now) => {
        const before = node.status();
        const from = before.leader === NOBODY ? id : before.leader;
        this.#emit("ReceiveSnapshot", before, { msg: snapshotMessage(before.term, from, id, meta.index) });
        node.restore(meta, now);
        look();
      },
      ready: () => {
        const ready = node.ready();
        if (ready === undefined) return undefined;
        const life = this.#life(id);
        if (life.ownVote === "asked") life.ownVote = ready.sequence;
        const status = node.status();
        for (const to of ready.snapshotNeeded)
          this.#emit("SendSnapshot", status, { msg: snapshotMessage(status.term, id, to, 0) });
        this.#emit("Ready", status);
        return ready;
      },
    };
  }

  #life(id: RaftId): Life {
    const life = this.#lives.get(id);
    if (life === undefined) throw new Error(`nobody observes ${id}`);
    return life;
  }

  /** The leader's and the candidate's answers to themselves arrive when what they promise is durable. */
  #appended(node: RaftNode, sequence: number, now: number): void {
    const before = node.status();
    const life = this.#life(before.id);
    const { ownVote, selfAcks } = life;
    const held: TraceEvent[] = [];
    this.#held = held;
    try {
      node.appended(sequence, now);
      this.#look(node.status());
    } finally {
      this.#held = undefined;
    }
    const { stableIndex } = node.status();
    for (const index of selfAcks.filter((each) => each <= stableIndex))
      this.#emit("ReceiveAppendEntriesResponse", before, { msg: selfMessage(before, "MsgAppResp", index) });
    life.selfAcks = life.selfAcks.filter((each) => each > stableIndex);
    if (typeof ownVote === "number" && sequence >= ownVote) {
      if (life.ownVote === ownVote) life.ownVote = "none";
      this.#emit("ReceiveRequestVoteResponse", before, { msg: selfMessage(before, "MsgVoteResp", 0) });
    }
    for (const event of held) this.#write(event);
  }

  #arrives(status: Status, message: Message): void {
    const msg = messageOf(message);
    if (msg === undefined || message.to !== status.id || message.from === status.id) return;
    this.#emit(`Receive${CALLS[msg.type]}`, status, { msg });
  }

  #leaves(core: Core, message: Message): void {
    if (!this.#lives.has(core.id)) return;
    const status = nodeStatus(core);
    this.#look(status);
    const msg = messageOf(message);
    if (msg !== undefined) this.#emit(`Send${CALLS[msg.type]}`, status, { msg });
  }

  /** What has changed since the last look, in the order in which it must have happened. */
  #look(status: Status, change?: MembershipChange): void {
    const life = this.#life(status.id);
    const before = life.status;
    life.status = status;
    const role = roleOf(status);
    const isNew = role !== roleOf(before) || status.term !== before.term;
    const grownFrom = role === "StateLeader" ? Math.min(before.lastIndex, status.lastIndex) : status.lastIndex;
    if (isNew) {
      life.selfAcks = [];
      life.ownVote = "none";
      const then = { ...status, lastIndex: grownFrom, commit: before.commit };
      if (role === "StateCandidate") {
        life.ownVote = "asked";
        this.#emit("BecomeCandidate", status);
        this.#emit("SendRequestVoteResponse", status, { msg: selfMessage(status, "MsgVoteResp", 0) });
      } else if (role === "StateLeader") this.#emit("BecomeLeader", then);
      else this.#emit("BecomeFollower", status);
    }
    if (role !== "StateLeader") return;
    for (let index = grownFrom + 1; index <= status.lastIndex; index++) {
      const then = { ...status, lastIndex: index, commit: before.commit };
      // The first entry of a leader is its no-op, whatever it was told in the same moment.
      if (change === undefined || isNew) this.#emit("Replicate", then);
      else this.#emit("ChangeConf", then, { prop: { cc: { changes: changesOf(change), newconf: [] } } });
    }
    if (status.lastIndex > grownFrom) {
      life.selfAcks.push(status.lastIndex);
      const then = { ...status, commit: before.commit };
      const msg = selfMessage(status, "MsgAppResp", status.lastIndex);
      this.#emit("SendAppendEntriesResponse", then, { msg });
    }
    if (status.commit > before.commit) this.#emit("Commit", status);
  }

  #emit(name: TraceEventName, status: Status, more: Pick<TraceEvent, "msg" | "prop"> = {}): void {
    const event: TraceEvent = {
      name,
      nid: decimal(status.id),
      state: { term: status.term, vote: decimal(status.vote), commit: status.commit },
      role: roleOf(status),
      log: status.lastIndex,
      conf: confOf(status.membership),
      ...more,
    };
    if (this.#held === undefined) this.#write(event);
    else this.#held.push(event);
  }
}

/** One line of a trace file. The model checker's preparation sorts by what follows the second colon: the line's number. */
export function traceLine(event: TraceEvent, number: number): string {
  return JSON.stringify({ level: "debug", ts: String(number).padStart(10, "0"), tag: "trace", event });
}

/** A pre-candidate has changed nothing that the model knows, a learner follows. */
function roleOf({ role }: Status): TraceRole {
  if (role === "leader") return "StateLeader";
  return role === "candidate" ? "StateCandidate" : "StateFollower";
}

function confOf({ voters, votersOutgoing }: Membership): TraceEvent["conf"] {
  return [voters.map(decimal), votersOutgoing.map(decimal)];
}

/** etcd writes its 64-bit ids in decimal, and nobody as 0. */
function decimal(id: RaftId): string {
  return id === NOBODY ? "0" : BigInt(`0x${id}`).toString();
}

const CALLS = {
  MsgApp: "AppendEntriesRequest",
  MsgHeartbeat: "AppendEntriesRequest",
  MsgAppResp: "AppendEntriesResponse",
  MsgHeartbeatResp: "AppendEntriesResponse",
  MsgVote: "RequestVoteRequest",
  MsgVoteResp: "RequestVoteResponse",
} as const;

const ABSENT = { entries: 0, logTerm: 0, index: 0, commit: 0, vote: "0", reject: false, rejectHint: 0 } as const;

function messageOf(message: Message): (TraceMessage & { readonly type: keyof typeof CALLS }) | undefined {
  const envelope = { ...ABSENT, term: message.term, from: decimal(message.from), to: decimal(message.to) };
  switch (message.kind) {
    case "append": {
      const { previousIndex: index, previousTerm: logTerm, commit, entries } = message;
      return { ...envelope, type: "MsgApp", index, logTerm, commit, entries: entries.length };
    }
    case "append-response": {
      const { rejected: reject, index, hintIndex: rejectHint, hintTerm: logTerm } = message;
      return { ...envelope, type: "MsgAppResp", index, logTerm, reject, rejectHint };
    }
    case "heartbeat":
      return { ...envelope, type: "MsgHeartbeat", commit: message.commit };
    case "heartbeat-response":
      return { ...envelope, type: "MsgHeartbeatResp" };
    case "vote-request":
      if (message.preVote) return undefined;
      return { ...envelope, type: "MsgVote", index: message.lastIndex, logTerm: message.lastTerm };
    case "vote-response":
      return message.preVote ? undefined : { ...envelope, type: "MsgVoteResp", reject: !message.granted };
    default:
      return undefined;
  }
}

function selfMessage({ id, term }: Status, type: "MsgAppResp" | "MsgVoteResp", index: number): TraceMessage {
  return { ...ABSENT, type, term, from: decimal(id), to: decimal(id), index };
}

function snapshotMessage(term: number, from: RaftId, to: RaftId, index: number): TraceMessage {
  return { ...ABSENT, type: "MsgSnap", term, from: decimal(from), to: decimal(to), entries: index };
}

function changesOf(change: MembershipChange): NonNullable<TraceConfChange["changes"]> {
  if (change.kind === "leave-joint") return [];
  return change.steps.flatMap((step) => {
    const action = actionOf(step);
    const raftId = "member" in step ? step.member.raftId : step.raftId;
    return action === undefined ? [] : [{ nid: decimal(raftId), action }];
  });
}

/** A new address or name is no change of the configuration in etcd's sense. */
function actionOf({ kind }: MembershipStep): string | undefined {
  if (kind === "add-voter" || kind === "promote") return "AddNewServer";
  if (kind === "add-learner" || kind === "demote") return "AddLearner";
  return kind === "remove" ? "RemoveServer" : undefined;
}
