import type { Prng } from "../../src/base/prng.ts";
import type { SimBox } from "./box.ts";
import type { Component, Stage } from "./component.ts";

/** Bad luck: cuts, kills, power cuts, as the seed's fault classes allow. */
export class Faults implements Component {
  readonly name = "faults";
  #random!: Prng;
  #meanMs = 0;

  start(stage: Stage): void {
    this.#random = stage.world.split();
    this.#meanMs = this.#random.pick([60, 200, 600]);
    this.#schedule(stage);
  }

  heal(stage: Stage): void {
    stage.network.heal();
    for (const box of stage.boxes) if (!box.isUp && box.isMember) box.start();
  }

  #schedule(stage: Stage): void {
    const { world } = stage;
    world.after(this.#random.fraction() * 2 * this.#meanMs, "fault", () => {
      if (!world.storm) return;
      this.#strike(stage);
      this.#schedule(stage);
    });
  }

  #strike(stage: Stage): void {
    const { world } = stage;
    const { faults } = world;
    const dice = this.#random.range(0, 9);
    if (dice <= 1 && faults.partitions) this.#partition(stage);
    else if (dice === 2 && faults.oneWayCuts) this.#cutOneWay(stage);
    else if (dice === 3) stage.network.heal();
    else if (dice === 4 && faults.kills) this.#take(stage, this.#victim(stage), "kill");
    else if (dice === 8 && faults.kills) this.#stop(stage, this.#victim(stage));
    else if (dice === 5 && faults.powerCuts) this.#take(stage, this.#victim(stage), "power");
    else if (dice === 6 && faults.powerCuts && this.#random.chance(0.3)) this.#blackout(stage);
    else if (dice === 7 && faults.pauses) this.#victim(stage).pause(10 + this.#random.fraction() ** 2 * 10_000);
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
