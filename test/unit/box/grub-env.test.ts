import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  bootOrder,
  chooseGrubEnv,
  countTry,
  ENV_BYTES,
  fallBack,
  formatGrubEnv,
  type GrubEnv,
  markBeingWritten,
  markGood,
  onlySlot,
  parseGrubEnv,
  switchTo,
  withMode,
} from "../../../src/box/grub-env.ts";

const FIRST_ENV = onlySlot("A");

test("the block is what GRUB reads: 1024 bytes, values in the first sector, GEN_A first and GEN_B last", () => {
  const bytes = formatGrubEnv({ ...FIRST_ENV, generation: 42 });
  assert.is(bytes.length, ENV_BYTES);
  const text = Buffer.from(bytes).toString();
  assert.is(
    text.replace(/#+$/, ""),
    "# GRUB Environment Block\nGEN_A=0000000042\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=3\nMODE=0\nGEN_B=0000000042\n",
  );
  assert.ok(text.indexOf("GEN_B=0000000042\n") + 17 <= 512);
  assert.equal(parseGrubEnv(bytes), { ...FIRST_ENV, generation: 42 });
});

test("what grub-editenv wrote is read: shorter numbers and other keys", () => {
  const text =
    "# GRUB Environment Block\nGEN_A=7\nORDER=B A\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=2\nMODE=0\nsaved_entry=x\nGEN_B=7\n";
  const env = parseGrubEnv(Buffer.from(text.padEnd(ENV_BYTES, "#")));
  assert.equal(env?.order, ["B", "A"]);
  assert.equal(env?.slots.B, { isGood: false, tries: 2 });
});

test("a write that is torn at any byte, from either side, is the old one, the new one, or none", () => {
  const changes: readonly ((env: GrubEnv) => GrubEnv)[] = [
    (env) => markBeingWritten(env, "B"),
    (env) => switchTo(env, "B"),
    (env) => markGood(env, "B"),
    (env) => withMode(env, "reset"),
  ];
  for (const generation of [1, 9, 99, 1999])
    for (const change of changes) {
      const before = { ...FIRST_ENV, generation };
      const after = change(before);
      const [old, fresh] = [formatGrubEnv(before), formatGrubEnv(after)];
      for (let at = 0; at <= ENV_BYTES; at++)
        for (const [first, last] of [
          [fresh, old],
          [old, fresh],
        ] as const) {
          const torn = parseGrubEnv(Buffer.concat([first.subarray(0, at), last.subarray(at)]));
          if (torn === undefined) continue;
          assert.ok(
            [JSON.stringify(before), JSON.stringify(after)].includes(JSON.stringify(torn)),
            `torn at ${at}: ${JSON.stringify(torn)}`,
          );
        }
    }
});

test("env1 counts when it is whole, else env2; without either nothing is known", () => {
  const [old, fresh] = [formatGrubEnv(FIRST_ENV), formatGrubEnv(switchTo(FIRST_ENV, "B"))];
  assert.equal(chooseGrubEnv(old, fresh)?.order, ["A", "B"]);
  assert.equal(chooseGrubEnv(old.subarray(1), fresh)?.order, ["B", "A"]);
  assert.is(chooseGrubEnv(undefined, fresh.fill(0)), undefined);
});

test("a slot on trial is tried three times, then the other one; a good one always", () => {
  let env = switchTo(FIRST_ENV, "B");
  for (let tried = 0; tried < 3; tried++) {
    assert.equal(bootOrder(env), ["B", "A"]);
    env = countTry(env, "B");
  }
  assert.equal(bootOrder(env), ["A"]);
  env = markGood(env, "A");
  assert.equal(env.order, ["A", "B"]);
  for (let tried = 0; tried < 9; tried++) env = countTry(env, "A");
  assert.equal(bootOrder(env), ["A"]);
});

test("of two good slots the one that fails three times gives way, and has its turn again after the other one did", () => {
  let env: GrubEnv = { ...FIRST_ENV, slots: { A: { isGood: true, tries: 0 }, B: { isGood: true, tries: 0 } } };
  const seen: string[] = [];
  for (let boot = 0; boot < 8; boot++) {
    const [first = "A"] = bootOrder(env);
    seen.push(first);
    env = countTry(env, first);
  }
  assert.is(seen.join(""), "AAABBBAA");
});

test("a slot that is being written, or that was left for its faults, is not booted", () => {
  const good = markGood(switchTo(FIRST_ENV, "B"), "B");
  assert.equal(bootOrder(markBeingWritten(good, "A")), ["B"]);
  assert.equal(bootOrder(fallBack(good, "B")), ["A"]);
});

test("GRUB's own count changes no generation, each change of ours does", () => {
  assert.is(countTry(FIRST_ENV, "A").generation, 1);
  assert.is(markGood(FIRST_ENV, "A").generation, 2);
  assert.is(markGood({ ...FIRST_ENV, generation: 9_999_999_999 }, "A").generation, 1);
});

test.run();
