import type { CoreMutant } from "../../../src/raft/mutants.ts";
import { obey } from "./commands.ts";
import { World } from "./world.ts";

/** A command of a story and what it must say. */
interface Step {
  readonly line: number;
  /** The comments and blank lines before it, as they stand. */
  readonly before: readonly string[];
  readonly command: string;
  readonly expected: readonly string[];
}

export interface Story {
  readonly name: string;
  /** The first comment: what the story shows. */
  readonly title: string;
  /** Items of the history and of the papers, from lines `# covers: …`. */
  readonly covers: readonly string[];
  readonly steps: readonly Step[];
  readonly after: readonly string[];
}

export interface Outcome {
  /** The story as a file with what was said this time. */
  readonly text: string;
  /** Where it differs from what was expected; empty when it does not. */
  readonly differences: readonly string[];
  /** Rules of every story, and `expect` lines, that did not hold: these are never rewritten. */
  readonly broken: readonly string[];
}

/** Reads a story: `# comment`, `> command`, and under a command, indented by two, what it says. */
export function parseStory(name: string, text: string): Story {
  const steps: Step[] = [];
  let before: string[] = [];
  let expected: string[] = [];
  const lines = text.replace(/\n+$/, "").split("\n");
  lines.forEach((line, at) => {
    if (line.startsWith("> ")) {
      expected = [];
      steps.push({ line: at + 1, before, command: line.slice(2).trim(), expected });
      before = [];
    } else if (line.startsWith("  ")) {
      if (before.length > 0 || steps.length === 0) throw new Error(`${name}:${at + 1}: output without a command`);
      expected.push(line.slice(2));
    } else if (line === "" || line.startsWith("#")) {
      before.push(line);
    } else throw new Error(`${name}:${at + 1}: neither comment, command nor output: ${line}`);
  });
  const title = /^# (.+)$/.exec(lines[0] ?? "")?.[1];
  if (title === undefined) throw new Error(`${name}: the first line must be "# title"`);
  const covers = lines.flatMap((line) => /^# covers: (.+)$/.exec(line)?.[1]?.split(/\s*[,;]\s*/) ?? []);
  return { name, title, covers, steps, after: before };
}

/** Plays a story from its first line to its last, whatever goes wrong on the way. */
export function playStory(story: Story, mutants: ReadonlySet<CoreMutant> = new Set()): Outcome {
  const world = new World(mutants);
  const lines: string[] = [];
  const differences: string[] = [];
  for (const step of story.steps) {
    world.said = [];
    try {
      obey(world, step.command);
      world.check();
    } catch (error) {
      world.break(error instanceof Error ? error.message : String(error));
    }
    const said = world.said.map((line) => line.trimEnd());
    lines.push(...step.before, `> ${step.command}`, ...said.map((line) => `  ${line}`));
    if (said.join("\n") !== step.expected.join("\n")) differences.push(difference(story.name, step, said));
  }
  lines.push(...story.after);
  return { text: `${lines.join("\n")}\n`, differences, broken: world.broken };
}

/** One step's output, line by line: `-` was expected, `+` was said. */
function difference(name: string, step: Step, said: readonly string[]): string {
  const { expected } = step;
  let head = 0;
  while (head < expected.length && head < said.length && expected[head] === said[head]) head++;
  let tail = 0;
  const most = Math.min(expected.length, said.length) - head;
  while (tail < most && expected[expected.length - 1 - tail] === said[said.length - 1 - tail]) tail++;
  return [
    `${name}:${step.line}: > ${step.command}`,
    ...expected.slice(0, head).map((line) => `    ${line}`),
    ...expected.slice(head, expected.length - tail).map((line) => `  - ${line}`),
    ...said.slice(head, said.length - tail).map((line) => `  + ${line}`),
    ...expected.slice(expected.length - tail).map((line) => `    ${line}`),
  ].join("\n");
}
