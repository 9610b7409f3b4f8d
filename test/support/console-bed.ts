/** A box's directories, name and network of its own, with nothing but the console in it: main is dead, the line is a PTY. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as assert from "uvu/assert";
import type { ConsoleRecord } from "../../src/console/ports.ts";
import { FarEnd } from "./pty.ts";

const SOURCE = resolve(import.meta.dir, "../../src");
export const PASSWORD = "correct horse battery";
export const BOX = "testbox";

/** Lays the bed's directories over the machine's, in namespaces that end with the process. */
const SET_UP = `
set -eu
hostname ${BOX}
ip link set lo up
layer() { mount -t tmpfs tmpfs "$1"; mkdir -p "$1/one"; mount --bind "$2" "$1/one"; }
mkdir -p "$BED/upper" "$BED/work"
mount -t tmpfs tmpfs "$BED/work"
mkdir -p "$BED/work/upper" "$BED/work/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$BED/work/upper,workdir=$BED/work/work" overlay /etc
mkdir -p /etc/one
mount --bind "$BED/etc" /etc/one
layer /var/lib "$BED/lib"
layer /var/log "$BED/log"
layer /run "$BED/run"
if [ "\${FULL:-}" = 1 ]; then
  cp -r /var/lib/one "$BED/work/kept"
  mount -t tmpfs -o size=64k tmpfs /var/lib/one
  cp -rT "$BED/work/kept" /var/lib/one
  dd if=/dev/zero of=/var/lib/one/filler bs=4k 2>/dev/null || true
fi
if [ "\${LAMPS:-}" = 1 ]; then
  # A GPIO chip of plain files, where sysfs has them; they are seen from outside in the bed's directory.
  mount -t tmpfs tmpfs /sys/class
  mkdir -p /sys/class/gpio "$BED/gpio/gpiochip512"
  mount --bind "$BED/gpio" /sys/class/gpio
  cd /sys/class/gpio
  echo panel >gpiochip512/label; echo 512 >gpiochip512/base; echo 8 >gpiochip512/ngpio
  for line in gpio512 gpio513 gpio514 gpio515; do
    mkdir -p $line
    echo 0 >$line/value; echo in >$line/direction; echo 0 >$line/active_low
  done
  : >export; : >unexport
  cd /
fi
exec "$@"
`;

export class ConsoleBed {
  readonly directory = mkdtempSync(join(tmpdir(), "console-"));
  readonly far = new FarEnd();
  readonly #children: ChildProcess[] = [];

  constructor({ hasPassword = true } = {}) {
    for (const name of ["etc", "lib", "log", "run"]) mkdirSync(`${this.directory}/${name}`);
    if (!hasPassword) return;
    mkdirSync(`${this.directory}/lib/.one`);
    writeFileSync(`${this.directory}/lib/.one/one_auth`, `oneadmin:${PASSWORD}\n`);
  }

  /** Starts a program of the product in the bed. */
  run(
    words: readonly string[],
    options: { readonly isFull?: boolean; readonly hasLamps?: boolean; readonly stdin?: string } = {},
  ): ChildProcess {
    const child = spawn(
      "unshare",
      ["--mount", "--uts", "--net", "--propagation", "private", "sh", "-c", SET_UP, "sh", process.execPath, ...words],
      {
        stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
        env: {
          ...process.env,
          BED: this.directory,
          FULL: options.isFull === true ? "1" : "",
          LAMPS: options.hasLamps === true ? "1" : "",
        },
      },
    );
    if (options.stdin !== undefined) child.stdin?.end(options.stdin);
    this.#children.push(child);
    return child;
  }

  /** Starts the console on the line; its standard error is what a test fails with. */
  start(options: { readonly isFull?: boolean } = {}): ChildProcess {
    const child = this.run([`${SOURCE}/console.ts`, this.far.path, "9600"], options);
    child.stderr?.on("data", (text: Buffer) => {
      this.far.text += `\n[console: ${text.toString()}]`;
    });
    return child;
  }

  /** A command line of the product, to its end. */
  async command(words: readonly string[], stdin = ""): Promise<{ code: number | null; out: string; err: string }> {
    const child = this.run([`${SOURCE}/cli/main.ts`, ...words], { stdin });
    let [out, err] = ["", ""];
    child.stdout?.on("data", (text: Buffer) => {
      out += text.toString();
    });
    child.stderr?.on("data", (text: Buffer) => {
      err += text.toString();
    });
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
  }

  /** Types, and waits for what is said to it. */
  async say(text: string, answer: RegExp): Promise<string> {
    const from = this.far.text.length;
    this.far.send(text);
    return this.far.expect(answer, from);
  }

  /** A dangerous action, typed as a person does, to its answer. */
  async dangerous(command: string, answer: RegExp, password = PASSWORD): Promise<string> {
    await this.say(`${command}\r`, /Password: $/);
    await this.say(`${password}\r`, /type this box's name: $/);
    return this.say(`${BOX}\r`, answer);
  }

  get records(): readonly ConsoleRecord[] {
    return [`${this.directory}/lib/console-records`, `${this.directory}/run/console-records`].flatMap((path) =>
      existsSync(path)
        ? // What is being written lies beside it under another name.
          readdirSync(path)
            .filter((name) => name.endsWith(".json"))
            .map((name) => JSON.parse(readFileSync(`${path}/${name}`, "utf8")) as ConsoleRecord)
        : [],
    );
  }

  /** As if so much time had passed since the last password. */
  forgetTime(): void {
    const path = `${this.directory}/run/console-attempts.json`;
    const attempts = JSON.parse(readFileSync(path, "utf8")) as { wrong: number };
    writeFileSync(path, JSON.stringify({ ...attempts, lastAt: -1e9 }));
  }

  async end(): Promise<void> {
    this.far.hangUp();
    for (const child of this.#children) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.on("exit", resolve));
    }
    rmSync(this.directory, { recursive: true });
  }
}

export async function withConsole(
  story: (bed: ConsoleBed) => Promise<void>,
  options: { readonly hasPassword?: boolean; readonly isFull?: boolean } = {},
): Promise<void> {
  const bed = new ConsoleBed(options);
  try {
    bed.start(options);
    await bed.far.expect(new RegExp(`${BOX}> $`));
    await story(bed);
  } finally {
    await bed.end();
  }
}

/** The exit code of a process that ends by itself. */
export async function exitOf(child: ChildProcess, withinMs = 15_000): Promise<number | null> {
  for (const end = performance.now() + withinMs; child.exitCode === null; await Bun.sleep(20))
    assert.ok(performance.now() < end, "the process has not ended");
  return child.exitCode;
}
