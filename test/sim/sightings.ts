import type { Message } from "../../src/raft/messages.ts";
import { isQuorum } from "../../src/raft/quorum.ts";
import type { Membership, RaftId, Ready } from "../../src/raft/types.ts";
import type { SimBox } from "./box.ts";
import type { Checks } from "./checks.ts";
import type { World } from "./world.ts";

/**
 * Counts the states in which other implementations went wrong, where they can be seen from outside (rare.ts lists them).
 * It judges nothing: that is checks.ts. Whoever looks here asks whether the checks had anything to look at.
 */
export class Sightings {
  readonly #world: World;
  readonly #checks: Checks;
  readonly #boxes: () => readonly SimBox[];
  /** `term/index` of old-term entries that lay on a quorum of disks before anything of a newer term was committed. */
  readonly #onQuorum = new Set<string>();
  /** `voter/term` of grants that left. */
  readonly #grants = new Set<string>();

  constructor(world: World, checks: Checks, boxes: () => readonly SimBox[]) {
    this.#world = world;
    this.#checks = checks;
    this.#boxes = boxes;
  }

  /** A message is about to be stepped into a box's core. */
  arrives(box: SimBox, message: Message): void {
    switch (message.kind) {
      case "heartbeat": {
        if (message.term < box.term) return;
        const last = Math.min(box.disk.view.length, this.#checks.committed.length);
        const isBehind = last > 0 && box.disk.view[last - 1]?.term !== this.#checks.committed[last - 1]?.term;
        if (isBehind && message.commit > 0) this.#world.count("heartbeat before log repair");
        return;
      }
      case "append": {
        if (message.term < box.term) return;
        const end = message.previousIndex + message.entries.length;
        if (message.entries.length === 0 || end >= box.disk.view.length) return;
        const fits = message.entries.every((entry) => box.disk.view[entry.index - 1]?.term === entry.term);
        if (fits) this.#world.count("late append, the log is longer already");
        return;
      }
      case "append-response":
        if (!message.rejected && message.term < box.term) this.#world.count("acknowledgement of an older term arrives");
        return;
      case "vote-response":
        if (message.granted && !message.preVote && message.electionTerm < box.term)
          this.#world.count("vote of an older term arrives");
        return;
      case "timeout-now":
        if (message.term < box.term) this.#world.count("TimeoutNow of an older term arrives");
        return;
      default:
        return;
    }
  }

  /** A message leaves a box. */
  leaves(box: SimBox, message: Message): void {
    if (message.kind === "vote-response" && !message.preVote) {
      if (message.sticky) this.#world.count("vote refused within a promise");
      if (!message.granted) return;
      const grant = `${box.id}/${message.term}`;
      if (this.#grants.has(grant)) this.#world.count("vote grant lost and repeated");
      this.#grants.add(grant);
    } else if (message.kind === "append-response" && !message.rejected)
      this.#acknowledges(box, message.index, message.term);
  }

  /** Figure 8: an entry of an older term lies on a quorum, which says nothing about whether it will stay. */
  #acknowledges(box: SimBox, index: number, term: number): void {
    const of = box.disk.log.term(index);
    if (of === undefined || of >= term || index <= this.#checks.committed.length) return;
    const key = `${of}/${index}`;
    if (this.#onQuorum.has(key)) return;
    const boxes = this.#boxes();
    const holds = (id: RaftId): boolean => boxes.find((each) => each.id === id)?.disk.log.term(index) === of;
    if (!isQuorum(box.membership, holds)) return;
    this.#onQuorum.add(key);
    this.#world.count("figure 8: an old-term entry lies on a quorum");
  }

  /** A Ready leaves the core; what it cuts is still in the box's view. */
  ready(box: SimBox, ready: Ready): void {
    const first = ready.entries[0];
    if (first === undefined || this.#onQuorum.size === 0) return;
    for (let index = first.index; index <= box.disk.view.length; index++) {
      const of = box.disk.view[index - 1]?.term;
      const replaced = ready.entries[index - first.index]?.term;
      if (of !== replaced && this.#onQuorum.has(`${of}/${index}`)) {
        this.#world.count("figure 8: it was cut all the same");
        return;
      }
    }
  }

  /** As before and after one Ready. */
  roleChanged(box: SimBox, before: { readonly role: string; readonly term: number }): void {
    if (before.role === "leader" && box.role !== "leader" && box.term === before.term)
      this.#world.count("leader steps down by itself");
    if (before.role === "candidate" && box.role === "follower" && box.term === before.term)
      this.#world.count("candidate yields in its own term");
  }

  membershipChanged(box: SimBox, before: Membership): void {
    const now = box.membership;
    if (box.role === "leader" && before.voters.includes(box.id) && !now.voters.includes(box.id))
      this.#world.count("leader removed itself");
    if (now.votersOutgoing.length > 0) this.#world.count("joint membership in force");
    if (now.voters.some((id) => before.learners.includes(id))) this.#world.count("learner became a voter");
  }

  /** A box starts again: may it have to wait before it votes? */
  started(box: SimBox): void {
    if ((box.node?.status().promiseUntil ?? 0) > box.localNow) this.#world.count("restart within a promise");
  }

  /** A process stood still, in a call or between two inputs. */
  stoodStill(box: SimBox, hadLease: boolean): void {
    if (hadLease && !box.hasLease) this.#world.count("lease expired in a pause");
  }
}
