/**
 * A person at a box's serial line, run inside of the box: makes a pseudo-terminal, links the name that box.conf has to it,
 * types what the steps on standard input say and waits for their answers. Prints all that the line said.
 */
import { readFileSync, rmSync, symlinkSync } from "node:fs";
import { FarEnd } from "../pty.ts";

/** `PASSWORD` in what is typed is oneadmin's on this box. */
interface DialogueStep {
  readonly type: string;
  readonly expect: string;
}

const [link = ""] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(0, "utf8")) as readonly DialogueStep[];
const password = readFileSync("/var/lib/one/.one/one_auth", "utf8")
  .trim()
  .replace(/^[^:]*:/, "");
/** A console that found no line waits ten seconds; an action may try for as long as its command does. */
const DEADLINE_MS = 40_000;
const far = new FarEnd();
rmSync(link, { force: true });
symlinkSync(far.path, link);
try {
  for (const { type, expect } of steps) {
    const from = type === "" ? 0 : far.text.length;
    if (type !== "") far.send(type.replace("PASSWORD", password));
    await far.expect(new RegExp(expect, "s"), from, DEADLINE_MS);
  }
  process.stdout.write(far.text);
  process.exitCode = 0;
} catch (error) {
  process.stdout.write(far.text);
  process.stderr.write(String(error));
  process.exitCode = 1;
} finally {
  rmSync(link, { force: true });
  far.hangUp();
}
