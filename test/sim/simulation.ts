import { changeMembership, EMPTY_MEMBERSHIP } from "../../src/raft/membership.ts";
import { encodeMembershipChange } from "../../src/raft/membership-codec.ts";
import { DEFAULT_TIMINGS, FAST_TIMINGS } from "../../src/raft/options.ts";
import type { LogEntry, MembershipChange, Options, RaftId } from "../../src/raft/types.ts";
import { id, member } from "../support/raft/group.ts";
import type { BoxParts } from "./box.ts";
import { SimBox, TIMINGS } from "./box.ts";
import { Checks } from "./checks.ts";
import { Clients } from "./clients.ts";
import type { Component, Stage } from "./component.ts";
import { Faults } from "./faults.ts";
import { Lan } from "./lan.ts";
import { Network } from "./network.ts";
import { Operator } from "./operator.ts";
import { Sightings } from "./sightings.ts";
import { type TraceEvent, Tracer } from "./trace.ts";
import { demand } from "./violation.ts";
import { FAULT_CLASS_NAMES, type FaultClass, type RunSettings, World } from "./world.ts";

/** The parts of every run, in the order in which they start. */
function components(): readonly Component[] {
  return [new Clients(), new Faults(), new Operator()];
}

/** After the storm a leader must be there within this many of the longest election time-outs. */
const HEAL_ELECTION_TIMEOUTS = 10;
/** And everybody must have caught up within this much more. */
const CATCH_UP_MS = 10_000;

export interface RunOptions extends RunSettings {
  readonly trace?: (line: string) => void;
  /** What the cores do, for a model checker: TRACE.md. */
  readonly traceEvent?: (event: TraceEvent) => void;
}

export interface RunResult {
  readonly seed: number;
  /** What was broken; undefined when everything held. */
  readonly failure: Error | undefined;
  readonly hash: number;
  readonly steps: number;
  readonly counters: ReadonlyMap<string, number>;
  /** The fault classes that the seed had turned on, and how many discrete pieces of bad luck there were. */
  readonly faults: readonly FaultClass[];
  readonly decisions: number;
}

/** One seed: a storm, then the heal, then everything must be whole. Same seed, same code: same hash. */
export function simulate(options: RunOptions): RunResult {
  const world = new World(options, options.trace);
  const tracer = options.traceEvent === undefined ? undefined : new Tracer(options.traceEvent);
  let failure: Error | undefined;
  try {
    run(world, tracer);
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  } finally {
    tracer?.uninstall();
  }
  const { hash, steps, counters, decisions } = world;
  const faults = FAULT_CLASS_NAMES.filter((name) => world.faults[name]);
  return { seed: options.seed, failure, hash, steps, counters, faults, decisions };
}

function run(world: World, tracer: Tracer | undefined): void {
  const stage = build(world, tracer);
  const parts = components();
  for (const box of stage.boxes) box.start();
  for (const part of parts) part.start(stage);
  while (world.storm) world.step();
  world.trace(() => "the storm is over");
  world.endStorm();
  for (const part of parts) part.heal?.(stage);
  heal(world, stage, parts);
  for (const part of parts) part.finish?.(stage);
  stage.checks.finish();
}

function build(world: World, tracer: Tracer | undefined): Stage {
  const random = world.split();
  const boxes: SimBox[] = [];
  const boxOf = (raftId: RaftId): SimBox | undefined => boxes.find((box) => box.id === raftId);
  const network = new Network(world, {
    deliver: (packet) => boxOf(packet.to)?.deliver(packet),
    unreachable: (from, to) => boxOf(from)?.unreachable(to),
  });
  const lan = new Lan(world);
  const checks = new Checks(world, () => boxes);
  const options: Partial<Options> = {
    // Small limits, so that runs of a few hundred entries meet them.
    maxInflight: random.pick([2, 8, 64]),
    maxSizePerMessage: random.pick([1, 64, 300, 65_536]),
    maxApplyingBytes: random.pick([200, 65_536]),
    maxUncommittedBytes: random.pick([1000, 65_536]),
  };
  const sightings = new Sightings(world, checks, () => boxes);
  const parts: BoxParts = { world, network, lan, checks, sightings, options, elected: [], tracer };
  const timings = random.chance(0.5) ? DEFAULT_TIMINGS : FAST_TIMINGS;
  const addBox = (): SimBox => {
    const number = boxes.length + 1;
    // Before the first entry each box goes by its own file, and the files may differ.
    const own = world.faults.timings ? random.pick(TIMINGS) : timings;
    const box = new SimBox(number, id(number), parts, own);
    boxes.push(box);
    return box;
  };
  found(random.pick([1, 3, 3, 3, 4, 5]), addBox, checks);
  return { world, network, checks, boxes, addBox, parts };
}

/** The first entry of every log: who founded the cluster. Boxes that come later learn it like everything else. */
function found(count: number, addBox: () => SimBox, checks: Checks): void {
  const founders = Array.from({ length: count }, addBox);
  const steps = founders.map((_, i) => ({ kind: "add-voter", member: member(i + 1) }) as const);
  const change: MembershipChange = { kind: "enter-joint", steps, autoLeave: true };
  const result = changeMembership(EMPTY_MEMBERSHIP, change);
  demand(result.kind === "changed", "founding", () => "refused");
  if (result.kind !== "changed") return;
  const entry: LogEntry = { term: 1, index: 1, kind: "membership", data: encodeMembershipChange(change) };
  checks.committed.push(entry);
  for (const box of founders) {
    box.disk.log.write([entry]);
    box.disk.view = [entry];
    box.disk.hardState = { term: 1, vote: "", promiseMs: 0, commit: 1 };
    box.disk.membership = { index: 1, value: result.membership };
    box.disk.commit = 1;
    box.machine.apply(entry, false);
  }
}

function heal(world: World, stage: Stage, parts: readonly Component[]): void {
  const slowestMs = Math.max(...TIMINGS.map((timings) => timings.electionTimeoutMs[1]));
  // Pauses and slow disks that began in the storm, and the promises given then, end first.
  const calmAt = world.now + 10_000;
  const leaderBy = calmAt + HEAL_ELECTION_TIMEOUTS * slowestMs;
  let missing = "";
  while (world.now < leaderBy + CATCH_UP_MS) {
    for (let i = 0; i < 50; i++) world.step();
    const leader = leaderOf(stage);
    demand(leader !== undefined || world.now < leaderBy, "a leader after the heal", () => describe(stage));
    missing = stillMissing(stage, leader, parts) ?? "";
    if (missing === "") return;
  }
  demand(false, "everybody caught up after the heal", () => `${missing}; ${describe(stage)}`);
}

function leaderOf(stage: Stage): SimBox | undefined {
  const leaders = stage.boxes.filter((box) => box.role === "leader");
  return leaders.sort((a, b) => b.term - a.term)[0];
}

function stillMissing(stage: Stage, leader: SimBox | undefined, parts: readonly Component[]): string | undefined {
  if (leader === undefined) return "no leader";
  if (!leader.isHolder) return `${leader.id} leads without the VIP`;
  const { voters, learners } = leader.membership;
  const last = stage.checks.committed.length;
  for (const box of stage.boxes) {
    if (!voters.includes(box.id) && !learners.includes(box.id)) continue;
    if (box.machine.applied < last) return `${box.id} applied ${box.machine.applied} of ${last}`;
  }
  for (const part of parts) {
    const missing = part.missing?.(stage);
    if (missing !== undefined) return `${part.name}: ${missing}`;
  }
  return undefined;
}

function describe(stage: Stage): string {
  return stage.boxes
    .map((box) => `${box.id.slice(-2)} ${box.role} t${box.term} c${box.commit} a${box.machine.applied}`)
    .join(", ");
}
