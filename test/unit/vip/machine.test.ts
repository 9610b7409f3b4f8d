import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import type { HolderEffect, HolderEvent, HolderSettings, HolderState } from "../../../src/vip/holder-state.ts";
import { initialHolderState } from "../../../src/vip/holder-state.ts";
import { isHolding, isLeaseAlive, step } from "../../../src/vip/machine.ts";

const LEASE_MS = 590;

const settings: HolderSettings = {
  hasVip: true,
  conflict: "release",
  announceIntervalMs: 1500,
  apiFreshMs: 1000,
  apiDeadMs: 2000,
};

/** A machine with its clock: `send` gives the effects of one event. */
function createBox(changes: Partial<HolderSettings> = {}) {
  const used = { ...settings, ...changes };
  let state: HolderState = { ...initialHolderState(), isTableSound: true };
  let now = 100_000;
  let round = 0;
  const box = {
    get state(): HolderState {
      return state;
    },
    get now(): number {
      return now;
    },
    get holding(): boolean {
      return isHolding(state, now);
    },
    wait: (ms: number): void => {
      now += ms;
    },
    send: (event: HolderEvent): readonly HolderEffect[] => {
      const next = step(used, state, event, now);
      state = next.state;
      return next.effects;
    },
    prepare: (): readonly HolderEffect[] => {
      round++;
      return box.send({ kind: "round-prepared", round, token: 1000 + round, leaseMs: LEASE_MS });
    },
    confirm: (which = round): readonly HolderEffect[] => box.send({ kind: "round-confirmed", round: which }),
    /** A heartbeat with a live API, answered at once; all effects of it and of a tick. */
    beat: (): readonly HolderEffect[] => [
      ...box.send({ kind: "api-answered" }),
      ...box.prepare(),
      ...box.confirm(),
      ...box.send({ kind: "tick" }),
    ],
    /** Beats each 10 ms for `ms`. */
    run: (ms: number): { readonly at: number; readonly effect: HolderEffect }[] => {
      const seen: { at: number; effect: HolderEffect }[] = [];
      for (const end = now + ms; now < end; now += 10) for (const effect of box.beat()) seen.push({ at: now, effect });
      return seen;
    },
    hold: (): void => {
      box.beat();
      box.send({ kind: "leader-ready", term: 5 });
      box.run(700);
      assert.ok(box.holding);
    },
  };
  return box;
}

const kinds = (effects: readonly HolderEffect[]): string[] => effects.map((effect) => effect.kind);

test("a token lives from before its round, and only the round that was confirmed activates its own", () => {
  const box = createBox({ hasVip: false });
  box.send({ kind: "api-answered" });
  box.send({ kind: "leader-ready", term: 5 });
  assert.equal(box.prepare(), [{ kind: "add-live", token: 1001, leaseMs: LEASE_MS }]);
  box.wait(50);
  box.prepare();
  assert.equal(box.confirm(1), [{ kind: "activate", token: 1001, isForVip: false }]);
  assert.is(box.state.active?.preparedAt, 100_000, "counted from the preparation, not from the answer");
  assert.equal(box.confirm(1), [], "a second answer of a round changes nothing");
  assert.equal(box.confirm(2), [{ kind: "activate", token: 1002, isForVip: false }]);
  assert.equal(box.confirm(77), [], "an unknown round changes nothing");
});

test("an older round that is answered later does not replace a newer token", () => {
  const box = createBox({ hasVip: false });
  box.send({ kind: "api-answered" });
  box.send({ kind: "leader-ready", term: 5 });
  box.prepare();
  box.prepare();
  box.confirm(2);
  assert.equal(box.confirm(1), []);
  assert.is(box.state.active?.token, 1002);
});

test("a round whose token is dead by now activates nothing", () => {
  const box = createBox({ hasVip: false });
  box.send({ kind: "leader-ready", term: 5 });
  box.prepare();
  box.wait(LEASE_MS);
  box.send({ kind: "api-answered" });
  assert.equal(box.confirm(), []);
});

test("nothing is activated and no address added before the own no-op is applied, then the last confirmed round counts", () => {
  const box = createBox({ hasVip: false });
  assert.ok(!kinds(box.run(300).map((seen) => seen.effect)).includes("activate"));
  const effects = box.send({ kind: "leader-ready", term: 5 });
  assert.equal(kinds(effects), ["activate"]);
});

test("the first claim waits for three probes, a later one does not, and power does not wait at all", () => {
  const box = createBox();
  assert.equal(kinds(box.prepare()), ["add-live", "send-probe"]);
  box.send({ kind: "leader-ready", term: 5 });
  const seen = box.run(700);
  const first = seen.find((row) => row.effect.kind === "activate");
  assert.equal(first?.effect, { kind: "activate", token: 1002, isForVip: false });
  const add = seen.find((row) => row.effect.kind === "add-address");
  assert.is((add?.at ?? 0) - 100_000, 600);
  const probes = seen.filter((row) => row.effect.kind === "send-probe" && row.at < (add?.at ?? 0));
  assert.is(probes.length, 2);
  box.send({ kind: "leadership-lost" });
  box.wait(1000);
  box.beat();
  assert.equal(kinds(box.send({ kind: "leader-ready", term: 7 })), [
    "activate",
    "add-address",
    "send-announcement",
    "send-probe",
  ]);
});

test("a box that heard its cluster's holder announce the address takes it up without waiting for a probe", () => {
  const box = createBox();
  box.send({ kind: "conflict-seen", mac: "02:00:00:00:00:01", address: "10.3.3.2" });
  box.beat();
  box.send({ kind: "leader-ready", term: 5 });
  assert.ok(box.holding);
});

test("a take is announced at 0, 100, 300, 1000 and 5000 ms, and in every interval", () => {
  const box = createBox();
  box.beat();
  box.send({ kind: "leader-ready", term: 5 });
  const seen = box.run(9000);
  const takenAt = seen.find((row) => row.effect.kind === "add-address")?.at ?? 0;
  const at = seen.filter((row) => row.effect.kind === "send-announcement").map((row) => row.at - takenAt);
  assert.equal(at, [0, 100, 300, 1000, 2500, 4000, 5000, 6500, 8000]);
});

test("a late tick sends one announcement, not the missed ones", () => {
  const box = createBox();
  box.hold();
  box.wait(400);
  const sent = [...box.beat(), ...box.send({ kind: "tick" })].filter((effect) => effect.kind === "send-announcement");
  assert.is(sent.length, 1);
});

test("a token is activated only while the API answered within its freshness; then silence asks for a transfer, once", () => {
  const box = createBox();
  box.hold();
  const silentSince = box.now - 10;
  let transfers = 0;
  let lastActivation = 0;
  for (; box.now < silentSince + 3900; box.wait(10)) {
    for (const effect of [...box.prepare(), ...box.confirm(), ...box.send({ kind: "tick" })]) {
      if (effect.kind === "activate") lastActivation = box.now;
      if (effect.kind === "transfer-leadership") {
        transfers++;
        assert.is(box.now, silentSince + 2010);
      }
    }
  }
  assert.is(lastActivation, silentSince + 1000);
  assert.is(transfers, 1);
  assert.not.ok(box.holding);
  assert.equal(kinds(box.send({ kind: "api-answered" })).slice(0, 2), ["activate", "add-address"], "it comes back");
});

test("an API that never answered does not stop the transfer", () => {
  const box = createBox();
  box.send({ kind: "leader-ready", term: 5 });
  box.wait(2001);
  assert.ok(kinds(box.send({ kind: "tick" })).includes("transfer-leadership"));
});

test("release flushes, then deletes the address, and no lease is ever held again in this term", () => {
  const box = createBox();
  box.hold();
  assert.equal(kinds(box.send({ kind: "release-requested" })), ["flush", "delete-address"]);
  const later = [...box.run(2000).map((row) => row.effect), ...box.send({ kind: "leader-ready", term: 5 })];
  assert.equal(later, []);
  box.send({ kind: "leadership-lost" });
  box.beat();
  assert.ok(kinds(box.send({ kind: "leader-ready", term: 7 })).includes("activate"));
});

test("a release before the no-op is applied holds for that term too", () => {
  const box = createBox();
  box.beat();
  box.send({ kind: "release-requested" });
  assert.equal(box.send({ kind: "leader-ready", term: 5 }), []);
  assert.equal(box.beat(), []);
});

test("a later term without a loss between starts clean: the former term's rounds count for nothing", () => {
  const box = createBox();
  box.hold();
  box.prepare();
  const effects = kinds(box.send({ kind: "leader-ready", term: 6 }));
  assert.equal(effects, ["flush", "delete-address"]);
  assert.equal(box.confirm(), []);
  assert.ok(kinds(box.beat()).includes("add-address"));
});

test("a short lapse keeps the address and announces again, a long one gives it up", () => {
  const box = createBox();
  box.hold();
  box.wait(LEASE_MS + 50);
  assert.equal(box.send({ kind: "tick" }), []);
  assert.not.ok(box.holding);
  assert.equal(kinds(box.beat()), ["add-live", "activate", "renew-address", "send-announcement"]);
  assert.is(box.state.incidents.lapses, 1);
  box.wait(LEASE_MS + 1000);
  assert.equal(kinds(box.send({ kind: "tick" })), ["delete-address"]);
  assert.ok(kinds(box.beat()).includes("add-address"));
});

test("a foreign MAC makes us let go at the first frame, keeps the power gate, and is probed again after 10 s", () => {
  const box = createBox();
  box.hold();
  const seen: HolderEvent = { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" };
  assert.equal(kinds(box.send(seen)), ["flush-vip", "delete-address", "alarm"]);
  const later = box.run(9900).map((row) => row.effect);
  assert.not.ok(kinds(later).includes("add-address"));
  assert.ok(later.some((effect) => effect.kind === "activate" && !effect.isForVip));
  assert.not.ok(later.some((effect) => effect.kind === "activate" && effect.isForVip));
  const again = kinds(box.run(1000).map((row) => row.effect));
  assert.ok(again.indexOf("send-probe") >= 0 && again.indexOf("send-probe") < again.indexOf("add-address"));
});

test("frames of the former holder in the first 50 ms of a take are no conflict", () => {
  const box = createBox();
  box.beat();
  box.send({ kind: "leader-ready", term: 5 });
  while (!box.holding) box.run(10);
  const seen: HolderEvent = { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" };
  assert.equal(box.send(seen), []);
  // Also when the process stood still meanwhile and reads them late: they are dropped before any frame counts.
  box.wait(200);
  assert.equal(box.send(seen), []);
  assert.ok(kinds(box.send({ kind: "tick" })).includes("forget-frames"));
  assert.ok(kinds(box.send(seen)).includes("delete-address"));
});

test("frames of the former holder that waited unread are no answer to our probe", () => {
  const box = createBox();
  box.beat();
  box.send({ kind: "leader-ready", term: 5 });
  const seen: HolderEvent = { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" };
  box.wait(300);
  box.prepare();
  box.confirm();
  assert.equal(box.send(seen), []);
  const effects = kinds(box.send({ kind: "tick" }));
  assert.ok(effects.indexOf("forget-frames") >= 0);
  assert.ok(
    effects.indexOf("forget-frames") < effects.indexOf("send-probe"),
    "the next probe is asked while we listen",
  );
  assert.ok(kinds(box.send(seen)).includes("alarm"));
});

test("after a pause longer than the lease, another box's frame is no conflict: it may hold the address by right", () => {
  const box = createBox();
  box.hold();
  box.wait(LEASE_MS);
  const seen: HolderEvent = { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" };
  assert.equal(box.send(seen), []);
  const probing = createBox();
  probing.beat();
  probing.wait(LEASE_MS);
  assert.equal(probing.send(seen), []);
  assert.is(probing.state.claim.kind, "probing");
});

test("an answered probe withholds the claim", () => {
  const box = createBox();
  box.beat();
  box.send({ kind: "leader-ready", term: 5 });
  box.run(210);
  box.send({ kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" });
  assert.not.ok(kinds(box.run(9000).map((row) => row.effect)).includes("add-address"));
});

test("defending answers at once, at most once in 10 s, and keeps the address", () => {
  const box = createBox({ conflict: "defend" });
  box.hold();
  const seen: HolderEvent = { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" };
  assert.equal(kinds(box.send(seen)), ["send-announcement", "alarm"]);
  assert.equal(box.send(seen), []);
  box.run(10_000);
  assert.equal(kinds(box.send(seen)), ["send-announcement", "alarm"]);
  assert.ok(box.holding);
});

test("a missing table drops the address first, is restored, and nothing is held until it is", () => {
  const box = createBox();
  box.hold();
  assert.equal(kinds(box.send({ kind: "table-missing", why: "deleted" })), [
    "delete-address",
    "alarm",
    "restore-table",
  ]);
  assert.equal(box.beat(), []);
  box.send({ kind: "table-refused", why: "no interface" });
  assert.equal(
    kinds(box.run(1010).map((row) => row.effect)),
    ["restore-table"],
    "retried each second, no second alarm",
  );
  box.send({ kind: "table-restored" });
  assert.ok(kinds(box.beat()).includes("add-address"));
});

test("a leader whose table cannot be restored for 5 s asks for a transfer", () => {
  const box = createBox();
  box.hold();
  box.send({ kind: "table-missing", why: "deleted" });
  const lostAt = box.now;
  const asked = box.run(8000).filter((row) => row.effect.kind === "transfer-leadership");
  assert.is(asked.length, 1);
  assert.is((asked[0]?.at ?? 0) - lostAt, 5010);
});

test("a cable that comes back is announced at once, by the holder only", () => {
  const box = createBox();
  assert.equal(box.send({ kind: "link-returned" }), []);
  box.hold();
  assert.equal(kinds(box.send({ kind: "link-returned" })), ["send-announcement"]);
});

test("random stories: holding always means leader, sound table, live token confirmed by its own round, proven claim", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const prng = createPrng(seed);
    const box = createBox({ conflict: prng.chance(0.5) ? "release" : "defend" });
    const preparedAt = new Map<number, number>();
    const confirmed = new Set<number>();
    let token = 0;
    let kernel: { token: number; isForVip: boolean } | undefined;
    let hasAddress = false;
    for (let count = 0; count < 400; count++) {
      box.wait(prng.pick([0, 1, 10, 20, 100, 700]));
      const event = prng.pick<HolderEvent>([
        { kind: "round-prepared", round: token + 1, token: token + 1, leaseMs: LEASE_MS },
        { kind: "round-prepared", round: token + 1, token: token + 1, leaseMs: LEASE_MS },
        { kind: "round-confirmed", round: Math.max(1, token - prng.range(0, 3)) },
        { kind: "round-confirmed", round: token },
        { kind: "round-confirmed", round: token },
        { kind: "leader-ready", term: count },
        { kind: "leader-ready", term: 1 },
        { kind: "api-answered" },
        { kind: "api-answered" },
        { kind: "tick" },
        prng.pick<HolderEvent>([
          { kind: "leadership-lost" },
          { kind: "release-requested" },
          { kind: "conflict-seen", address: "10.3.3.2", mac: "02:00:00:00:00:66" },
          { kind: "table-missing", why: "test" },
          { kind: "table-restored" },
        ]),
        { kind: "table-restored" },
      ]);
      if (event.kind === "round-prepared") token++;
      if (event.kind === "round-confirmed") confirmed.add(event.round);
      for (const effect of box.send(event)) {
        if (effect.kind === "add-live") preparedAt.set(effect.token, box.now);
        if (effect.kind === "activate") {
          const added = preparedAt.get(effect.token);
          assert.ok(added !== undefined && confirmed.has(effect.token), `seed ${seed}: token without its round`);
          assert.ok(box.now < added + LEASE_MS, `seed ${seed}: dead token`);
          assert.is(box.state.leadership, "leader", `seed ${seed}`);
          assert.ok(box.now - box.state.apiAnsweredAt <= settings.apiFreshMs, `seed ${seed}: stale API`);
          assert.ok(!effect.isForVip || box.state.claim.kind === "free", `seed ${seed}: unproven claim`);
          kernel = { token: effect.token, isForVip: effect.isForVip };
        }
        if (effect.kind === "flush" || effect.kind === "restore-table") kernel = undefined;
        if (effect.kind === "flush-vip" && kernel !== undefined) kernel = { ...kernel, isForVip: false };
        if (effect.kind === "add-address" || effect.kind === "renew-address") {
          assert.ok(kernel?.isForVip && box.state.isTableSound, `seed ${seed}: address without a gate open for it`);
          hasAddress = true;
        }
        if (effect.kind === "send-announcement") assert.ok(hasAddress, `seed ${seed}: announced without the address`);
        if (effect.kind === "delete-address") hasAddress = false;
      }
      assert.is(box.state.hasAddress, hasAddress, `seed ${seed}: the machine's view of the address`);
      if (box.holding) {
        assert.ok(hasAddress && kernel?.token === box.state.active?.token, `seed ${seed}: holding`);
        assert.ok(isLeaseAlive(box.state, box.now));
        assert.is(box.state.leadership, "leader");
      }
      assert.ok(box.state.rounds.length <= 64);
    }
  }
});

test("each token lives as long as its own round says, while the timings change under way", () => {
  const box = createBox();
  box.hold();
  const send = (round: number, leaseMs: number): readonly HolderEffect[] => [
    ...box.send({ kind: "api-answered" }),
    ...box.send({ kind: "round-prepared", round, token: 5000 + round, leaseMs }),
    ...box.send({ kind: "round-confirmed", round }),
  ];
  // Shorter: it ends by its own measure, not by that of the rounds before.
  assert.equal(send(901, 120)[0], { kind: "add-live", token: 5901, leaseMs: 120 });
  assert.ok(box.holding);
  box.wait(119);
  assert.ok(box.holding);
  box.wait(2);
  assert.not(box.holding);
  // Longer: likewise.
  send(902, 1100);
  box.wait(1000);
  assert.ok(box.holding);
  box.wait(101);
  assert.not(box.holding);
  // A round of shorter life that is answered late activates nothing.
  box.send({ kind: "round-prepared", round: 903, token: 5903, leaseMs: 120 });
  box.wait(121);
  box.send({ kind: "api-answered" });
  assert.equal(box.send({ kind: "round-confirmed", round: 903 }), []);
});

test.run();
