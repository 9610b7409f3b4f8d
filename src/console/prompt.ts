import { linesOf, ROWS } from "./screens.ts";
import type { ConsoleEffect, ConsoleState, ConsoleStep, Dialogue, Mode } from "./state.ts";

/** Gathers the facts first: nothing is shown or asked on what was true a while ago. */
export function lookFor(state: ConsoleState, then: "screen" | Dialogue, before: readonly ConsoleEffect[]): ConsoleStep {
  return { state: { ...state, mode: { kind: "looking", then } }, effects: [...before, { kind: "look" }] };
}

/** Shows what is waited for, with what has been typed of it. */
export function reprompt(state: ConsoleState, before: readonly ConsoleEffect[] = []): ConsoleStep {
  const typed = isSecret(state.mode) ? "" : state.line;
  return { state, effects: [...before, write(`${promptOf(state)}${typed}`)] };
}

function promptOf(state: ConsoleState): string {
  const { mode } = state;
  if (mode.kind === "paging") return `-- ${mode.rest.length} more lines: Enter, or q to stop -- `;
  if (mode.kind !== "asking") return `${state.facts?.box ?? "ringfence"}> `;
  if (mode.step === "password") return "Password: ";
  if (mode.step === "name") return `${mode.dialogue.action.name}: to go on, type this box's name: `;
  return mode.dialogue.action.questions[mode.dialogue.answers.length]?.text ?? "";
}

/** Whether what is typed now must not be shown. */
export function isSecret(mode: Mode): boolean {
  if (mode.kind !== "asking") return false;
  if (mode.step === "password") return true;
  return mode.step === "question" && mode.dialogue.action.questions[mode.dialogue.answers.length]?.isSecret === true;
}

/** One screen of lines, and the rest when it is asked for. */
export function page(state: ConsoleState, lines: readonly string[], before: readonly ConsoleEffect[]): ConsoleStep {
  const rest = lines.slice(ROWS);
  const effects = [...before, say(lines.slice(0, ROWS))];
  return reprompt({ ...state, mode: rest.length === 0 ? { kind: "prompt" } : { kind: "paging", rest } }, effects);
}

/** Ends a dialogue that did nothing. */
export function refused(
  state: ConsoleState,
  dialogue: Dialogue,
  why: string,
  before: readonly ConsoleEffect[] = [],
): ConsoleStep {
  return dialogue.isExec ? closeExec(state, false, [...before, say(linesOf(why))]) : called(state, why, before);
}

/** Says why nothing was done, and waits for the next command. */
export function called(state: ConsoleState, why: string, before: readonly ConsoleEffect[] = []): ConsoleStep {
  if (state.mode.kind === "asking" && state.mode.dialogue.isExec)
    return closeExec(state, false, [...before, say(linesOf(why))]);
  return reprompt({ ...state, mode: { kind: "prompt" }, line: "" }, [...before, say(linesOf(why))]);
}

/** A program waits for this line, and for nothing before it. */
export function closeExec(state: ConsoleState, isDone: boolean, before: readonly ConsoleEffect[]): ConsoleStep {
  const closed: ConsoleState = { ...state, mode: { kind: "prompt" }, line: "" };
  if (state.isSingle) return { state: { ...closed, mode: { kind: "over" } }, effects: [...before, end(isDone)] };
  return reprompt(closed, [...before, say([`exec ${isDone ? "done" : "failed"}`])]);
}

/** Lines for the person. */
export function say(lines: readonly string[]): ConsoleEffect {
  return write(lines.map((line) => `${line}\r\n`).join(""));
}

/** Text as it is. */
export function write(text: string): ConsoleEffect {
  return { kind: "write", text };
}

/** The last of all. */
export function end(isDone: boolean): ConsoleEffect {
  return { kind: "end", isDone };
}
