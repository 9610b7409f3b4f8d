import type { Prng } from "../../src/base/prng.ts";
import type { Pump } from "../../src/cluster/pump.ts";
import type { MembershipChange, MembershipStep } from "../../src/raft/types.ts";
import { member } from "../support/raft/group.ts";
import type { SimBox } from "./box.ts";
import { TIMINGS } from "./box.ts";
import type { Component, Stage } from "./component.ts";
import { TIMINGS_KEY } from "./machine.ts";

/** Voters that the operator aims at; never below. */
const VOTERS_MIN = 3;
const VOTERS_MAX = 5;
/** Boxes that a run may make, replaced ones included. */
const BOXES_MAX = 8;

/** Its number among the clients. */
const OPERATOR = 999_999;

/** Whoever hands leadership over and changes the membership. */
export class Operator implements Component {
  readonly name = "operator";
  #random!: Prng;
  #sequence = 0;

  start(stage: Stage): void {
    this.#random = stage.world.split();
    if (stage.world.faults.transfers) this.#transfers(stage);
    if (stage.world.faults.membership) {
      this.#changes(stage);
      this.#letIn(stage);
    }
    if (stage.world.faults.timings) this.#timings(stage);
  }

  #leader(stage: Stage): SimBox | undefined {
    return stage.boxes.find((box) => box.role === "leader" && box.isUp);
  }

  /**
   * Other timings by an entry, as the leader proposes it. Boxes apply it one after the other, some much later, and one
   * that loses its state's tail goes back for a while: they differ then.
   */
  #timings(stage: Stage): void {
    stage.world.after(300 + this.#random.fraction() * 2000, "timings", () => {
      if (!stage.world.storm) return;
      if (!stage.world.strikes()) return this.#timings(stage);
      const key = TIMINGS_KEY + this.#random.range(0, TIMINGS.length - 1);
      this.#sequence++;
      const write = { client: OPERATOR, sequence: this.#sequence, key };
      this.#leader(stage)?.write(write, () => stage.world.count("timings changed"));
      this.#timings(stage);
    });
  }

  /** A box with a token asks until a leader has it in its membership, and learns that membership. */
  #letIn(stage: Stage): void {
    stage.world.after(20 + this.#random.fraction() * 100, "join", () => {
      for (const box of stage.boxes) {
        if (box.isMember) continue;
        const leader = stage.boxes.find(
          (other) => other.role === "leader" && other.membership.members.some((each) => each.raftId === box.id),
        );
        if (leader === undefined) continue;
        box.bootstrap = { index: leader.membershipIndex, value: leader.membership };
        box.start();
      }
      this.#letIn(stage);
    });
  }

  #transfers(stage: Stage): void {
    stage.world.after(50 + this.#random.fraction() * 800, "transfer", () => {
      if (!stage.world.storm) return;
      const to = this.#random.pick(stage.boxes);
      if (!stage.world.strikes()) return this.#transfers(stage);
      if (this.#random.chance(0.3)) to.operate((_pump, node) => void node.campaign(to.localNow));
      else this.#transfer(stage, to);
      this.#transfers(stage);
    });
  }

  /** Often the old leader is cut off, or stopped, just when its TimeoutNow is out: it hears of its successor late. */
  #transfer(stage: Stage, to: SimBox): void {
    const { world, network } = stage;
    const leader = this.#leader(stage);
    leader?.operate((pump) => {
      if (pump.transfer(to.id) === undefined) world.count("transfers");
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
      const change = leader === undefined || !stage.world.strikes() ? undefined : this.#pick(stage, leader);
      if (change !== undefined) {
        leader?.operate((pump) => this.#propose(stage, pump, change));
      }
      this.#changes(stage);
    });
  }

  #propose(stage: Stage, pump: Pump, change: MembershipChange): void {
    // Twice: the second must be refused while the first is in flight.
    for (let i = 0; i < 2; i++) {
      if (pump.proposeMembership(change) === undefined) stage.world.count("membership changes proposed");
    }
  }

  #pick(stage: Stage, leader: SimBox): MembershipChange | undefined {
    const { voters, learners } = leader.membership;
    const learner = learners[0];
    if (learner !== undefined) {
      // The pump promotes it. At times it goes away before that.
      if (this.#random.chance(0.85)) return undefined;
      return { kind: "simple", steps: [{ kind: "remove", raftId: learner }] };
    }
    if (voters.length > VOTERS_MIN && this.#random.chance(0.5)) {
      return { kind: "simple", steps: [{ kind: "remove", raftId: this.#random.pick(voters) }] };
    }
    if (stage.boxes.length >= BOXES_MAX || voters.length >= VOTERS_MAX) return undefined;
    if (this.#random.chance(0.25)) return this.#pickJoint(stage, voters);
    const joined = this.#newcomer(stage);
    if (voters.length > VOTERS_MIN && this.#random.chance(0.5)) {
      const dead = this.#random.pick(voters);
      return { kind: "simple", steps: [{ kind: "remove", raftId: dead }, joined] };
    }
    return { kind: "simple", steps: [joined] };
  }

  /** Several steps at once, by way of both majorities: the core offers it, and outside drivers use it. */
  #pickJoint(stage: Stage, voters: readonly string[]): MembershipChange {
    const steps: MembershipStep[] = [this.#newcomer(stage)];
    const old = this.#random.pick(voters);
    if (voters.length >= VOTERS_MIN)
      steps.unshift(this.#random.chance(0.5) ? { kind: "remove", raftId: old } : { kind: "demote", raftId: old });
    return { kind: "enter-joint", steps, autoLeave: true };
  }

  #newcomer(stage: Stage): MembershipStep {
    return { kind: "add-learner", member: member(Number.parseInt(stage.addBox().id, 16)) };
  }
}
