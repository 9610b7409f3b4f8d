import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";
import { DEFAULT_TIMINGS, FAST_TIMINGS } from "../../../src/raft/options.ts";
import type { MembershipChange, MembershipStep, Options, ProposeMembershipResult } from "../../../src/raft/types.ts";
import { bytes, entry, id, member, membershipOf } from "../raft/group.ts";
import type { Box } from "./box.ts";
import { expectFacts } from "./expect.ts";
import { forge } from "./forge.ts";
import { numberOf, sayEntries, sayMembership, sayMessage, sayProgress, sayStatus } from "./say.ts";
import { pickOf, type World } from "./world.ts";

/** Attempts of `elect`; each refusal lets a promise run down. */
const ELECT_TRIES = 100;

type Command = (world: World, words: string[]) => void;

/** Does what one line says. `quietly` leaves out messages, writes and lease rounds. */
export function obey(world: World, line: string): void {
  const [first = "", ...rest] = line.split(/\s+/);
  const isQuiet = first === "quietly";
  const [name = "", ...words] = isQuiet ? rest : [first, ...rest];
  const command = COMMANDS[name];
  if (command === undefined) throw new Error(`there is no command "${name}"`);
  world.isQuiet = isQuiet || ALWAYS_QUIET.has(name);
  command(world, words);
}

/** What takes many messages, of which only the outcome matters. */
const ALWAYS_QUIET = new Set(["elect", "run"]);

const COMMANDS: Record<string, Command> = {
  boxes(world, words) {
    const count = number(words.shift());
    const learners = words.filter((word) => word.startsWith("learner=")).map((word) => number(word.slice(8)));
    const draws = words
      .find((word) => word.startsWith("draws="))
      ?.slice(6)
      .split("/")
      .map(Number);
    world.options = optionsOf(words.filter((word) => !/^(learner|draws)=/.test(word)));
    const all = Array.from({ length: count }, (_, at) => at + 1);
    const membership = membershipOf(
      all.filter((each) => !learners.includes(each)),
      learners,
    );
    world.founding = membership;
    for (const each of all) {
      const box = world.add(each, membership);
      box.fraction = draws?.[each - 1] ?? box.fraction;
      box.start();
    }
  },
  /** A box with an empty disk that was told of the group as `boxes` made it: the log tells it the rest. */
  joiner: (world, words) => world.add(number(words[0]), world.founding).start(),
  /** A box that has neither founded nor joined anything. */
  blank(world, words) {
    world.add(number(words[0]), EMPTY_MEMBERSHIP).start();
  },
  /** Replaces what is on a box's disk by what an earlier life left there, and starts it anew. */
  given(world, words) {
    const box = world.box(number(words.shift()));
    box.wipe();
    const terms: number[] = [];
    while (words.length > 0) {
      const word = words.shift();
      if (word === "log") while (/^\d+$/.test(words[0] ?? "")) terms.push(number(words.shift()));
      else if (word === "term") box.hardState = { ...box.hardState, term: number(words.shift()) };
      else if (word === "vote") box.hardState = { ...box.hardState, vote: id(number(words.shift())) };
      else if (word === "commit") box.hardState = { ...box.hardState, commit: number(words.shift()) };
      else if (word === "promised") box.hardState = { ...box.hardState, promiseMs: number(words.shift()) };
      else throw new Error(`given: what is "${word}"?`);
    }
    box.log.write(terms.map((term, at) => entry(term, at + 1, `t${term}`)));
    const newest = terms.at(-1) ?? 0;
    if (newest > box.hardState.term) box.hardState = { ...box.hardState, term: newest };
    box.start();
  },
  draw(world, words) {
    world.box(number(words[0])).fraction = Number(words[1]);
  },
  timings(world, words) {
    const which = words.pop();
    const timings = which === "fast" ? FAST_TIMINGS : DEFAULT_TIMINGS;
    for (const box of chosen(world, words)) box.input((node) => node.setTimings(timings, world.now()));
  },

  // Time and network.
  wait: (world, words) => world.pass(number(words[0]), false),
  run: (world, words) => world.pass(number(words[0]), true),
  /** The clock moves while box N does not run; then it ticks. */
  pause(world, words) {
    world.jump(number(words[1]));
    world.box(number(words[0])).input((node) => node.tick(world.now()));
  },
  deliver(world, words) {
    if (words.length === 0) world.settle();
    else if (world.deliver(pickOf(words)) === 0) world.say("news", "nothing to deliver");
  },
  drop(world, words) {
    const pick = pickOf(words);
    const dropped = world.net.filter(pick);
    world.net = world.net.filter((message) => !pick(message));
    for (const message of dropped) world.say("detail", `dropped ${sayMessage(message)}`);
    if (dropped.length === 0) world.say("news", "nothing to drop");
  },
  /** Sets aside what is under way; `release` puts it back behind all else, much later. */
  keep(world, words) {
    const pick = pickOf(words);
    const kept = world.net.filter(pick);
    world.net = world.net.filter((message) => !pick(message));
    world.kept.push(...kept);
    for (const message of kept) world.say("detail", `kept ${sayMessage(message)}`);
    if (kept.length === 0) world.say("news", "nothing to keep");
  },
  release(world) {
    world.net.push(...world.kept);
    world.kept = [];
  },
  /** A second copy of what is under way arrives now; the first one stays under way. */
  repeat(world, words) {
    const copies = world.net.filter(pickOf(words));
    for (const message of copies) world.hand(message);
    if (copies.length === 0) world.say("news", "nothing to repeat");
  },
  cut(world, words) {
    for (const word of words) {
      const [from, to] = word.split("->");
      if (from !== undefined && to !== undefined) world.cut(number(from), number(to));
      else cutOff(world, number(word));
    }
  },
  heal: (world) => world.heal(),
  forge: (world, words) => forge(world, words),

  // Disk, state and process.
  disk(world, words) {
    const box = world.box(number(words[0]));
    box.isDiskSlow = oneOf(words[1], "slow", "fast") === "slow";
    if (!box.isDiskSlow) box.sync(Number.POSITIVE_INFINITY);
  },
  sync: (world, words) => world.box(number(words[0])).sync(words[1] === undefined ? Infinity : number(words[1])),
  applying(world, words) {
    const box = world.box(number(words[0]));
    box.isApplyHeld = oneOf(words[1], "held", "free") === "held";
    if (!box.isApplyHeld) box.apply(Number.POSITIVE_INFINITY);
  },
  apply: (world, words) => world.box(number(words[0])).apply(words[1] === undefined ? Infinity : number(words[1])),
  /** `crash N`, with `kept K` of the writes under way on the disk, or `state K`: the state database lost its tail. */
  crash(world, words) {
    const box = world.box(number(words[0]));
    box.crash(words[1] === "kept" ? number(words[2]) : 0);
    if (words[1] === "state") box.loseState(number(words[2]));
  },
  restart(world, words) {
    const [which, flag, quarantineMs] = words;
    world.box(number(which)).start(flag === "quarantine" ? number(quarantineMs) : undefined);
  },
  compact: (world, words) => world.compact(number(words[0]), number(words[1])),
  snapshot(world, words) {
    const [from, to] = (words[0] ?? "").split("->");
    world.installSnapshot(number(from), number(to));
  },
  /** The leader N hears how the snapshot that it sent to M went. */
  report(world, words) {
    const isOk = oneOf(words[2], "ok", "failed") === "ok";
    world.box(number(words[0])).input((node) => node.reportSnapshot(id(number(words[1])), isOk));
  },
  unreachable: (world, words) =>
    void world.box(number(words[0])).input((node) => node.reportUnreachable(id(number(words[1])))),

  // What is asked of a core.
  campaign(world, words) {
    const result = world.box(number(words[0])).input((node) => node.campaign(world.now()));
    if (result?.kind === "refused") world.say("news", `refused: ${result.why}`);
  },
  elect(world, words) {
    const box = world.box(number(words[0]));
    for (let tries = 0; tries < ELECT_TRIES && box.alive.status().role !== "leader"; tries++) {
      const result = box.input((node) => node.campaign(world.now()));
      world.settle();
      if (result?.kind === "refused") world.pass(50, true);
    }
    if (box.alive.status().role !== "leader") throw new Error(`box ${box.number} was not elected`);
  },
  propose(world, words) {
    const texts = words
      .slice(1)
      .map((word) => bytes(word.startsWith("bytes=") ? "x".repeat(Number(word.slice(6))) : word));
    answer(
      world,
      world.box(number(words[0])).input((node) => node.propose(texts, world.now())),
    );
  },
  change(world, words) {
    const result = world
      .box(number(words[0]))
      .input((node) => node.proposeMembership(changeOf(words.slice(1)), world.now()));
    answer(world, result);
  },
  transfer(world, words) {
    const result = world.box(number(words[0])).input((node) => node.transferLeader(id(number(words[1])), world.now()));
    if (result?.kind === "refused") world.say("news", `refused: ${result.why.replace(/[0-9a-f]{16}/g, numberOf)}`);
  },
  read(world, words) {
    const result = world.box(number(words[0])).input((node) => node.readIndex(number(words[1]), world.now()));
    if (result?.kind === "refused") world.say("news", `refused: ${result.why}`);
  },
  forget(world, words) {
    const result = world.box(number(words[0])).input((node) => node.forgetLeader(world.now()));
    world.say("news", result === true ? "forgotten" : "refused");
  },

  // What can be seen.
  status(world, words) {
    for (const box of chosen(world, words)) {
      const status = box.node?.status();
      world.say("news", `${box.number} ${status === undefined ? "down" : sayStatus(status)}`);
    }
  },
  log(world, words) {
    for (const box of chosen(world, words)) world.say("news", `${box.number} ${sayEntries(box.log.all)}`);
  },
  state(world, words) {
    for (const box of chosen(world, words)) {
      const texts = box.state.map((each) => each.text).filter((text) => text !== ".");
      world.say("news", `${box.number} ${texts.join(" ") || "empty"}`);
    }
  },
  disks(world, words) {
    for (const box of chosen(world, words)) {
      const { term, vote, promiseMs, commit } = box.hardState;
      world.say("news", `${box.number} term ${term} vote ${numberOf(vote)} promise ${promiseMs} commit ${commit}`);
    }
  },
  progress(world, words) {
    for (const each of world.box(number(words[0])).alive.status().progress) world.say("news", sayProgress(each));
  },
  members(world, words) {
    for (const box of chosen(world, words)) {
      world.say("news", `${box.number} ${sayMembership(box.alive.status().membership)}`);
    }
  },
  net(world) {
    for (const message of world.net) world.say("news", sayMessage(message));
    if (world.net.length === 0) world.say("news", "empty");
  },
  expect: (world, words) => expectFacts(world, words),
};

/** The boxes that are named, or all of them. */
function chosen(world: World, words: readonly string[]): Box[] {
  if (words.length === 0) return [...world.boxes.values()];
  return words.map((word) => world.box(number(word)));
}

function cutOff(world: World, box: number): void {
  for (const other of world.boxes.keys()) {
    if (other === box) continue;
    world.cut(box, other);
    world.cut(other, box);
  }
}

function answer(world: World, result: ProposeMembershipResult | undefined): void {
  if (result?.kind === "busy") world.say("news", "busy");
  if (result?.kind === "not-leader") world.say("news", `not the leader, that is ${numberOf(result.leader)}`);
  if (result?.kind === "refused") world.say("news", `refused: ${result.why.replace(/[0-9a-f]{16}/g, numberOf)}`);
}

/** `add-learner 4, promote 4`, after `joint` or `joint-auto`; or `leave`. */
function changeOf(words: readonly string[]): MembershipChange {
  if (words[0] === "leave") return { kind: "leave-joint" };
  const isJoint = words[0] === "joint" || words[0] === "joint-auto";
  const steps = words
    .slice(isJoint ? 1 : 0)
    .join(" ")
    .split(", ")
    .map((text) => stepOf(text.split(" ")));
  return isJoint ? { kind: "enter-joint", steps, autoLeave: words[0] === "joint-auto" } : { kind: "simple", steps };
}

function stepOf([kind = "", which]: string[]): MembershipStep {
  const box = number(which);
  switch (kind) {
    case "add-learner":
    case "add-voter":
    case "update":
      return { kind, member: member(box) };
    case "promote":
    case "demote":
    case "remove":
      return { kind, raftId: id(box) };
    default:
      throw new Error(`there is no step "${kind}"`);
  }
}

function optionsOf(words: readonly string[]): Partial<Options> {
  let options: Partial<Options> = {};
  for (const word of words) {
    const [name = "", value] = word.split("=");
    const make = OPTIONS[name];
    if (make === undefined) throw new Error(`there is no option "${name}"`);
    options = { ...options, ...make(value === undefined ? 0 : number(value)) };
  }
  return options;
}

const OPTIONS: Record<string, (value: number) => Partial<Options>> = {
  "no-pre-vote": () => ({ preVote: false }),
  "no-check-quorum": () => ({ checkQuorum: false }),
  "no-lease": () => ({ timings: { ...DEFAULT_TIMINGS, promiseMs: 0 } }),
  "no-step-down": () => ({ stepDownOnRemoval: false }),
  "no-validation": () => ({ disableConfChangeValidation: true }),
  "max-inflight": (value) => ({ maxInflight: value }),
  "max-inflight-bytes": (value) => ({ maxInflightBytes: value }),
  "max-size": (value) => ({ maxSizePerMessage: value }),
  "max-uncommitted": (value) => ({ maxUncommittedBytes: value }),
  "max-applying": (value) => ({ maxApplyingBytes: value }),
};

export function number(word: string | undefined): number {
  if (word === undefined || !/^\d+$/.test(word)) throw new Error(`a number was expected, not "${word}"`);
  return Number(word);
}

function oneOf(word: string | undefined, a: string, b: string): string {
  if (word !== a && word !== b) throw new Error(`${a} or ${b} was expected, not "${word}"`);
  return word;
}
