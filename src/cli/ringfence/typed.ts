import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";

/**
 * A person types the expected word. With `--yes` nothing is asked: a program takes the same responsibility by name. Throws
 * CommandFailure with `otherwise`.
 */
export async function typed(
  { terminal, options }: Pick<Context, "terminal" | "options">,
  expected: string,
  question: string,
  otherwise = "Nothing was confirmed.",
): Promise<void> {
  if (options.has("yes")) return;
  if (terminal.ask(question) !== expected) throw new CommandFailure(otherwise);
}
