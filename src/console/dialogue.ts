import { unreachable } from "../base/assert.ts";
import { type Action, findAction, type Question } from "./actions.ts";
import { closeExec, lookFor, page, refused, reprompt, say, write } from "./prompt.ts";
import { firstScreen, helpScreen, linesOf } from "./screens.ts";
import type { ConsoleEffect, ConsoleState, ConsoleStep, Dialogue, Step } from "./state.ts";
import type { ActionResult, Facts, Verdict } from "./types.ts";

/** A line was ended: an answer, or a command. `lineEnd` is what shows that Enter was heard. */
export function entered(state: ConsoleState, line: string, lineEnd: readonly ConsoleEffect[]): ConsoleStep {
  const { mode } = state;
  if (mode.kind === "asking") return answered(state, mode.dialogue, mode.step, line);
  if (line === "") return lookFor(state, "screen", lineEnd);
  const [first = "", ...rest] = line.split(/\s+/);
  const isExec = first === "exec";
  const word = isExec ? (rest[0] ?? "") : first;
  const action = findAction(word);
  if (action === undefined) {
    const why = `There is no action "${word.slice(0, 20)}": help lists them.`;
    return isExec ? closeExec(state, false, [...lineEnd, say([why])]) : reprompt(state, [...lineEnd, say([why])]);
  }
  const words = isExec ? rest.slice(1) : rest;
  const dialogue: Dialogue = { action, answers: given(action, words), isExec };
  return lookFor(state, dialogue, lineEnd);
}

/** A word for each question, the rest for the last one. Secrets are never taken from a line that is echoed. */
function given(action: Action, words: readonly string[]): readonly string[] {
  if (action.questions.some((question) => question.isSecret)) return [];
  const count = Math.min(action.questions.length, words.length);
  return Array.from({ length: count }, (_, index) =>
    index === action.questions.length - 1 ? words.slice(index).join(" ") : (words[index] ?? ""),
  );
}

/** The facts are there: the screen, or the first question of what was asked for. */
export function looked(state: ConsoleState): ConsoleStep {
  if (state.mode.kind !== "looking" || state.facts === undefined) return { state, effects: [] };
  const { then } = state.mode;
  if (then === "screen")
    return reprompt({ ...state, mode: { kind: "prompt" } }, [say(["", ...firstScreen(state.facts)])]);
  const missing = state.facts.missing[then.action.name];
  if (missing !== undefined) return refused(state, then, `${then.action.name} is not on this box: ${missing}.`);
  // What came with the command is checked as what is typed.
  for (const [index, answer] of then.answers.entries()) {
    const why = objection(then.action.questions[index], answer, state.facts, then.answers.slice(0, index));
    if (why !== undefined) return refused(state, then, `Nothing was done: ${why}.`);
  }
  const warning = then.action.warning === undefined ? [] : [say(linesOf(then.action.warning))];
  return goOn(state, then, warning);
}

/** Asks what is still missing, or does it. */
function goOn(state: ConsoleState, dialogue: Dialogue, before: readonly ConsoleEffect[] = []): ConsoleStep {
  const { action, answers } = dialogue;
  const question = action.questions[answers.length];
  const hasDefault = question?.otherwise !== undefined && dialogue.isExec;
  if (hasDefault) return goOn(state, { ...dialogue, answers: [...answers, question.otherwise ?? ""] }, before);
  const ask = (kind: Step): ConsoleStep =>
    reprompt({ ...state, mode: { kind: "asking", dialogue, step: kind } }, before);
  if (question !== undefined) return ask("question");
  return action.kind === "dangerous" ? ask("password") : run(state, dialogue, before);
}

function answered(state: ConsoleState, dialogue: Dialogue, at: Step, line: string): ConsoleStep {
  const lineEnd = write("\r\n");
  const { facts } = state;
  if (facts === undefined) return refused(state, dialogue, "Nothing was done.", [lineEnd]);
  switch (at) {
    case "question": {
      const question = dialogue.action.questions[dialogue.answers.length];
      const answer = line === "" ? (question?.otherwise ?? "") : line;
      if (answer === "") return refused(state, dialogue, "Nothing was done.", [lineEnd]);
      const why = objection(question, answer, facts, dialogue.answers);
      if (why !== undefined) return refused(state, dialogue, `Nothing was done: ${why}.`, [lineEnd]);
      return goOn(state, { ...dialogue, answers: [...dialogue.answers, answer] }, [lineEnd]);
    }
    case "password":
      return {
        state: { ...state, mode: { kind: "verifying", dialogue } },
        effects: [lineEnd, { kind: "verify", password: line }],
      };
    case "name":
      if (line !== facts.box)
        return refused(state, dialogue, `Nothing was done: this box is "${facts.box}".`, [lineEnd]);
      return run(state, dialogue, [lineEnd]);
    default:
      return unreachable(at);
  }
}

/** The password was looked at: only the right one leads on, to the name. */
export function verified(state: ConsoleState, verdict: Verdict): ConsoleStep {
  if (state.mode.kind !== "verifying") return { state, effects: [] };
  const { dialogue } = state.mode;
  // What was typed ahead was meant for another answer.
  const emptied = { ...state, ahead: [] };
  switch (verdict.kind) {
    case "right":
      return reprompt({ ...state, mode: { kind: "asking", dialogue, step: "name" } });
    case "wrong":
      return refused(emptied, dialogue, "Wrong password. Nothing was done.");
    case "too-early":
      return refused(
        emptied,
        dialogue,
        `Too many wrong passwords: the next one is looked at in ${verdict.waitSeconds} s. Nothing was done.`,
      );
    case "none-kept":
      // Whoever comes first sets it, on a box that has nothing to protect yet.
      if (dialogue.action.name === "password")
        return reprompt({ ...state, mode: { kind: "asking", dialogue, step: "name" } });
      return refused(emptied, dialogue, "This box keeps no password yet: password sets one. Nothing was done.");
    default:
      return unreachable(verdict);
  }
}

function run(state: ConsoleState, dialogue: Dialogue, before: readonly ConsoleEffect[]): ConsoleStep {
  const { facts } = state;
  const { action, answers } = dialogue;
  if (facts === undefined) return refused(state, dialogue, "Nothing was done.", before);
  if (action.name === "help" || action.name === "status") {
    const lines = action.name === "help" ? helpScreen(facts.missing) : firstScreen(facts);
    return finish(state, dialogue, lines, true, before);
  }
  return {
    state: { ...state, mode: { kind: "running", dialogue } },
    effects: [...before, { kind: "run", action, answers, facts }],
  };
}

/** What ran has ended. */
export function finished(state: ConsoleState, result: ActionResult): ConsoleStep {
  if (state.mode.kind !== "running") return { state, effects: [] };
  const text = result.text.trimEnd();
  const lines = text === "" ? [result.isDone ? "Done." : "It failed."] : linesOf(text);
  return finish(state, state.mode.dialogue, lines, result.isDone);
}

function finish(
  state: ConsoleState,
  dialogue: Dialogue,
  lines: readonly string[],
  isDone: boolean,
  before: readonly ConsoleEffect[] = [],
): ConsoleStep {
  if (dialogue.isExec) return closeExec(state, isDone, [...before, say(lines)]);
  return page(state, lines, before);
}

function objection(
  question: Question | undefined,
  answer: string,
  facts: Facts,
  before: readonly string[],
): string | undefined {
  return question?.check?.(answer, facts, before);
}
