import type { Prng } from "../../src/base/prng.ts";
import type { SimBox } from "./box.ts";
import type { Component, Stage } from "./component.ts";

/** Bad luck: cuts, kills, power cuts, as the seed's fault classes allow. */
export class Faults implements Component {
  readonly name = "faults";
  /** When things happen. */
  #pace!: Prng;
  /** What happens. */
  #random!: Prng;
  #meanMs = 0;

  start(stage: Stage): void {
    this.#pace = stage.world.split();
    this.#random = this.#pace.split();
    this.#meanMs = this.#random.pick([60, 200, 600]);
    this.#schedule(stage);
    if (stage.world.faults.unluckyLeaders) stage.parts.elected.push((box) => this.#strikeLeader(stage, box));
  }

  heal(stage: Stage): void {
    stage.network.heal();
    for (const box of stage.boxes) if (!box.isUp && box.isMember) box.start();
  }

  #schedule(stage: Stage): void {
    const { world } = stage;
    world.after(this.#pace.fraction() * 2 * this.#meanMs, "fault", () => {
      if (!world.storm) return;
      // Each strike has dice of its own: one that is left out does not change what the later ones are.
      this.#random = this.#pace.split();
      const strike = this.#pick(stage);
      if (strike !== undefined && world.strikes()) strike();
      this.#schedule(stage);
    });
  }

  /** What it has sent by then arrives in part: this is how figure 8 of the paper comes about. */
  #strikeLeader(stage: Stage, leader: SimBox): void {
    const { world, network, boxes } = stage;
    if (!world.storm || !this.#random.chance(0.6)) return;
    // Some round trips of this network, or a fraction of one.
    world.after(this.#random.fraction() * this.#random.pick([2, 5, 15]), "bad luck", () => {
      if (!world.storm || leader.role !== "leader" || !world.strikes()) return;
      world.count("leaders struck when elected");
      if (this.#random.chance(0.4)) {
        this.#take(stage, leader, this.#random.pick(["kill", "power"]));
        return;
      }
      network.heal();
      // Often one other still hears it.
      const spared = this.#random.chance(0.6) ? this.#random.pick(boxes) : leader;
      for (const box of boxes) {
        if (box === leader || box === spared) continue;
        network.cut(leader.id, box.id);
        network.cut(box.id, leader.id);
      }
    });
  }

  /** What happens next, if it is of a class that this seed has. */
  #pick(stage: Stage): (() => void) | undefined {
    const { faults } = stage.world;
    const dice = this.#random.range(0, 9);
    if (dice <= 1 && faults.partitions) return () => this.#partition(stage);
    if (dice === 2 && faults.oneWayCuts) return () => this.#cutOneWay(stage);
    if (dice === 3 && (faults.partitions || faults.oneWayCuts || faults.unluckyLeaders))
      return () => stage.network.heal();
    if (dice === 4 && faults.kills) return () => this.#take(stage, this.#victim(stage), "kill");
    if (dice === 8 && faults.kills) return () => this.#stop(stage, this.#victim(stage));
    if (dice === 5 && faults.powerCuts) return () => this.#take(stage, this.#victim(stage), "power");
    if (dice === 6 && faults.powerCuts && this.#random.chance(0.3)) return () => this.#blackout(stage);
    if (dice === 7 && faults.pauses) return () => this.#victim(stage).pause(10 + this.#random.fraction() ** 2 * 10_000);
    if (dice === 9 && faults.wallJumps) return () => this.#setWallClock(stage);
    return undefined;
  }

  #setWallClock(stage: Stage): void {
    stage.world.count("wall clocks set");
    this.#victim(stage).wallOffsetMs += (this.#random.fraction() - 0.5) * 7_200_000;
  }

  /** Half of the time whoever leads: that is where it hurts. */
  #victim(stage: Stage): SimBox {
    const leader = stage.boxes.find((box) => box.role === "leader");
    return leader !== undefined && this.#random.chance(0.5) ? leader : this.#random.pick(stage.boxes);
  }

  #take(stage: Stage, box: SimBox, how: "kill" | "power"): void {
    if (!box.isUp) return;
    const { world } = stage;
    world.count(how === "kill" ? "kills" : "power cuts");
    world.trace(() => `${box.id} ${how}`);
    if (how === "kill") box.kill();
    else box.cutPower();
    if (world.mutants.has("wiped-box-keeps-its-identity") && this.#random.chance(0.3)) box.wipe();
    const downMs = this.#random.chance(0.5) ? this.#random.fraction() * 60 : this.#random.fraction() * 2500;
    world.after(downMs, "start", () => {
      if (!box.isUp) box.start();
    });
  }

  #stop(stage: Stage, box: SimBox): void {
    if (!box.isUp) return;
    const { world } = stage;
    world.count("orderly stops");
    world.trace(() => `${box.id} is stopped`);
    box.leave();
    // Whatever it still waited for, its supervisor does not.
    world.after(1000 + this.#random.fraction() * 1500, "start", () => {
      if (box.isUp) box.kill();
      box.start();
    });
  }

  #blackout(stage: Stage): void {
    stage.world.count("blackouts");
    for (const box of stage.boxes) this.#take(stage, box, "power");
  }

  #partition(stage: Stage): void {
    const { network, boxes, world } = stage;
    network.heal();
    const side = new Set<SimBox>();
    if (this.#random.chance(0.5)) side.add(this.#victim(stage));
    else for (const box of boxes) if (this.#random.chance(0.5)) side.add(box);
    for (const a of boxes) {
      for (const b of boxes) if (a !== b && side.has(a) !== side.has(b)) network.cut(a.id, b.id);
    }
    world.count("partitions");
    world.trace(() => `partition: ${[...side].map((box) => box.id).join(" ")}`);
  }

  #cutOneWay(stage: Stage): void {
    const from = this.#victim(stage);
    const to = this.#random.pick(stage.boxes);
    if (from === to) return;
    stage.world.count("one-way cuts");
    stage.network.cut(from.id, to.id);
  }
}
