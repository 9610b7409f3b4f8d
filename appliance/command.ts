import { CodedError } from "../src/base/error.ts";

/** Options of {@link command}. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs a program of the build and gives its standard output. Throws `command` with what it said when it fails. */
export async function command(words: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = Bun.spawn([...words], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    // One language and one time zone: what comes out must not depend on who builds.
    env: { ...process.env, LC_ALL: "C", TZ: "UTC", ...options.environment },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0)
    throw new CodedError(
      "command",
      `Cannot run "${words.join(" ")}": exit code ${code}: ${errors.trim().slice(-2000)}`,
    );
  return output;
}
