import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BoxRole, Cluster } from "../../../src/parts/cluster.ts";
import { LeaderParts } from "../../../src/parts/leader.ts";
import type { Seal } from "../../../src/parts/seal.ts";

class World {
  readonly told: string[] = [];
  failures: string[] = [];
  serverId = 0;
  /** Answers to the next changes of the membership; then they are taken. */
  refusals: string[] = [];
  readonly parts: LeaderParts;

  constructor() {
    // As far as the leader's parts look at it: founded, and this box has its name.
    const cluster = {
      state: { read: async () => [[1]], onApplied: () => () => undefined },
      self: () => ({ serverId: this.serverId }),
      core: {
        changeMembership: async () => {
          const refusal = this.refusals.shift();
          if (refusal === undefined) this.serverId = 1;
          this.told.push(refusal ?? "named");
          return refusal;
        },
      },
    } as unknown as Cluster;
    this.parts = new LeaderParts({
      cluster,
      seal: {} as Seal,
      fencing: {
        lead: (_hosts, term) => this.#tell(`fencing leads in ${term}`),
        unlead: () => this.#tell("fencing ends"),
      },
      hosts: async () => ({
        lead: () => this.#tell("hosts lead"),
        unlead: () => {
          this.told.push("hosts end");
        },
        view: () => ({ bootId: "", domains: undefined }),
        closedReason: () => "",
        monitor: { levels: () => [] },
      }),
      log: () => undefined,
    });
  }

  role(term: number, isReady: boolean): void {
    this.parts.roleChanged({ term, isReady } as BoxRole);
  }

  async until(what: string): Promise<void> {
    const endsAt = performance.now() + 4_000;
    while (!this.told.includes(what)) {
      assert.ok(performance.now() < endsAt, `"${what}" did not come: ${this.told}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #tell(text: string): Promise<void> {
    if (this.failures[0] === text) {
      this.failures.shift();
      throw new Error(text);
    }
    this.told.push(text);
  }
}

test("a founder that cannot be named, because another change is in flight, is named after it", async () => {
  const world = new World();
  world.serverId = -1;
  world.refusals = ["in flight", "still in flight"];
  world.role(3, true);
  await world.until("named");
  await world.until("fencing leads in 3");
  assert.equal(
    world.told.filter((text) => /flight|named/.test(text)),
    ["in flight", "still in flight", "named"],
  );
  await world.parts.stop();
});

test("a leader whose parts could not start starts them again, from the beginning, while it leads", async () => {
  const world = new World();
  world.failures = ["hosts lead", "fencing leads in 4"];
  world.role(4, true);
  await world.until("fencing leads in 4");
  const ended = ["hosts end", "fencing ends"];
  assert.equal(world.told, [...ended, "hosts lead", ...ended, "hosts lead", "fencing leads in 4"]);
  await world.parts.stop();
});

test("what could not start is not tried again by a box that leads no more", async () => {
  const world = new World();
  world.failures = ["hosts lead"];
  world.role(4, true);
  await world.until("fencing ends");
  world.role(4, false);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(world.told, ["hosts end", "fencing ends"]);
  await world.parts.stop();
});

test("a flap ends the parts of the old term before those of the new one start", async () => {
  const world = new World();
  world.role(4, true);
  await world.until("fencing leads in 4");
  world.role(5, false);
  world.role(6, true);
  await world.until("fencing leads in 6");
  const leads = (term: number) => ["hosts lead", `fencing leads in ${term}`];
  assert.equal(world.told, [...leads(4), "hosts end", "fencing ends", ...leads(6)]);
  await world.parts.stop();
});

test.run();
