import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ToldCheck } from "../../../src/cluster/state-check/policy.ts";
import { StateWatch, type StateWatchPorts } from "../../../src/parts/state-watch.ts";

const check = (index: number, running: string): ToldCheck => ({ index, comparable: "c", running, content: "" });

class Bench {
  own: readonly ToldCheck[] = [check(1024, "a")];
  leads = true;
  now = 0;
  appliedIndex = 1100;
  readonly silent = new Set<string>();
  readonly lacking = new Set<string>();
  readonly rebuilt: string[] = [];
  readonly asked: string[] = [];
  readonly said: string[] = [];
  readonly watch: StateWatch;

  constructor(voters: readonly string[] = ["self", "b", "c"]) {
    const ports: StateWatchPorts = {
      self: "self",
      voters: () => voters,
      nameOf: (raftId) => `box-${raftId}`,
      leads: () => this.leads,
      appliedIndex: () => this.appliedIndex,
      own: () => this.own,
      isSilent: (raftId) => this.silent.has(raftId),
      lacksState: (raftId) => this.lacking.has(raftId),
      rebuild: (raftId) => this.rebuilt.push(raftId),
      transfer: async (to) => {
        this.asked.push(to);
        return to === "b" ? "it does not answer" : undefined;
      },
      now: () => this.now,
      log: (text) => this.said.push(text),
    };
    this.watch = new StateWatch(ports);
  }

  tell(told: Record<string, readonly ToldCheck[]>): void {
    for (const [raftId, checks] of Object.entries(told)) this.watch.take(raftId, checks);
    this.watch.look();
  }

  get refusal(): string {
    try {
      this.watch.admit();
      return "";
    } catch (error) {
      return (error as { code: string }).code;
    }
  }
}

test("a follower that differs is rebuilt once, and again only if what it tells afterwards differs too", () => {
  const bench = new Bench();
  bench.tell({ b: [check(1024, "a")], c: [check(1024, "x")] });
  assert.equal(bench.rebuilt, ["c"]);
  assert.match(bench.said[0] ?? "", /box-c has a state that differs from the majority's at entry 1024: it is rebuilt/);
  assert.is(bench.refusal, "");
  for (let n = 0; n < 5; n++) bench.watch.look();
  assert.is(bench.rebuilt.length, 1);
  bench.own = [check(2048, "a")];
  bench.tell({ b: [check(2048, "a")], c: [check(2048, "a")] });
  assert.is(bench.rebuilt.length, 1);
  bench.own = [check(3072, "a")];
  bench.tell({ b: [check(3072, "a")], c: [check(3072, "y")] });
  assert.equal(bench.rebuilt, ["c", "c"]);
});

test("boxes are rebuilt one at a time", () => {
  const bench = new Bench(["self", "b", "c", "d", "e"]);
  const right = [check(1024, "a")];
  bench.tell({ b: right, c: right, d: [check(1024, "x")], e: [check(1024, "y")] });
  assert.equal(bench.rebuilt, ["d"]);
  bench.now = 59_000;
  bench.watch.look();
  assert.equal(bench.rebuilt, ["d"]);
  bench.own = [check(2048, "a")];
  bench.tell({ d: [check(2048, "a")], e: [check(1024, "y")], b: [...right, check(2048, "a")], c: right });
  bench.own = [...right, check(2048, "a")];
  bench.watch.look();
  assert.equal(bench.rebuilt, ["d", "e"]);
});

test("a leader in the minority rebuilds nobody: it hands over to the majority, and its writes go there", async () => {
  const bench = new Bench();
  bench.own = [check(1024, "x")];
  bench.tell({ b: [check(1024, "a")], c: [check(1024, "a")] });
  assert.equal(bench.rebuilt, []);
  assert.is(bench.refusal, "not-leader");
  await Promise.resolve();
  assert.equal(bench.asked, ["b", "c"]);
  bench.leads = false;
  bench.watch.look();
  assert.is(bench.refusal, "");
});

test("where nobody is right writes stop, said once; with a silent box they go on, and a person is called", () => {
  const bench = new Bench();
  bench.silent.add("c");
  bench.tell({ b: [check(1024, "b")] });
  assert.is(bench.refusal, "");
  assert.match(bench.said.at(-1) ?? "", /ALERT the states of two boxes differ/);
  bench.silent.clear();
  bench.tell({ c: [check(1024, "c")] });
  bench.watch.look();
  assert.is(bench.refusal, "state-differs");
  assert.is(bench.said.length, 2);
  assert.equal([bench.rebuilt, bench.asked], [[], []]);
});

test("a follower that has lost its state is given one, asked again only after a while", () => {
  const bench = new Bench();
  bench.lacking.add("b");
  bench.watch.look();
  bench.watch.look();
  assert.equal(bench.rebuilt, ["b"]);
  assert.match(bench.said[0] ?? "", /box-b has lost its state/);
  bench.now = 61_000;
  bench.watch.look();
  assert.equal(bench.rebuilt, ["b", "b"]);
  bench.lacking.clear();
  bench.now = 200_000;
  bench.watch.look();
  assert.is(bench.rebuilt.length, 2);
});

test("a follower judges nobody", () => {
  const bench = new Bench();
  bench.leads = false;
  bench.tell({ b: [check(1024, "a")], c: [check(1024, "x")] });
  assert.equal([bench.rebuilt, bench.said], [[], []]);
});

test.run();
