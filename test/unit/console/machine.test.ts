import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ACTIONS } from "../../../src/console/actions.ts";
import { ANSWER_WITHIN_MS } from "../../../src/console/state.ts";
import { Desk, dangerousNames, FACTS } from "./fixtures.ts";

/** Answers for the questions of each dangerous action. */
const ANSWERS: Readonly<Record<string, readonly string[]>> = {
  update: ["ringfence-0.2.0-x86_64.rfb"],
  reset: ["erase"],
  network: ["eth0", "10.0.0.2/24", "10.0.0.1", "", "box1"],
  backup: [""],
  restore: ["monday.backup", ""],
  confirm: ["hv1", "hv1"],
  disarm: ["work on the switch"],
  transfer: ["2"],
  force: ["box0 box2"],
  password: ["long enough", "long enough"],
};

function typed(name: string): string {
  return [name, ...(ANSWERS[name] ?? [])].map((line) => `${line}\r`).join("");
}

test("the first screen comes by itself, fits 80×24 with its prompt, and says what is wrong", () => {
  const desk = new Desk();
  const lines = desk.said.split("\r\n");
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length < 80));
  for (const word of ["box box1", "1 d 02:03", "term 3", "leader box0", "committed 40", "10.3.3.2", "controlled stop"])
    assert.ok(desk.said.includes(word), word);
  assert.match(desk.said, /! box2 does not answer/);
  assert.match(desk.said, /box1> $/);
  assert.match(desk.said, /^[\r\n -~]*$/);
});

test("a screen with everything wrong still fits", () => {
  const desk = new Desk();
  const member = FACTS.cluster?.members[0];
  const many = Array.from({ length: 30 }, (_, index) => `${"x".repeat(200)} ${index}`);
  assert.ok(FACTS.cluster !== undefined && member !== undefined);
  desk.facts = {
    ...FACTS,
    wrong: many,
    cluster: { ...FACTS.cluster, members: Array.from({ length: 9 }, () => member) },
  };
  const screen = desk.type("\r");
  const lines = screen.split("\r\n").slice(1);
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length < 80));
  assert.match(screen, /and 23 more/);
});

test("a box whose program falls silent keeps the name that was shown: it is what a person types", () => {
  const desk = new Desk();
  assert.match(desk.type("\r"), /box1> $/);
  const { cluster: _, ...rest } = FACTS;
  desk.facts = { ...rest, box: "ringfence", cluster: undefined };
  desk.type("restart\rcorrect horse\r");
  assert.match(desk.type("box1\r"), /Done as told\.\r\nbox1> $/);
});

test("Enter is CR, LF, CR LF and CR NUL, once each", () => {
  for (const enter of ["\r", "\n", "\r\n", "\r\0"]) {
    const desk = new Desk();
    desk.type(`arm${enter}`);
    desk.type(`correct horse${enter}`);
    assert.match(desk.type(`box1${enter}`), /Done as told\.\r\nbox1> $/, JSON.stringify(enter));
    assert.is(desk.ran.length, 1);
    assert.equal(desk.verifies, ["correct horse"]);
  }
});

test("nothing dangerous runs without the password and the box's name", () => {
  assert.ok(dangerousNames(ACTIONS).length >= 10);
  for (const name of dangerousNames(ACTIONS)) {
    const right = new Desk();
    right.type(`${typed(name)}correct horse\rbox1\r`);
    assert.equal(
      right.ran.map((one) => one.action),
      [name],
      right.said,
    );
    for (const wrong of [
      "guess\rbox1\r",
      "correct horse\rbox2\r",
      "correct horse\r\r",
      "\rbox1\r",
      "correct horse\rBOX1\r",
    ]) {
      const desk = new Desk();
      desk.type(`${typed(name)}${wrong}`);
      assert.equal(desk.ran, [], `${name} ran after ${JSON.stringify(wrong)}`);
    }
  }
});

test("whatever is typed or comes as noise, a dangerous action needs both, and every line stays printable ASCII", () => {
  const word = fc.constantFrom(
    ...ACTIONS.map((action) => action.name),
    ...["exec arm", "exec", "box1", "box0", "correct hors", "", "hv1", "q", "box0 box2", "long enough"],
  );
  const noise = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
  const end = fc.constantFrom("\r", "\n", "\r\n", "", "\x03", "\x15", "\x1b[A", "\x7f");
  const typing = fc.array(fc.tuple(fc.oneof({ weight: 4, arbitrary: word }, { weight: 1, arbitrary: noise }), end), {
    maxLength: 30,
  });
  void fc.assert(
    fc.property(typing, (parts) => {
      const desk = new Desk();
      for (const [text, ending] of parts) desk.type(text + ending);
      const dangerous = new Set(dangerousNames(ACTIONS));
      // The right password is not among what is typed.
      assert.equal(
        desk.ran.filter((one) => dangerous.has(one.action)),
        [],
      );
      assert.match(desk.said.replaceAll("\x07", "").replaceAll("\b", ""), /^[\r\n -~]*$/);
    }),
    { numRuns: 300 },
  );
});

test("secrets are never shown, on the line of their command neither taken nor needed", () => {
  const desk = new Desk();
  const said = desk.type("password stolen-by-a-look\rlong enough\rlong enough\rcorrect horse\rbox1\r");
  assert.equal(desk.ran, [{ action: "password", answers: ["long enough", "long enough"] }]);
  assert.not.ok(said.includes("long enough"));
  assert.not.ok(said.includes("correct horse"));
});

test("typed twice and different, or too short, sets no password", () => {
  const desk = new Desk();
  assert.match(desk.type("password\rlong enough\rlong enouhg\r"), /the two differ/);
  assert.match(desk.type("password\rshort\r"), /8 to 200/);
  assert.equal(desk.ran, []);
});

test("a wrong password ends the dialogue, and what was typed ahead answers nothing", () => {
  const desk = new Desk();
  desk.holds = "verify";
  desk.type("arm\rguess\r");
  desk.type("box1\rarm\rcorrect horse\rbox1\r");
  desk.holds = undefined;
  desk.handle({ kind: "verified", verdict: { kind: "wrong" } });
  assert.match(desk.said, /Wrong password\. Nothing was done\.\r\nbox1> $/);
  assert.equal(desk.ran, []);
  desk.verdict = { kind: "too-early", waitSeconds: 37 };
  assert.match(desk.type("arm\rguess\r"), /looked at in 37 s/);
  desk.verdict = { kind: "none-kept" };
  assert.match(desk.type("arm\r\r"), /keeps no password yet/);
  desk.type("password\rlong enough\rlong enough\r\rbox1\r");
  assert.equal(
    desk.ran.map((one) => one.action),
    ["password"],
  );
});

test("what is typed while something runs is taken afterwards", () => {
  const desk = new Desk();
  desk.holds = "run";
  desk.type("arm\rcorrect horse\rbox1\r");
  desk.type("boxes\r");
  assert.equal(
    desk.ran.map((one) => one.action),
    ["arm"],
  );
  desk.holds = undefined;
  desk.handle({ kind: "finished", result: { isDone: true, text: "" } });
  assert.equal(
    desk.ran.map((one) => one.action),
    ["arm", "boxes"],
  );
});

test("erasing, erasing a line and Ctrl-C do what they say; cursor keys type nothing", () => {
  const desk = new Desk();
  desk.type("arx\x7fm\r");
  assert.ok(desk.said.endsWith("arx\b \bm\r\nPassword: "));
  assert.match(desk.type("\x03"), /Nothing was done\.\r\nbox1> $/);
  desk.type("nonsense\x15boxes\x1b[A\x1b[1;5C\x1bOP\r");
  assert.equal(
    desk.ran.map((one) => one.action),
    ["boxes"],
  );
});

test("a question that nobody answers is taken back; a prompt may wait for ever", () => {
  const desk = new Desk();
  desk.type("arm\r");
  desk.now += ANSWER_WITHIN_MS - 1;
  desk.handle({ kind: "ticked" });
  assert.is(desk.mode, "asking");
  desk.now += 1;
  desk.handle({ kind: "ticked" });
  assert.match(desk.said, /no answer within 120 s/);
  // The next person's password answers nothing.
  desk.type("correct horse\rbox1\r");
  assert.equal(desk.ran, []);
  const from = desk.said.length;
  desk.now += 100 * ANSWER_WITHIN_MS;
  desk.handle({ kind: "ticked" });
  assert.is(desk.said.length, from);
});

test("a hang-up in the middle of a dialogue does nothing, and nothing more is heard", () => {
  for (const until of [
    "disarm\r",
    "disarm\rwhy\r",
    "disarm\rwhy\rcorrect horse\r",
    "disarm\rwhy\rcorrect horse\rbox1",
  ]) {
    const desk = new Desk();
    desk.type(until);
    desk.handle({ kind: "hung-up" });
    assert.is(desk.ended, false);
    desk.type("\rcorrect horse\rbox1\r");
    assert.equal(desk.ran, []);
  }
});

test("long answers come in screens; q stops, Enter goes on", () => {
  const desk = new Desk();
  desk.result = { isDone: true, text: Array.from({ length: 60 }, (_, index) => `line ${index}.`).join("\n") };
  const first = desk.type("boxes\r");
  assert.match(first, /line 21\.\r\n-- 38 more lines/);
  assert.not.match(first, /line 22\./);
  assert.match(desk.type("\r"), /line 22\.(.|\r\n)*line 43\.(.|\r\n)*-- 16 more/);
  assert.match(desk.type("q"), /box1> $/);
  desk.type("boxes\r  ");
  assert.match(desk.said, /line 59\.\r\nbox1> $/);
});

test("what a log brings cannot speak to the terminal", () => {
  const desk = new Desk();
  desk.result = { isDone: true, text: "\x1b]0;owned\x07 caf\u00e9 \u2026\tend" };
  assert.match(desk.type("boxes\r"), /\?\]0;owned\? caf\? \.\.\. {4}end\r\n/);
});

test("actions that this box does not have are named with the reason, and do nothing", () => {
  const desk = new Desk();
  desk.facts = { ...FACTS, missing: { network: "the network of this machine is not ringfence's to set" } };
  for (const action of ACTIONS.filter((one) => one.name in desk.facts.missing)) {
    assert.match(
      desk.type(`${action.name}\r`).replace(/\s+/g, " "),
      new RegExp(`${action.name} is not on this box: \\w+`),
    );
    assert.ok(desk.type("help\r    ").includes(action.name));
  }
  assert.equal(desk.ran, []);
});

test("a beginning is enough for what is harmless, and never for what is dangerous", () => {
  const desk = new Desk();
  desk.type("evi\r");
  assert.equal(
    desk.ran.map((one) => one.action),
    ["evidence"],
  );
  assert.match(desk.type("disa\r"), /no action "disa"/);
  assert.match(desk.type("re\r"), /no action "re"/);
});

test("force asks for every other voter by name, and none but those", () => {
  for (const [names, isTaken] of [
    ["box0 box2", true],
    ["box2, box0", true],
    ["box0", false],
    ["box0 box1 box2", false],
    ["box0 box0", false],
    ["yes", false],
  ] as const) {
    const desk = new Desk();
    desk.type(`force\r${names}\rcorrect horse\rbox1\r`);
    assert.is(desk.ran.length, isTaken ? 1 : 0, names);
  }
  const alone = new Desk();
  alone.facts = { ...FACTS, cluster: undefined };
  assert.match(alone.type("force\rbox0 box2\r"), /does not answer/);
});

test("exec gives a program its answer in one piece, closed by a line that says how it went", () => {
  const desk = new Desk();
  desk.result = { isDone: true, text: Array.from({ length: 60 }, (_, index) => `line ${index}.`).join("\n") };
  assert.match(desk.type("exec boxes\r"), /line 0\.(.|\r\n)*line 59\.\r\nexec done\r\nbox1> $/);
  assert.match(desk.type("exec nonsense\r"), /exec failed\r\nbox1> $/);
  assert.match(desk.type("exec transfer x\r"), /not a server's number(.|\r\n)*exec failed\r\n/);
  assert.match(desk.type("exec disarm work on it\rguess\r"), /Wrong password(.|\r\n)*exec failed\r\n/);
  desk.ran.length = 0;
  assert.match(desk.type("exec disarm work on it\rcorrect horse\rbox1\r"), /exec done\r\n/);
  assert.equal(desk.ran, [{ action: "disarm", answers: ["work on it"] }]);
});

test("one command ends after it, with its outcome; without an answer to its question it did nothing", () => {
  const single = (): Desk => new Desk({ isSingle: true, isEchoing: false });
  const look = single();
  look.handle({ kind: "commanded", line: "status" });
  assert.is(look.ended, true);
  assert.match(look.said, /^ringfence 0\.1\.0/);
  const arm = single();
  arm.handle({ kind: "commanded", line: "arm" });
  arm.type("correct horse\nbox1\n");
  arm.handle({ kind: "input-ended" });
  assert.is(arm.ended, true);
  assert.not.ok(arm.said.includes("correct"));
  const unanswered = single();
  unanswered.handle({ kind: "commanded", line: "arm" });
  unanswered.handle({ kind: "input-ended" });
  assert.is(unanswered.ended, false);
  assert.equal(unanswered.ran, []);
  const running = single();
  running.holds = "run";
  running.handle({ kind: "input-ended" });
  running.handle({ kind: "commanded", line: "boxes" });
  assert.is(running.ended, undefined, "an end of the input does not cut off what runs");
  running.handle({ kind: "finished", result: { isDone: false, text: "no" } });
  assert.is(running.ended, false);
});

test.run();
