import { unreachable } from "../base/assert.ts";
import { entered, finished, looked, verified } from "./dialogue.ts";
import { type Key, readKey } from "./keys.ts";
import { called, end, isSecret, lookFor, page, reprompt, say, write } from "./prompt.ts";
import {
  ANSWER_WITHIN_MS,
  type ConsoleEffect,
  type ConsoleEvent,
  type ConsoleState,
  type ConsoleStep,
  type Mode,
} from "./state.ts";
import type { Facts } from "./types.ts";

/** A line of input; a join token has some 500 characters, and may have 8192. */
const LINE_CHARACTERS_MAX = 8192;
/** What may be typed or pasted ahead while something runs; the rest is noise. */
const AHEAD_BYTES_MAX = 16_384;
/** The recovery console as a function: what is said and done on each event. */
export function step(state: ConsoleState, event: ConsoleEvent, now: number): ConsoleStep {
  if (state.mode.kind === "over") return { state, effects: [] };
  switch (event.kind) {
    case "started":
      return lookFor(state, "screen", [say(["", "ringfence recovery console"])]);
    case "commanded":
      return settle(entered(state, `exec ${event.line}`, []));
    case "input-ended":
      return settle({ state: { ...state, isInputOver: true }, effects: [] });
    case "received": {
      const ahead = [...state.ahead, ...event.bytes].slice(0, AHEAD_BYTES_MAX);
      return settle({ state: { ...state, ahead, heardAt: now }, effects: [] });
    }
    case "looked":
      return settle(looked({ ...state, facts: withName(event.facts, state.facts) }));
    case "verified":
      return settle(verified(state, event.verdict));
    case "finished":
      return settle(finished({ ...state, heardAt: now }, event.result));
    case "hung-up":
      return { state: { ...state, mode: { kind: "over" }, line: "", ahead: [] }, effects: [end(false)] };
    case "ticked":
      return ticked(state, now);
    default:
      return unreachable(event);
  }
}

/** Only main knows what the cluster calls this box: while it does not answer the box is called what the person was shown. */
function withName(facts: Facts, shown: Facts | undefined): Facts {
  return facts.cluster === undefined && shown !== undefined ? { ...facts, box: shown.box } : facts;
}

/** Takes what was typed, as long as somebody is there to take it. */
function settle(from: ConsoleStep): ConsoleStep {
  let { state } = from;
  const effects = [...from.effects];
  const { ahead } = state;
  let taken = 0;
  for (let byte = ahead[0]; byte !== undefined && takesInput(state.mode); byte = ahead[taken]) {
    taken++;
    const { state: keys, key } = readKey(state.keys, byte);
    if (keys !== state.keys) state = { ...state, keys };
    if (key === undefined) continue;
    const next = pressed(state, key);
    effects.push(...next.effects);
    state = next.state;
  }
  if (taken > 0) state = { ...state, ahead: ahead.slice(taken) };
  if (state.isInputOver && state.ahead.length === 0 && state.mode.kind === "asking") {
    const over = called(state, "Nothing was done: no answer.", [write("\r\n")]);
    return { state: over.state, effects: joined([...effects, ...over.effects]) };
  }
  return { state, effects: joined(effects) };
}

/** One write for what is said in one turn: an echo is a byte, and a pasted token has hundreds. */
function joined(effects: readonly ConsoleEffect[]): readonly ConsoleEffect[] {
  const result: ConsoleEffect[] = [];
  for (const effect of effects) {
    const last = result.at(-1);
    if (effect.kind === "write" && last?.kind === "write")
      result[result.length - 1] = { kind: "write", text: last.text + effect.text };
    else result.push(effect);
  }
  return result;
}

function takesInput(mode: Mode): boolean {
  return mode.kind === "prompt" || mode.kind === "asking" || mode.kind === "paging";
}

function pressed(state: ConsoleState, key: Key): ConsoleStep {
  if (state.mode.kind === "paging") return turned(state, state.mode.rest, key);
  const echoes = state.isEchoing && !isSecret(state.mode);
  switch (key.kind) {
    case "character":
      if (state.line.length >= LINE_CHARACTERS_MAX) return { state, effects: [write("\x07")] };
      return { state: { ...state, line: state.line + key.text }, effects: echoes ? [write(key.text)] : [] };
    case "erase":
      if (state.line === "") return { state, effects: [] };
      return { state: { ...state, line: state.line.slice(0, -1) }, effects: echoes ? [write("\b \b")] : [] };
    case "erase-line":
      return reprompt({ ...state, line: "" }, [write("\r\n")]);
    case "redraw":
      return reprompt(state, [write("\r\n")]);
    case "interrupt":
      if (state.mode.kind === "asking") return called(state, "Nothing was done.", [write("^C\r\n")]);
      return reprompt({ ...state, line: "" }, [write("^C\r\n")]);
    case "enter": {
      const { line } = state;
      return entered({ ...state, line: "" }, line.trim(), [write("\r\n")]);
    }
    default:
      return unreachable(key);
  }
}

function turned(state: ConsoleState, rest: readonly string[], key: Key): ConsoleStep {
  const stops = key.kind === "interrupt" || (key.kind === "character" && key.text === "q");
  const isNext = key.kind === "enter" || (key.kind === "character" && key.text === " ");
  if (stops) return reprompt({ ...state, mode: { kind: "prompt" } }, [write("\r\n")]);
  return isNext ? page(state, rest, [write("\r\n")]) : { state, effects: [] };
}

function ticked(state: ConsoleState, now: number): ConsoleStep {
  const isWaiting = state.mode.kind === "asking" || state.mode.kind === "paging";
  if (!isWaiting || now - state.heardAt < ANSWER_WITHIN_MS) return { state, effects: [] };
  const fresh = { ...state, heardAt: now };
  if (state.mode.kind === "paging") return reprompt({ ...fresh, mode: { kind: "prompt" } }, [write("\r\n")]);
  return called(fresh, `Nothing was done: no answer within ${ANSWER_WITHIN_MS / 1000} s.`, [write("\r\n")]);
}
