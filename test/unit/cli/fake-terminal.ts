import type { Terminal } from "../../../src/cli/terminal.ts";

/** A terminal of a test: what was written, and the answers that it gives. */
export interface FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };
}

export function fakeTerminal(
  options: Partial<Pick<Terminal, "isTty" | "columns" | "env">> & {
    readonly input?: string;
    readonly answers?: readonly string[];
    readonly now?: number;
  } = {},
): FakeTerminal {
  const written = { out: "", err: "" };
  const answers = [...(options.answers ?? [])];
  return {
    written,
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    isTty: options.isTty ?? false,
    columns: options.columns ?? 80,
    env: options.env ?? {},
    readInput: () => options.input ?? "",
    ask: () => answers.shift() ?? "",
    now: () => options.now ?? 0,
  };
}
