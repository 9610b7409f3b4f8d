import { closeSync, constants, openSync } from "node:fs";
import type { ActionResult } from "../console/types.ts";
import { saveTerminal, setSane } from "../linux/serial/termios.ts";

/** A root shell with the line as its own terminal (a session of its own, so that Ctrl-C is the shell's); ends with it. */
export async function runShell(device: string): Promise<ActionResult> {
  // A description of its own: ours is non-blocking, and the flag belongs to the description, not the descriptor.
  const file = openSync(device, constants.O_RDWR | constants.O_NOCTTY);
  let restore: () => void = () => undefined;
  try {
    restore = saveTerminal(file);
    setSane(file);
    const child = Bun.spawn(["setsid", "--ctty", "--wait", "/bin/sh", "-i"], {
      stdio: [file, file, file],
      env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "vt100", PS1: "# " },
      cwd: "/",
    });
    const code = await child.exited;
    return { isDone: true, text: `\nThe shell ended with ${code}.` };
  } finally {
    try {
      restore();
    } catch {
      // The line hung up, and the shell with it.
    }
    closeSync(file);
  }
}
