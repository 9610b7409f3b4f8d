import type { Prng } from "../../src/base/prng.ts";
import type { MembershipChange, RaftNode } from "../../src/raft/types.ts";
import { member } from "../support/raft/group.ts";
import type { SimBox } from "./box.ts";
import { TIMINGS } from "./box.ts";
import type { Component, Stage } from "./component.ts";
import { encodeWrite, TIMINGS_KEY } from "./machine.ts";

/** The operator's own session. */
const OPERATOR = 99;
/** Voters that the operator aims at; never below. */
const VOTERS_MIN = 3;
const VOTERS_MAX = 5;
/** Boxes that a run may make, replaced ones included. */
const BOXES_MAX = 8;

/** Whoever hands leadership over and changes the membership. */
export class Operator implements Component {
  readonly name = "operator";
  #random!: Prng;
  #timingChanges = 0;

  start(stage: Stage): void {
    this.#random = stage.world.split();
    if (stage.world.faults.transfers) this.#transfers(stage);
    if (stage.world.faults.membership) this.#changes(stage);
    if (stage.world.faults.timings) this.#timings(stage);
  }

  #leader(stage: Stage): SimBox | undefined {
    return stage.boxes.find((box) => box.role === "leader" && box.isUp);
  }

  /** Timings change by an entry, so boxes change them at different times. */
  #timings(stage: Stage): void {
    stage.world.after(300 + this.#random.fraction() * 2000, "timings", () => {
      if (!stage.world.storm) return;
      const key = TIMINGS_KEY + this.#random.range(0, TIMINGS.length - 1);
      this.#leader(stage)?.operate((node, now) => {
        const write = { client: OPERATOR, sequence: ++this.#timingChanges, key };
        if (node.propose([encodeWrite(write)], now).kind === "accepted") stage.world.count("timings changed");
      });
      this.#timings(stage);
    });
  }

  #transfers(stage: Stage): void {
    stage.world.after(50 + this.#random.fraction() * 800, "transfer", () => {
      if (!stage.world.storm) return;
      const to = this.#random.pick(stage.boxes);
      if (this.#random.chance(0.3)) to.operate((node, now) => void node.campaign(now));
      else this.#transfer(stage, to);
      this.#transfers(stage);
    });
  }

  /** Often the old leader is cut off, or stopped, just when its TimeoutNow is out: it hears of its successor late. */
  #transfer(stage: Stage, to: SimBox): void {
    const { world, network } = stage;
    const leader = this.#leader(stage);
    leader?.operate((node, now) => {
      if (node.transferLeader(to.id, now).kind === "started") world.count("transfers");
    });
    if (leader === undefined || !this.#random.chance(0.5)) return;
    world.after(this.#random.fraction() * 4, "cut after transfer", () => {
      if (!world.storm) return;
      if (this.#random.chance(0.5)) leader.pause(100 + this.#random.fraction() * 1000);
      else for (const box of stage.boxes) network.cut(box.id, leader.id);
    });
    world.after(1500, "heal after transfer", () => network.heal());
  }

  #changes(stage: Stage): void {
    stage.world.after(20 + this.#random.fraction() * 300, "change", () => {
      if (!stage.world.storm) return;
      const leader = this.#leader(stage);
      const change = leader === undefined ? undefined : this.#pick(stage, leader);
      if (change !== undefined) {
        leader?.operate((node, now) => this.#propose(stage, node, change, now));
      }
      this.#changes(stage);
    });
  }

  #propose(stage: Stage, node: RaftNode, change: MembershipChange, now: number): void {
    // Twice: the second must be refused while the first is in flight.
    for (let i = 0; i < 2; i++) {
      if (node.proposeMembership(change, now).kind === "accepted") stage.world.count("membership changes proposed");
    }
  }

  #pick(stage: Stage, leader: SimBox): MembershipChange | undefined {
    const { voters, learners } = leader.membership;
    const learner = learners[0];
    if (learner !== undefined) {
      // Also a learner goes away at times, before it was promoted.
      const kind = this.#random.chance(0.85) ? "promote" : "remove";
      return { kind: "simple", steps: [{ kind, raftId: learner }] };
    }
    if (voters.length > VOTERS_MIN && this.#random.chance(0.5)) {
      return { kind: "simple", steps: [{ kind: "remove", raftId: this.#random.pick(voters) }] };
    }
    if (stage.boxes.length >= BOXES_MAX || voters.length >= VOTERS_MAX) return undefined;
    const added = member(Number.parseInt(stage.addBox().id, 16));
    const joined = { kind: "add-learner", member: added } as const;
    if (voters.length > VOTERS_MIN && this.#random.chance(0.5)) {
      const dead = this.#random.pick(voters);
      return { kind: "simple", steps: [{ kind: "remove", raftId: dead }, joined] };
    }
    return { kind: "simple", steps: [joined] };
  }
}
