import { type Command, GENERAL_OPTIONS, type Program } from "./command.ts";
import type { Option } from "./options.ts";

/** Width of the column of options. */
const OPTION_WIDTH = 26;

/** The help of one command, as OpenNebula's commands print it, and an example. */
export function commandUsage(command: Command): string {
  const own = command.options ?? [];
  const valid = own.length === 0 ? "" : `        valid options: ${own.map((option) => option.name).join(", ")}\n`;
  return [
    `## USAGE\n${`${command.name} ${command.words}`.trimEnd()}\n${indented(command.text)}\n${valid}`,
    `## EXAMPLE\n        ${command.example}\n`,
    `## OPTIONS\n${[...own, ...GENERAL_OPTIONS].map(optionLine).join("\n")}\n`,
  ].join("\n");
}

/** The help of a program: all its commands. */
export function programUsage(program: Program): string {
  const commands = program.commands
    .map(
      (command) =>
        `   * ${`${command.name} ${command.words}`.trimEnd()}\n${indented(command.text)}\n        e.g. ${command.example}\n`,
    )
    .join("\n");
  return [
    `## SYNOPSIS\n\n${program.name} <command> [<args>] [<options>]\n\n${program.text}\n`,
    `## COMMANDS\n${commands}`,
    `## ARGUMENT FORMATS\n   * ids: a name, a number, or a list of them like 1,8..15\n   * file: path to a file; - is standard input\n`,
    `## OPTIONS of every command\n${GENERAL_OPTIONS.map(optionLine).join("\n")}\n`,
  ].join("\n");
}

function optionLine(option: Option): string {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  const value = option.value === undefined ? "" : ` ${option.value}`;
  const names = `${short}--${option.name}${value}`;
  return `     ${names.padEnd(OPTION_WIDTH - 1)} ${option.text}`;
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `        ${line}`)
    .join("\n");
}
