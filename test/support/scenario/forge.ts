import type { Message } from "../../../src/raft/messages.ts";
import type { LogEntry } from "../../../src/raft/types.ts";
import { bytes, id } from "../raft/group.ts";
import type { World } from "./world.ts";

/**
 * `forge 2->1 append term 3 previous 1@1 commit 1 entries 2@3=x`: a message as a box outside of the story would send it,
 * delivered at once. What is left out is 0, empty or false.
 */
export function forge(world: World, words: string[]): void {
  world.hand(messageOf(words));
}

function messageOf(words: readonly string[]): Message {
  const [from, to] = (words[0] ?? "").split("->");
  const envelope = { from: id(Number(from)), to: id(Number(to)), term: numberAfter(words, "term") };
  const has = (name: string): boolean => words.includes(name);
  const kind = words[1];
  switch (kind) {
    case "append": {
      const [previousIndex, previousTerm] = placeAfter(words, "previous");
      const commit = numberAfter(words, "commit");
      return { kind, ...envelope, previousIndex, previousTerm, commit, entries: entriesOf(words) };
    }
    case "append-response": {
      const [hintIndex, hintTerm] = placeAfter(words, "hint");
      const index = numberAfter(words, "index");
      return { kind, ...envelope, rejected: has("rejected"), index, hintIndex, hintTerm };
    }
    case "vote-request": {
      const [lastIndex, lastTerm] = placeAfter(words, "log");
      const electionTerm = envelope.term + (has("pre") ? 1 : 0);
      return { kind, ...envelope, preVote: has("pre"), electionTerm, lastIndex, lastTerm, transfer: has("transfer") };
    }
    case "vote-response": {
      const electionTerm = numberAfter(words, "for", envelope.term);
      return { kind, ...envelope, preVote: has("pre"), electionTerm, granted: has("yes"), sticky: has("sticky") };
    }
    case "heartbeat": {
      const commitTerm = numberAfter(words, "commit-term");
      const promiseMs = numberAfter(words, "promise");
      const commit = numberAfter(words, "commit");
      return { kind, ...envelope, round: numberAfter(words, "round"), commit, commitTerm, promiseMs };
    }
    case "heartbeat-response":
      return { kind, ...envelope, round: numberAfter(words, "round"), promiseMs: numberAfter(words, "promise") };
    case "timeout-now":
      return { kind, ...envelope };
    default:
      throw new Error(`a message "${kind}" cannot be forged`);
  }
}

function after(words: readonly string[], name: string): string | undefined {
  const at = words.indexOf(name);
  return at < 0 ? undefined : words[at + 1];
}

function numberAfter(words: readonly string[], name: string, absent = 0): number {
  return Number(after(words, name) ?? absent);
}

function placeAfter(words: readonly string[], name: string): [number, number] {
  return placeOf(after(words, name) ?? "0@0");
}

/** `3@2` is index 3 of term 2. */
function placeOf(text: string): [number, number] {
  const [index, term] = text.split("@").map(Number);
  if (index === undefined || term === undefined) throw new Error(`"${text}" is not index@term`);
  return [index, term];
}

/** `entries 2@3=x 3@3=y`: up to the end of the line. */
function entriesOf(words: readonly string[]): LogEntry[] {
  const at = words.indexOf("entries");
  if (at < 0) return [];
  return words.slice(at + 1).map((word) => {
    const [place = "", text = ""] = word.split("=");
    const [index, term] = placeOf(place);
    return { term, index, kind: "normal", data: bytes(text) };
  });
}
