import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Fitness } from "../../../src/cluster/fitness/policy.ts";
import { FitnessWatch } from "../../../src/parts/fitness.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";

const fit = (room: Fitness["room"]): Fitness => ({ room, freeBytes: 1024, durableMs: 1, hasState: true });
const member = (raftId: string, serverId: number) => ({
  ...{ raftId, serverId, name: `box${serverId}`, certificateHash: "", peerAddress: "" },
});
const membership = {
  ...EMPTY_MEMBERSHIP,
  voters: ["a", "b", "c"],
  members: [member("a", 0), member("b", 1), member("c", 2)],
};

function bench(transfer: (to: string) => Promise<string | undefined> = async () => undefined) {
  const scene = { own: fit("enough"), leads: true, now: 0, asked: [] as string[], said: [] as string[] };
  const watch = new FitnessWatch({
    ...{ self: "a", membership: () => membership, leads: () => scene.leads, own: () => scene.own },
    transfer: (to) => {
      scene.asked.push(to);
      return transfer(to);
    },
    now: () => scene.now,
    log: (text) => scene.said.push(text),
  });
  const refusal = (): string => {
    try {
      watch.admit();
      return "";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  return { scene, watch, refusal };
}

test("a leader that runs out of room asks those with room in turn, and its writes are for the next leader", async () => {
  const { scene, watch, refusal } = bench(async (to) => (to === "b" ? "b does not answer" : undefined));
  watch.take("b", fit("enough"), 0);
  watch.take("c", fit("enough"), 0);
  watch.look();
  assert.equal([refusal(), scene.asked], ["", []]);
  scene.own = fit("full");
  watch.look();
  assert.is(refusal(), "not-leader");
  await Bun.sleep(0);
  assert.equal(scene.asked, ["b", "c"]);
  assert.match(scene.said.join(), /leadership is offered to another box: its disk has 0 MiB left/);
  scene.leads = false;
  assert.is(refusal(), "");
});

test("what a box told counts for three seconds", () => {
  const { scene, watch, refusal } = bench();
  scene.own = fit("low");
  watch.take("b", fit("enough"), 0);
  scene.now = 2_900;
  watch.look();
  assert.is(refusal(), "not-leader");
  assert.equal(watch.of("b"), fit("enough"));
  scene.now = 3_100;
  watch.look();
  assert.is(watch.of("b"), undefined);
  assert.is(refusal(), "no-room");
  assert.match(scene.said.at(-1) ?? "", /no room on the disks of the cluster .*box0 has 0 MiB left/);
});

test("the same news is said once", async () => {
  const { scene, watch } = bench(async () => "it does not answer");
  scene.own = fit("low");
  for (scene.now = 0; scene.now < 10_000; scene.now += 200) {
    watch.take("b", fit("enough"), scene.now);
    watch.look();
    await Bun.sleep(0);
  }
  assert.is(scene.said.length, 1);
  assert.match(scene.said[0] ?? "", /leadership stays here although .*: it does not answer/);
  assert.ok(scene.asked.length >= 9 && scene.asked.length <= 11, `${scene.asked.length} times`);
});

test.run();
