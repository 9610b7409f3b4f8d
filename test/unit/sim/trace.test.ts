import { test } from "uvu";
import * as assert from "uvu/assert";
import type { CoreMutant } from "../../../src/raft/mutants.ts";
import { simulate } from "../../sim/simulation.ts";
import { type TraceEvent, traceLine } from "../../sim/trace.ts";
import { TraceChecker } from "../../sim/trace-checker.ts";

function traceOf(seed: number, mutant?: CoreMutant): TraceEvent[] {
  const events: TraceEvent[] = [];
  const mutants = new Set(mutant === undefined ? [] : [mutant]);
  simulate({ seed, steps: 3000, mutants, traceEvent: (event) => events.push(event) });
  return events;
}

function complaintAbout(events: readonly TraceEvent[]): string | undefined {
  return new TraceChecker().check(events);
}

test("a trace tells a story that Raft allows, and every event of the vocabulary comes up", () => {
  const names = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const events = traceOf(seed);
    assert.is(complaintAbout(events), undefined, `seed ${seed}`);
    for (const { name } of events) names.add(name);
  }
  const wanted = [
    "InitState BecomeCandidate BecomeFollower BecomeLeader Commit Replicate ChangeConf ApplyConfChange Ready",
    "SendAppendEntriesRequest ReceiveAppendEntriesRequest SendAppendEntriesResponse ReceiveAppendEntriesResponse",
    "SendRequestVoteRequest ReceiveRequestVoteRequest SendRequestVoteResponse ReceiveRequestVoteResponse",
  ];
  for (const name of wanted.join(" ").split(" ")) assert.ok(names.has(name), `never: ${name}`);
});

test("tracing changes nothing: a seed has the same hash with and without", () => {
  const plain = simulate({ seed: 5, steps: 3000 });
  const traced = simulate({ seed: 5, steps: 3000, traceEvent: () => undefined });
  assert.equal([traced.hash, traced.steps], [plain.hash, plain.steps]);
  assert.is(simulate({ seed: 5, steps: 3000 }).hash, plain.hash);
});

test("a line is what the model checker reads: in the order of its numbers, with a tag", () => {
  const event = traceOf(3)[0];
  assert.ok(event !== undefined);
  const line = traceLine(event, 7);
  assert.equal(JSON.parse(line), { level: "debug", ts: "0000000007", tag: "trace", event });
  assert.is(line.split(":")[2]?.startsWith('"0000000007"'), true);
  assert.equal(Object.keys(event).sort(), ["conf", "log", "name", "nid", "role", "state"]);
});

test("a trace with one event taken out, changed or told twice is found out", () => {
  const events = traceOf(3);
  const at = (name: string): number => events.findIndex((event) => event.name === name);
  const without = (index: number): TraceEvent[] => events.filter((_, i) => i !== index);
  assert.match(complaintAbout(without(at("BecomeLeader"))) ?? "", /without having become it|does not lead/);
  assert.match(complaintAbout(without(at("SendRequestVoteRequest"))) ?? "", /never sent/);
  const unelected = events.filter((event) => event.name !== "ReceiveRequestVoteResponse");
  assert.match(complaintAbout(unelected) ?? "", /votes: /);
  const commit = at("Commit");
  const changed = (change: (event: TraceEvent) => TraceEvent): TraceEvent[] =>
    events.map((event, i) => (i === commit ? change(event) : event));
  const ahead = changed((event) => ({ ...event, log: 50, state: { ...event.state, commit: 50 } }));
  assert.match(complaintAbout(ahead) ?? "", /is acknowledged by/);
  const earlier = changed((event) => ({ ...event, state: { ...event.state, commit: 0 } }));
  assert.match(complaintAbout(earlier) ?? "", /commit 0 after/);
});

test("the trace alone shows a planted mistake: entries of an older term committed by counting", () => {
  let complaint: string | undefined;
  for (let seed = 1; seed <= 300 && complaint === undefined; seed++)
    complaint = complaintAbout(traceOf(seed, "commit-old-term-by-counting"));
  assert.match(complaint ?? "", /Commit of \d+: \d+ is of an older term/);
});

test.run();
