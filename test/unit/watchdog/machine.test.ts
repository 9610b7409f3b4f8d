import { test } from "uvu";
import * as assert from "uvu/assert";
import { EXIT_NEEDS_PERSON, EXIT_RESTART } from "../../../src/base/exit-codes.ts";
import { createPrng } from "../../../src/base/prng.ts";
import { CLIENTS, type Client, type MainPhase } from "../../../src/watchdog/clients.ts";
import { DEFAULT_LIMITS } from "../../../src/watchdog/limits.ts";
import {
  initialState,
  step,
  type WatchdogEffect,
  type WatchdogEvent,
  type WatchdogSettings,
  type WatchdogState,
} from "../../../src/watchdog/machine.ts";
import { statusOf } from "../../../src/watchdog/status.ts";

const TICK_MS = 100;
const TIMEOUT_MS = 20_000;
/** A main that ends at each start is given up in its first failure after 60 s; the back-off is 5 s by then. */
const CONDEMNED_MS = 66_000;

/** What main does from its start on, told each tick; the cage empties as soon as it is asked to, unless told otherwise. */
type Main = (age: number) => "check-in" | "core-silent" | "nothing" | "crash" | "needs-person" | "restart";

class Box {
  now = 1000;
  state: WatchdogState = initialState(this.now);
  readonly lines: string[] = [];
  readonly pets: number[] = [];
  readonly starts: number[] = [];
  readonly kinds: string[] = [];
  finished: { isDisarming: boolean; at: number } | undefined;
  reasons: string[] = [];
  readonly records: string[] = [];
  answer: { isDone: boolean; text: string } | undefined;
  /** Clients that return nothing new. */
  silent: readonly Client[] = [];
  phase: MainPhase = "started";
  progress = 0;
  isUnkillable = false;
  deviceTimeoutMs: number | undefined = TIMEOUT_MS;
  petWithinMs: number | undefined;
  main: Main;
  tokens: Partial<Record<Client, number>> = {};
  #token = 1000;
  #pid = 100;
  #startedAt: number | undefined;

  constructor(main: Main) {
    this.main = main;
  }

  get settings(): WatchdogSettings {
    return { limits: DEFAULT_LIMITS, deviceTimeoutMs: this.deviceTimeoutMs, petWithinMs: this.petWithinMs };
  }

  send(event: WatchdogEvent): void {
    const result = step(this.settings, this.state, event, this.now);
    this.state = result.state;
    for (const effect of result.effects) this.#perform(effect);
  }

  #perform(effect: WatchdogEffect): void {
    this.kinds.push(effect.kind);
    if (effect.kind === "pet") this.pets.push(this.now);
    if (effect.kind === "log") this.lines.push(effect.text);
    if (effect.kind === "presume-reset") this.reasons.push(effect.why);
    if (effect.kind === "record") this.records.push(`${effect.action} ${effect.detail}`);
    if (effect.kind === "answer") this.answer = effect;
    if (effect.kind === "finish") this.finished = { isDisarming: effect.isDisarming, at: this.now };
    if (effect.kind === "start") {
      assert.is(this.#startedAt, undefined, "a second main beside the first");
      this.starts.push(this.now);
      this.#startedAt = this.now;
      this.tokens = {};
      this.send({ kind: "started", pid: ++this.#pid });
    }
    if (effect.kind === "empty-cage" && !this.isUnkillable) {
      this.#startedAt = undefined;
      this.send({ kind: "cage-emptied" });
    }
  }

  /** A check-in by which every client but these returns the newest acknowledgement, and the supervisor's answer to it. */
  checkIn(silent: readonly Client[] = [], phase: MainPhase = "started", progress = 0): void {
    for (const client of CLIENTS) if (!silent.includes(client)) this.tokens[client] = this.#token;
    this.send({ kind: "checked-in", pid: this.#pid, phase, progress, tokens: { ...this.tokens } });
    this.send({ kind: "token-issued", token: ++this.#token });
  }

  /** Main ends; the kernel tells. */
  end(code: number): void {
    this.#startedAt = undefined;
    this.send({ kind: "ended", pid: this.#pid, code, how: `exit code ${code}` });
  }

  get isUp(): boolean {
    return this.#startedAt !== undefined;
  }

  run(ms: number): this {
    for (const until = this.now + ms; this.now < until; ) {
      this.now += TICK_MS;
      if (this.#startedAt !== undefined) {
        const act = this.main(this.now - this.#startedAt);
        if (act === "crash") this.end(1);
        else if (act === "needs-person") this.end(EXIT_NEEDS_PERSON);
        else if (act === "restart") this.end(EXIT_RESTART);
        else if (act !== "nothing" && this.now % 500 === 0)
          this.checkIn(act === "core-silent" ? ["raft"] : this.silent, this.phase, this.progress);
      }
      this.send({ kind: "ticked" });
    }
    return this;
  }

  get lastPet(): number {
    return this.pets.at(-1) ?? Number.NaN;
  }

  longestPetGap(): number {
    return this.pets.reduce((most, at, index) => Math.max(most, at - (this.pets[index - 1] ?? at)), 0);
  }
}

const healthy: Main = () => "check-in";

test("main is started once the cage is empty, and not before", () => {
  const box = new Box(healthy);
  box.isUnkillable = true;
  box.run(2000);
  assert.equal(box.starts, []);
  box.isUnkillable = false;
  box.run(200);
  assert.is(box.starts.length, 1);
});

test("a healthy main is left alone and the device petted five times in its time-out", () => {
  const box = new Box(healthy).run(3_600_000);
  assert.is(box.starts.length, 1);
  assert.is(box.longestPetGap(), TIMEOUT_MS / 5);
  assert.ok(box.now - box.lastPet < TIMEOUT_MS / 5);
});

test("a box that waits for a join token is alive: not started is no fault", () => {
  const box = new Box(() => "nothing");
  box.run(300);
  for (let second = 0; second < 3600; second++) {
    box.checkIn(["raft", "apply", "disk", "api"], "waiting");
    box.run(1000);
  }
  assert.is(box.starts.length, 1);
  assert.ok(box.now - box.lastPet < TIMEOUT_MS);
});

test("a main that ends is started again within a second, with petting all the while", () => {
  const box = new Box(healthy).run(60_000);
  const endedAt = box.now;
  box.end(1);
  box.run(30_000);
  assert.is(box.starts.length, 2);
  assert.ok((box.starts[1] ?? 0) - endedAt <= 1000);
  assert.ok(box.longestPetGap() <= TIMEOUT_MS / 5);
});

test("the back-off doubles from 0.2 s to 5 s, and starts anew after a good start", () => {
  const box = new Box(() => "crash");
  box.deviceTimeoutMs = undefined;
  box.run(60_000);
  // From end to start: a start is one tick before its end, and due at a tick.
  const waits = box.starts.slice(1).map((at, index) => at - (box.starts[index] ?? 0) - TICK_MS);
  assert.equal(waits.slice(0, 6), [200, 400, 800, 1600, 3200, 5000]);
  assert.ok(waits.slice(6).every((wait) => wait === 5000));
  box.main = healthy;
  box.run(30_000);
  const endedAt = box.now;
  box.end(1);
  box.run(1000);
  assert.is((box.starts.at(-1) ?? 0) - endedAt, 200);
});

test("a silent work thread is killed after 5 s and a silent core thread after 10 s, with what was seen written down first", () => {
  for (const [act, limitMs] of [
    ["nothing", 5000],
    ["core-silent", 10_000],
  ] as const) {
    const box = new Box(healthy).run(60_000);
    const at = box.now;
    box.main = () => act;
    while (box.starts.length === 1 && box.now < at + 15_000) {
      box.run(TICK_MS);
      box.main = box.isUp && box.starts.length === 1 ? () => act : healthy;
    }
    assert.ok(
      (box.starts[1] ?? Number.NaN) - at < limitMs + 1000,
      `${act}: restarted after ${(box.starts[1] ?? 0) - at} ms`,
    );
    assert.ok(box.kinds.indexOf("record-hang") < box.kinds.lastIndexOf("empty-cage"));
    assert.ok(box.kinds.includes("record-hang"));
    box.run(60_000);
    assert.is(box.starts.length, 2);
    assert.ok(box.now - box.lastPet < TIMEOUT_MS);
  }
});

test("a start without any check-in is given 30 s", () => {
  const box = new Box((age) => (age < 29_500 ? "nothing" : "check-in")).run(120_000);
  assert.is(box.starts.length, 1);
  const hung = new Box(() => "nothing").run(29_000);
  assert.is(hung.starts.length, 1);
  assert.is(hung.run(4000).starts.length, 2);
});

for (const [name, main] of [
  ["hangs at each start", () => "nothing"],
  ["ends at each start", () => "crash"],
  ["checks in for a moment and ends, each time", (age: number) => (age < 3000 ? "check-in" : "crash")],
  ["checks in for a while and hangs, each time", (age: number) => (age < 20_000 ? "check-in" : "nothing")],
] as [string, Main][])
  test(`a main that ${name} is a reset in 3 minutes at most: the last pet, and the reason written before`, () => {
    const box = new Box(healthy).run(60_000);
    box.main = main;
    const since = box.now;
    box.run(250_000);
    assert.is(box.reasons.length, 1);
    assert.ok(box.lastPet + TIMEOUT_MS - since <= 180_000, `reset after ${box.lastPet + TIMEOUT_MS - since} ms`);
    assert.ok(box.kinds.lastIndexOf("pet") < box.kinds.indexOf("presume-reset"));
  });

test("once a reset is decided main is not started again: it must not lead for the rest of the time-out", () => {
  const box = new Box(() => "crash").run(CONDEMNED_MS);
  assert.is(box.reasons.length, 1);
  const starts = box.starts.length;
  box.main = healthy;
  box.run(TIMEOUT_MS);
  assert.is(box.starts.length, starts);
});

test("a device that does not reset the box is found out, and main is tried again without petting", () => {
  const box = new Box(() => "crash").run(CONDEMNED_MS);
  const pets = box.pets.length;
  box.main = healthy;
  box.run(2 * TIMEOUT_MS + 12_000);
  assert.ok(box.isUp);
  assert.match(box.lines.join("\n"), /did not reset this box/);
  assert.is(box.pets.length, pets);
});

test("without a device main is started again for ever", () => {
  const box = new Box(() => "crash");
  box.deviceTimeoutMs = undefined;
  box.run(3_600_000);
  assert.ok(box.starts.length > 600);
  assert.equal(box.reasons, []);
});

test("what a client was allowed during the start is not held against it when the start is over", () => {
  const box = new Box(healthy);
  box.phase = "starting";
  box.run(2000);
  // The parts are made in one go: nobody else comes to a word, the raft loop for longer than it has later.
  box.silent = ["work", "raft"];
  box.run(20_000);
  box.phase = "started";
  box.run(4000);
  assert.is(box.starts.length, 1, box.lines.join("\n"));
  box.run(4000);
  assert.is(box.starts.length, 2, "once it runs, the work thread has 5 s");
});

test("a main that needs a person never leads to a reset, and runs as soon as the person was there", () => {
  const box = new Box(() => "needs-person").run(3_600_000);
  assert.equal(box.reasons, []);
  assert.is(box.kinds.filter((kind) => kind === "needs-person").length, box.starts.length);
  assert.ok(box.now - box.lastPet < TIMEOUT_MS);
  assert.ok(box.starts.length < 3_600_000 / DEFAULT_LIMITS.backOffMaxMs + 2, "tried each 5 s, not more often");
  box.main = healthy;
  box.run(6000);
  assert.ok(box.isUp);
});

test("three hangs in ten minutes are borne, three more in the next ten minutes too, a fourth within ten minutes is not", () => {
  const box = new Box(healthy).run(60_000);
  const hang = (): void => {
    const starts = box.starts.length;
    box.main = () => "nothing";
    while (box.isUp && box.starts.length === starts) box.run(TICK_MS);
    box.main = healthy;
    box.run(30_000);
  };
  for (let round = 0; round < 2; round++) {
    for (let count = 0; count < 3; count++) hang();
    box.run(DEFAULT_LIMITS.relapseMs);
  }
  assert.equal(box.reasons, []);
  for (let count = 0; count < 4; count++) hang();
  assert.is(box.reasons.length, 1);
});

test("processes that SIGKILL does not end lead to a reset, never to a second main beside them", () => {
  const box = new Box(healthy).run(60_000);
  box.isUnkillable = true;
  box.end(1);
  box.run(12_000);
  assert.is(box.starts.length, 1);
  assert.match(box.reasons.join(), /cannot be killed/);
});

test("a pause of the whole box is not taken for a hang of main: neither the silence nor the first report's core age", () => {
  const box = new Box(healthy).run(60_000);
  box.now += 40_000;
  box.send({ kind: "ticked" });
  box.send({ kind: "checked-in", pid: 101, phase: "started", progress: 0, tokens: { ...box.tokens } });
  box.run(60_000);
  assert.is(box.starts.length, 1);
  assert.match(box.lines.join("\n"), /stood still for 40\.0 s/);
  assert.match(box.lines.join("\n"), /petted after/);
});

test("a start that a pause of the whole box falls into keeps its 30 s", () => {
  const box = new Box((age) => (age < 60_000 ? "nothing" : "check-in")).run(10_000);
  box.now += 40_000;
  box.run(60_000);
  assert.is(box.starts.length, 1);
});

test("a main that was stopped together with the box and stays stopped is found 5 s later", () => {
  const box = new Box(healthy).run(60_000);
  box.main = () => "nothing";
  box.now += 40_000;
  const at = box.now;
  box.run(6000);
  assert.is(box.starts.length, 2);
  assert.ok((box.starts[1] ?? 0) > at + 5000);
});

test("a check-in of an earlier main says nothing about this one", () => {
  const box = new Box(() => "nothing").run(300);
  for (let count = 0; count < 400; count++) {
    box.send({ kind: "checked-in", pid: 99, phase: "started", progress: 0, tokens: {} });
    box.run(100);
  }
  assert.ok(box.starts.length > 1);
});

test("an orderly stop: SIGTERM, petting all the while, then the device is disarmed", () => {
  const box = new Box(healthy).run(60_000);
  box.isUnkillable = true;
  box.send({ kind: "stop-requested" });
  box.run(3000);
  assert.is(box.kinds.filter((kind) => kind === "terminate").length, 1);
  const kills = box.kinds.filter((kind) => kind === "empty-cage").length;
  box.run(3000);
  assert.ok(box.kinds.filter((kind) => kind === "empty-cage").length > kills, "SIGKILL follows after 5 s");
  assert.ok(box.now - box.lastPet <= TIMEOUT_MS / 5);
  box.isUnkillable = false;
  box.run(200);
  assert.is(box.finished?.isDisarming, true);
});

test("main's own end finishes an orderly stop at once", () => {
  const box = new Box(healthy).run(60_000);
  box.send({ kind: "stop-requested" });
  box.end(0);
  assert.equal(box.finished, { isDisarming: true, at: box.now });
});

test("a stop does not take back a reset that was decided, nor one that is needed for what cannot be killed", () => {
  const doomed = new Box(() => "crash").run(CONDEMNED_MS);
  assert.is(doomed.reasons.length, 1);
  doomed.send({ kind: "stop-requested" });
  doomed.run(200);
  assert.is(doomed.finished?.isDisarming, false);

  const stuck = new Box(healthy).run(60_000);
  stuck.isUnkillable = true;
  stuck.send({ kind: "stop-requested" });
  stuck.run(16_000);
  assert.is(stuck.finished?.isDisarming, false);
});

test("random stories: at most one main, no pet after a decided reset, no gap of pets beyond a fifth before it", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = createPrng(seed);
    const acts = ["check-in", "check-in", "check-in", "core-silent", "nothing", "crash", "needs-person"] as const;
    const box = new Box(healthy);
    for (let turn = 0; turn < 40; turn++) {
      const act = random.pick(acts);
      const until = random.fraction() * 20_000;
      box.main = (age) => (age > until ? act : "check-in");
      box.isUnkillable = random.chance(0.05);
      box.run(Math.ceil((random.fraction() * 40_000) / TICK_MS) * TICK_MS);
      const decided = box.kinds.indexOf("presume-reset");
      if (decided >= 0) assert.not(box.kinds.slice(decided).includes("pet"), `seed ${seed}`);
      else assert.ok(box.now - box.lastPet <= TIMEOUT_MS / 5, `seed ${seed}`);
      assert.ok(box.longestPetGap() <= TIMEOUT_MS / 5, `seed ${seed}`);
    }
  }
});

test("a main that wants another start gets it at once, and however often: it is no failure", () => {
  const box = new Box((age) => (age > 2000 ? "restart" : "check-in")).run(600_000);
  assert.ok(box.starts.length > 200, `${box.starts.length} starts`);
  assert.ok(box.longestPetGap() < 10_000);
});

test("a main that wants another start before it ever ran is a failure: no end of it, and the hardware resets", () => {
  const box = new Box(() => "restart").run(600_000);
  assert.ok(box.starts.length < 150, `${box.starts.length} starts`);
  assert.ok(box.now - box.lastPet > 60_000, "petting has ended");
});

for (const client of CLIENTS)
  test(`${client} has a deadline of its own: warned of at three fifths, a hang after it, whatever the others do`, () => {
    const box = new Box(healthy).run(60_000);
    const limitMs = DEFAULT_LIMITS.clientMs[client];
    const at = box.now;
    box.silent = [client];
    box.run(limitMs * 0.35);
    assert.not.match(box.lines.join("\n"), /is silent for/);
    box.run(limitMs * 0.5);
    assert.match(box.lines.join("\n"), /is silent for .* of /);
    assert.is(box.starts.length, 1);
    while (box.starts.length === 1 && box.now < at + 60_000) box.run(TICK_MS);
    assert.ok(box.now - at <= limitMs + 2000, `${box.now - at} ms`);
    assert.ok(box.kinds.includes("record-hang"));
  });

test("a client that comes back in time is heard again, and nothing else happens", () => {
  const box = new Box(healthy).run(60_000);
  box.silent = ["disk"];
  box.run(25_000);
  box.silent = [];
  box.run(60_000);
  assert.is(box.starts.length, 1);
  assert.is(box.lines.filter((line) => /is silent/.test(line)).length, 1);
  assert.is(box.lines.filter((line) => /is heard again/.test(line)).length, 1);
});

test("an acknowledgement proves life once: one that is returned again and again, invented, or an earlier main's, is none", () => {
  for (const forge of ["again", "invented", "earlier"] as const) {
    const box = new Box(healthy).run(60_000);
    const old = { ...box.tokens };
    if (forge === "earlier") {
      box.end(1);
      box.run(1000);
    }
    box.main = () => "nothing";
    const starts = box.starts.length;
    const pid = 100 + starts;
    for (let count = 0; count < 40 && box.starts.length === starts; count++) {
      const tokens = forge === "invented" ? { work: 4711 + count, raft: 4711 + count } : old;
      box.send({ kind: "checked-in", pid, phase: "started", progress: 0, tokens });
      box.run(500);
    }
    assert.is(box.starts.length, starts + 1, forge);
  }
});

test("a client that never says a word is a hang once all parts run", () => {
  const box = new Box(healthy);
  box.silent = ["raft"];
  box.run(9000);
  assert.is(box.starts.length, 1);
  box.run(5000);
  assert.is(box.starts.length, 2);
});

test("the work thread of a start may stand for a start's step, and for five seconds only once all parts run", () => {
  const slow = new Box(healthy);
  slow.phase = "starting";
  // The others have not begun.
  slow.silent = ["raft", "apply", "disk", "api"];
  slow.run(2000);
  slow.silent = ["work", ...slow.silent];
  slow.run(20_000);
  assert.is(slow.starts.length, 1);
  slow.run(15_000);
  assert.is(slow.starts.length, 2);
});

test("a start that stands still is a hang after 30 s; one that goes on is given 180 s, and no more", () => {
  const standing = new Box(healthy);
  standing.phase = "starting";
  standing.silent = ["raft", "apply", "disk", "api"];
  standing.run(29_000);
  assert.is(standing.starts.length, 1);
  standing.run(4000);
  assert.is(standing.starts.length, 2);

  const going = new Box(healthy);
  going.phase = "starting";
  going.silent = standing.silent;
  for (let step = 0; step < 7; step++) {
    going.progress++;
    going.run(25_000);
  }
  assert.is(going.starts.length, 1);
  going.progress++;
  going.run(8000);
  assert.is(going.starts.length, 2);
});

test("a snooze bears hangs for as long as was said, 15 minutes at most, and then each has its whole time again", () => {
  const box = new Box(healthy).run(60_000);
  box.send({ kind: "snooze-asked", ms: 3_600_000, by: "root" });
  assert.is(box.answer?.isDone, true);
  assert.match(box.records.join(), /watchdog snooze 900.0 s by root/);
  box.main = () => "nothing";
  box.run(15 * 60_000 - 1000);
  assert.is(box.starts.length, 1);
  assert.ok(box.now - box.lastPet <= TIMEOUT_MS / 5, "the kernel's hang is a reset all the while");
  box.run(4000);
  assert.is(box.starts.length, 1);
  box.run(4000);
  assert.is(box.starts.length, 2);
});

test("a snooze does not take a decided reset back, and a main that ends in it is started again", () => {
  const doomed = new Box(() => "crash").run(CONDEMNED_MS);
  doomed.send({ kind: "snooze-asked", ms: 60_000, by: "root" });
  assert.is(doomed.answer?.isDone, false);
  const pets = doomed.pets.length;
  doomed.run(10_000);
  assert.is(doomed.pets.length, pets);

  const box = new Box(healthy).run(60_000);
  box.send({ kind: "snooze-asked", ms: 600_000, by: "root" });
  box.main = () => "crash";
  box.run(300_000);
  assert.equal(box.reasons, []);
  assert.ok(box.starts.length > 20);
});

test("a bite on purpose: the reason and the record first, then no pet any more; without a device it is refused", () => {
  const box = new Box(healthy).run(60_000);
  box.send({ kind: "stop-petting-asked", by: "root" });
  assert.match(box.reasons.join(), /a test of the watchdog by root/);
  assert.equal(box.records, ["watchdog test --stop-petting by root"]);
  const pets = box.pets.length;
  box.run(TIMEOUT_MS);
  assert.is(box.pets.length, pets);
  const without = new Box(healthy);
  without.deviceTimeoutMs = undefined;
  without.run(10_000).send({ kind: "stop-petting-asked", by: "root" });
  assert.is(without.answer?.isDone, false);
});

test("a client is frozen on purpose only in a main that runs, on the record", () => {
  const box = new Box(healthy).run(10_000);
  box.send({ kind: "freeze-asked", client: "raft", by: "root" });
  assert.equal(box.kinds.slice(-4), ["log", "record", "freeze", "answer"]);
  const down = new Box(healthy);
  down.send({ kind: "freeze-asked", client: "raft", by: "root" });
  assert.is(down.answer?.isDone, false);
});

test("a box that rests pets the dog and does not start main, until its time is over or a person says so", () => {
  for (const isAsked of [false, true]) {
    const box = new Box(healthy);
    box.state = initialState(box.now, { why: "3 resets", until: box.now + 900_000 });
    box.run(600_000);
    assert.equal(box.starts, []);
    assert.ok(box.now - box.lastPet <= TIMEOUT_MS / 5);
    if (isAsked) box.send({ kind: "resume-asked", by: "root" });
    box.run(isAsked ? 1000 : 301_000);
    assert.is(box.starts.length, 1);
    assert.is(box.state.rest, undefined);
  }
});

test("several devices are petted as often as the most impatient one wants", () => {
  const box = new Box(healthy);
  box.petWithinMs = 2000;
  box.run(60_000);
  assert.is(box.longestPetGap(), 400);
});

test("what status tells is the machine's own state", () => {
  const box = new Box(healthy).run(60_000);
  box.silent = ["disk"];
  box.run(7000);
  const words = { deviceName: "a double", lastEnd: "controlled stop" };
  const status = statusOf(box.settings, box.state, words, box.now);
  assert.is(status.main.state, "started");
  assert.ok((status.main.clients.find((one) => one.client === "disk")?.ageMs ?? 0) >= 7000);
  assert.is(status.device?.timeoutMs, TIMEOUT_MS);
  assert.ok(JSON.stringify(status).length < 2048);
});

test.run();
