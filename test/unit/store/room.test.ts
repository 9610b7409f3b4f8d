import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import {
  FULL_BYTES,
  LOW_BYTES,
  MARGIN_BYTES,
  RESERVE_BYTES,
  ROOM_AT_START,
  type RoomEvent,
  type RoomState,
  step,
} from "../../../src/store/room/policy.ts";
import { RESERVE_FILE, Room } from "../../../src/store/room/room.ts";
import { PATIENCE } from "../../support/patience.ts";

const MIB = 1024 * 1024;
const WITH_RESERVE: RoomState = { level: "enough", hasReserve: true };

function after(state: RoomState, ...events: (RoomEvent | number)[]): { state: RoomState; effects: string[] } {
  const effects: string[] = [];
  let now = state;
  for (const event of events) {
    const result = step(now, typeof event === "number" ? { kind: "measured", freeBytes: event } : event);
    now = result.state;
    effects.push(...result.effects);
  }
  return { state: now, effects };
}

test("a roomy box makes its reserve, once", () => {
  const { state, effects } = after(ROOM_AT_START, 1000 * MIB, { kind: "reserve-made" }, 968 * MIB, 900 * MIB);
  assert.equal(state, WITH_RESERVE);
  assert.equal(effects, ["make-reserve"]);
});

test("levels fall at their thresholds, and rise only with a margin", () => {
  assert.is(after(WITH_RESERVE, LOW_BYTES).state.level, "enough");
  assert.is(after(WITH_RESERVE, LOW_BYTES - 1).state.level, "low");
  assert.is(after(WITH_RESERVE, LOW_BYTES - 1, LOW_BYTES + MARGIN_BYTES - 1).state.level, "low");
  assert.is(after(WITH_RESERVE, LOW_BYTES - 1, LOW_BYTES + MARGIN_BYTES).state.level, "enough");
  assert.is(after(WITH_RESERVE, FULL_BYTES).state.level, "low");
  assert.is(after(WITH_RESERVE, FULL_BYTES - 1).state.level, "full");
});

test("the room that the reserve gave back is no room: a full box does not take writes by its own reserve", () => {
  const full = after(WITH_RESERVE, FULL_BYTES - 1);
  assert.equal(full.effects, ["release-reserve"]);
  // As measured when the reserve is gone, and nothing else was freed.
  assert.is(after(full.state, FULL_BYTES - 1 + RESERVE_BYTES).state.level, "full");
  const freed = RESERVE_BYTES + LOW_BYTES + MARGIN_BYTES;
  assert.is(after(full.state, freed - 1).state.level, "low");
  assert.equal(after(full.state, freed), { state: { level: "enough", hasReserve: false }, effects: ["make-reserve"] });
});

test("a refused write makes a box full, whatever was measured before", () => {
  const { state, effects } = after(WITH_RESERVE, 500 * MIB, { kind: "write-refused" });
  assert.equal(state, { level: "full", hasReserve: false });
  assert.equal(effects, ["release-reserve"]);
});

test("whatever happens, a full box has no reserve and a box with room gets one", () => {
  const prng = createPrng(3);
  let state = ROOM_AT_START;
  const seen = new Set<string>();
  for (let n = 0; n < 5000; n++) {
    const made = state.level === "enough" && !state.hasReserve && prng.chance(0.5);
    const event: RoomEvent = made
      ? { kind: "reserve-made" }
      : prng.chance(0.02)
        ? { kind: "write-refused" }
        : { kind: "measured", freeBytes: prng.range(0, 200) * MIB };
    const result = step(state, event);
    if (result.state.level === "full") assert.not.ok(result.state.hasReserve);
    if (result.state.level === "enough" && !result.state.hasReserve) assert.equal(result.effects, ["make-reserve"]);
    seen.add(`${state.level} ${result.state.level}`);
    state = result.state;
  }
  assert.is(seen.size, 9);
});

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000 * PATIENCE;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(5);
  }
}

test("a state that finds no room gets the reserve at once, then waits until there is some; levels are told", async () => {
  const directory = fs.mkdtempSync(join(tmpdir(), "room-"));
  const levels: string[] = [];
  const said: string[] = [];
  let freeBytes = 500 * MIB;
  const room = new Room({
    directory,
    freeBytes: async () => freeBytes,
    changed: (level) => levels.push(level),
    log: (text) => said.push(text),
  });
  await room.start();
  const reserve = join(directory, RESERVE_FILE);
  const size = (): number => fs.statSync(reserve, { throwIfNoEntry: false })?.size ?? -1;
  await until("the reserve is made", () => size() === RESERVE_BYTES);
  assert.is(room.level, "enough");
  assert.ok(fs.statSync(reserve).blocks * 512 >= RESERVE_BYTES, "it is no sparse file");

  freeBytes = 0;
  await room.whenFull();
  assert.is(size(), -1);
  assert.is(room.level, "full");
  // The reserve is used up too: now only room helps.
  let isWaiting = true;
  const waited = room.whenFull().then(() => {
    isWaiting = false;
  });
  await Bun.sleep(600);
  assert.ok(isWaiting);
  freeBytes = 2 * MIB;
  await waited;
  assert.is(room.level, "full");
  freeBytes = 500 * MIB;
  await until("the reserve is back", () => size() === RESERVE_BYTES && room.level === "enough");
  assert.equal(levels, ["full", "enough"]);

  // Found again at the next start; a broken one is made anew.
  room.stop();
  assert.equal(said, []);
  fs.truncateSync(reserve, 5);
  const next = new Room({
    directory,
    freeBytes: async () => freeBytes,
    changed: () => undefined,
    log: () => undefined,
  });
  await next.start();
  await until("the reserve is whole", () => size() === RESERVE_BYTES);
  freeBytes = 0;
  const refused = next.whenFull().then(() => next.whenFull());
  await until("the reserve is given back", () => size() === -1);
  next.stop();
  assert.is(
    await refused.then(
      () => "room",
      (error: { code: string }) => error.code,
    ),
    "state-failed",
  );
  fs.rmSync(directory, { recursive: true });
});

test.run();
