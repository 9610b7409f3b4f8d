/** A box from an image as a person has it: a cluster of its own, and a console password that is known. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { architectureNamed } from "../../../appliance/architecture.ts";
import { releaseOf } from "../../../appliance/disk.ts";
import { PATIENCE } from "../patience.ts";
import { BOOT_MS, Machine, type MachineOptions } from "./machine.ts";

/** Of oneadmin: what an installer writes before the first start. */
export const SESSION = "oneadmin:rack and ruin";
export const PASSWORD = "correct horse";
const ARGON = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;

/** As rootfs/usr/lib/ringfence/box.conf: what an emulated machine has that `image` is for. */
export function machineConf(image: string, hangSeconds?: number): string {
  const { serialPort } = architectureNamed(releaseOf(image).architecture);
  return `CONSOLE = [ DEVICE = "${serialPort}", BAUD = 115200 ]
WATCHDOG = [ DEVICE = "/dev/watchdog0", TIMEOUT = 20${hangSeconds === undefined ? "" : `, HANG = ${hangSeconds}`} ]
`;
}

/** The line that a boot ends with. */
export const HEALTHY = /slot ([AB]) try (\d).*: healthy in (\d+) s/;
/** What the boot loader says, and the initramfs again. */
export const LOADER = /ringfence: slot ([AB]), try (\d)/;

/** A box that is off. */
export async function aBox(image: string, options: MachineOptions = {}): Promise<Machine> {
  const files = {
    // A cluster that this box founds.
    "etc/box.conf": `SERVER_ID = -1\n${machineConf(image)}`,
    "lib/.one/one_auth": `${SESSION}\n`,
    "lib/console-password": `${await Bun.password.hash(PASSWORD, ARGON)}\n`,
    ...options.files,
  };
  return Machine.of(image, { ...options, files, session: SESSION });
}

/** Waits for the line of a boot that went well; where it ends, and what it says. */
export async function healthy(
  box: Machine,
  from = 0,
): Promise<{ readonly slot: string; readonly seconds: number; readonly end: number }> {
  const end = await box.expect(HEALTHY, BOOT_MS, from);
  const [, slot = "", , seconds] = HEALTHY.exec(box.text.slice(from)) ?? [];
  return { slot, seconds: Number(seconds), end };
}

const CLI = resolve(import.meta.dir, "../../../src/cli/main.ts");

/** Runs a command of ours against the box, as from an operator's machine; its output, of failures too. */
export async function run(
  box: Machine,
  ...words: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const child = Bun.spawn([process.execPath, CLI, ...words], {
    env: { ...process.env, HOME: "/nonexistent", ONE_XMLRPC: box.endpoint, ONE_AUTH: box.authFile },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, text: `${out}${err}` };
}

/** A write through the front-end; what the command said. */
export async function makeTemplate(box: Machine, name: string): Promise<string> {
  // Beside what is the box's own here, and removed with it.
  const file = `${box.authFile}.template`;
  writeFileSync(file, `NAME = "${name}"\nCPU = 1\nMEMORY = 64\n`);
  return (await run(box, "onetemplate", "create", file)).text;
}

/** Waits until `ringfence slot status` says so. */
export async function slotsSay(box: Machine, pattern: RegExp, withinMs: number): Promise<string> {
  let text = "";
  for (const end = performance.now() + withinMs * PATIENCE; performance.now() < end; await Bun.sleep(500)) {
    ({ text } = await run(box, "ringfence", "slot", "status"));
    if (pattern.test(text)) return text;
  }
  throw new Error(`Waited in vain for ${pattern}; slot status says:\n${text}`);
}

/** Presses Enter on the console until its screen says so: a box that has just come up does not know all of itself yet. */
export async function consoleSays(box: Machine, pattern: RegExp, withinMs: number): Promise<void> {
  for (const end = performance.now() + withinMs * PATIENCE; ; await Bun.sleep(2000)) {
    const from = box.text.length;
    await box.say("", /> $/);
    if (pattern.test(box.text.slice(from))) return;
    if (performance.now() > end)
      throw new Error(`Waited in vain for ${pattern}; the console says:\n${box.text.slice(from)}`);
  }
}

/** Opens a root shell on the serial line: password, the box's name, and a shell that answers. */
export async function openShell(box: Machine): Promise<void> {
  await act(box, "shell", [], /# $/);
}

/** Does what needs password and name on the console, in the box's own words. */
export async function act(
  box: Machine,
  action: string,
  answers: readonly string[],
  done: RegExp,
  withinMs?: number,
): Promise<void> {
  // The box is called "server" once it has founded its cluster.
  const prompt = /(\w+)> $/;
  const from = box.text.length;
  await box.say("", prompt);
  const [, name = ""] = prompt.exec(box.text.slice(from)) ?? [];
  for (const [index, line] of [action, ...answers].entries())
    await box.say(line, index === answers.length ? /Password: $/ : /: $/);
  await box.say(PASSWORD, /name[^\n]*: $/);
  const asked = box.text.length;
  await box.say(name, new RegExp(`${done.source}|this box is "`, done.flags), withinMs);
  // While main was silent the prompt had the machine's name.
  if (box.text.slice(asked).includes('this box is "')) await act(box, action, answers, done, withinMs);
}

/** Runs a command in the shell that is open; what it printed. */
export async function shell(box: Machine, command: string, withinMs = 30_000): Promise<string> {
  const from = box.text.length;
  // A mark before it, too: the shell breaks what it echoes of a long command into lines.
  await box.say(`echo "begin=$?"; ${command}; echo "exit=$?"`, /exit=\d+\r\n/, withinMs);
  const text = box.text.slice(from);
  const [mark = ""] = /begin=\d+\r\n/.exec(text) ?? [];
  return text.slice(text.indexOf(mark) + mark.length, text.search(/exit=\d+\r\n/)).replaceAll("\r", "");
}
