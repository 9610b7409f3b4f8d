import { existsSync } from "node:fs";
import { type HookResult, OUTPUT_CHARACTERS_MAX } from "../hooks/raft-hooks.ts";

/** Where OpenNebula keeps hook scripts: a relative command is looked for here first, then in the PATH. */
const REMOTES = "/var/lib/one/remotes/hooks";

/** Runs a program in a session of its own, so that the time limit ends all of it. */
export async function runCommand(command: string, words: readonly string[], timeoutMs: number): Promise<HookResult> {
  // oned takes COMMAND as a program with words of its own: "/usr/bin/env onevm resubmit".
  const [first = "", ...more] = command.split(/\s+/);
  const program = !first.startsWith("/") && existsSync(`${REMOTES}/${first}`) ? `${REMOTES}/${first}` : first;
  try {
    const child = Bun.spawn([program, ...more, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It ended in this moment.
      }
    }, timeoutMs);
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    clearTimeout(timer);
    return { code, timedOut, output: `${out}${err}`.trim().slice(0, OUTPUT_CHARACTERS_MAX) };
  } catch (error) {
    return { code: 127, timedOut: false, output: String(error) };
  }
}
