import type { TraceEvent, TraceMessage } from "./trace.ts";

/** What the checker knows of a node, from its events alone. */
interface Node {
  last: TraceEvent;
  /** `term/voter`: whose vote it received. */
  readonly granted: Set<string>;
  /** `term/member`: up to which index it was told that the member has its log. */
  readonly acknowledged: Map<string, number>;
  /** The first index of its own term, while it leads. */
  firstOwnIndex: number;
}

/**
 * A small judge of traces that knows the paper and nothing of our core: it reads events only. It is to a model checker
 * what a proof-reader is to a lawyer, and keeps the trace's own mistakes away from it.
 */
export class TraceChecker {
  readonly #nodes = new Map<string, Node>();
  readonly #leaders = new Map<number, string>();
  readonly #sent = new Set<string>();

  /** What is wrong with the first event that is, or undefined. */
  check(events: Iterable<TraceEvent>): string | undefined {
    let number = 0;
    for (const event of events) {
      number++;
      const wrong = this.#event(event);
      if (wrong !== undefined) return `event ${number}, ${event.name} of ${event.nid}: ${wrong}`;
    }
    return undefined;
  }

  #event(event: TraceEvent): string | undefined {
    const node = this.#nodes.get(event.nid);
    if (event.name === "InitState") {
      // What was decided and not written before the crash is forgotten: terms may go back here, and nowhere else.
      this.#nodes.set(event.nid, { last: event, granted: new Set(), acknowledged: new Map(), firstOwnIndex: 0 });
      return undefined;
    }
    if (node === undefined) return "it was never started";
    const wrong = step(node.last, event) ?? this.#rule(node, event);
    node.last = event;
    return wrong;
  }

  #rule(node: Node, event: TraceEvent): string | undefined {
    const { name, nid, state, msg } = event;
    if (name.startsWith("Send")) return this.#send(nid, msg);
    if (name.startsWith("Receive")) return this.#receive(node, nid, msg);
    if (name === "BecomeLeader") {
      const known = this.#leaders.get(state.term) ?? nid;
      if (known !== nid) return `term ${state.term} is led by ${known}`;
      if (!isQuorum(event, (id) => node.granted.has(`${state.term}/${id}`)))
        return `votes: ${[...node.granted].join(" ")}`;
      this.#leaders.set(state.term, nid);
      node.firstOwnIndex = event.log + 1;
    } else if (name === "Commit") {
      if (this.#leaders.get(state.term) !== nid) return "only a leader commits by counting";
      if (state.commit < node.firstOwnIndex) return `${state.commit} is of an older term`;
      const holds = (id: string): boolean => (node.acknowledged.get(`${state.term}/${id}`) ?? 0) >= state.commit;
      if (!isQuorum(event, holds)) return `${state.commit} is acknowledged by ${[...node.acknowledged].join(" ")}`;
    }
    return undefined;
  }

  #send(nid: string, msg: TraceMessage | undefined): string | undefined {
    if (msg === undefined || msg.from !== nid) return "a message of somebody else";
    const isOfLeader = msg.type === "MsgApp" || msg.type === "MsgHeartbeat";
    if (isOfLeader && this.#leaders.get(msg.term) !== nid) return `it does not lead term ${msg.term}`;
    this.#sent.add(JSON.stringify(msg));
    return undefined;
  }

  #receive(node: Node, nid: string, msg: TraceMessage | undefined): string | undefined {
    if (msg === undefined || msg.to !== nid) return "a message for somebody else";
    // A snapshot's index is known to its sender only when it is made.
    if (msg.type !== "MsgSnap" && !this.#sent.has(JSON.stringify(msg))) return `never sent: ${JSON.stringify(msg)}`;
    const key = `${msg.term}/${msg.from}`;
    if (msg.type === "MsgVoteResp" && !msg.reject) node.granted.add(key);
    if (msg.type === "MsgAppResp" && !msg.reject)
      node.acknowledged.set(key, Math.max(node.acknowledged.get(key) ?? 0, msg.index));
    return undefined;
  }
}

/** What holds between any two events of one life of a node. */
function step(before: TraceEvent, event: TraceEvent): string | undefined {
  const { state, name, role } = event;
  if (state.commit < before.state.commit) return `commit ${state.commit} after ${before.state.commit}`;
  if (state.commit > event.log) return `commit ${state.commit} is after the log's end ${event.log}`;
  const isOther = state.term !== before.state.term || role !== before.role;
  if (isOther && !name.startsWith("Become")) return `${role} in term ${state.term} without having become it`;
  return keptVote(before, event);
}

/** Terms never go back, and a vote is given once in each. */
function keptVote(before: TraceEvent, event: TraceEvent): string | undefined {
  const { term, vote } = event.state;
  if (term < before.state.term) return `term ${term} after ${before.state.term}`;
  if (term > before.state.term || before.state.vote === "0" || vote === before.state.vote) return undefined;
  return `votes for ${vote} in term ${term}, its vote was for ${before.state.vote}`;
}

function isQuorum(event: TraceEvent, has: (id: string) => boolean): boolean {
  return event.conf.every((half) => half.length === 0 || half.filter(has).length > half.length / 2);
}
