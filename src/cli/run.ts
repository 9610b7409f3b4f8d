import { errorChain } from "../base/error.ts";
import { findEndpoint, findSession } from "./client/credentials.ts";
import { createRpc } from "./client/rpc.ts";
import { type Command, type Context, GENERAL_OPTIONS, type Program, wordCount } from "./command.ts";
import { CommandFailure, EXIT_FAILURE } from "./failure.ts";
import { parseOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { commandUsage, programUsage } from "./usage.ts";

/** Runs one command line (without the program's name) and gives the exit code. Never throws. */
export async function run(
  program: Program,
  argv: readonly string[],
  terminal: Terminal,
  version: string,
): Promise<number> {
  try {
    await dispatch(program, argv, terminal, version);
    return 0;
  } catch (error) {
    if (error instanceof CommandFailure) {
      if (error.usage !== "") terminal.out(error.usage);
      terminal.err(`${error.message}\n`);
      return error.exitCode;
    }
    terminal.err(`${errorChain(error)}\n`);
    return EXIT_FAILURE;
  }
}

async function dispatch(program: Program, argv: readonly string[], terminal: Terminal, version: string): Promise<void> {
  const [first] = argv;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    terminal.out(programUsage(program));
    if (first === undefined) throw new CommandFailure(`${program.name} needs a command`);
    return;
  }
  if (first === "--version" || first === "-V") return terminal.out(`${version}\n`);
  const command = findCommand(program, argv);
  if (command === undefined) {
    throw new CommandFailure(`Command '${first}' not found`, { usage: programUsage(program) });
  }
  const rest = argv.slice(command.name.split(" ").length);
  const { options, words } = parseOptions(rest, [...(command.options ?? []), ...GENERAL_OPTIONS]);
  if (options.has("help")) return terminal.out(commandUsage(command));
  if (options.has("version")) return terminal.out(`${version}\n`);
  checkWords(command, words);
  const rpc = createRpc({
    endpoint: () => findEndpoint(options, terminal.env),
    session: () => findSession(options, terminal.env, () => terminal.ask("Password: ")),
  });
  const context: Context = { terminal, rpc, options, words };
  await command.run(context);
}

/** The longest name that the command line begins with: `fence arm` before `fence`. */
function findCommand(program: Program, argv: readonly string[]): Command | undefined {
  const matching = program.commands.filter((command) =>
    command.name.split(" ").every((word, index) => argv[index] === word),
  );
  return matching.sort((a, b) => b.name.length - a.name.length)[0];
}

function checkWords(command: Command, words: readonly string[]): void {
  const { least, most } = wordCount(command.words);
  if (words.length < least) {
    const count = least === 1 ? "one parameter" : `${least} parameters`;
    throw new CommandFailure(`Command ${command.name} requires ${count} to run`, {
      usage: commandUsage(command),
    });
  }
  if (words.length > most) {
    throw new CommandFailure(
      `Command ${command.name} takes ${most === 0 ? "no parameters" : `at most ${most}`}, and "${words[most]}" is one more`,
    );
  }
}
