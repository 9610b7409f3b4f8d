/** All commands of a box: `main.ts onehost list`. The first word is the name of the program. */
import { readFileSync, readSync, writeSync } from "node:fs";
import type { Program } from "./command.ts";
import { run } from "./run.ts";
import type { Terminal } from "./terminal.ts";

/** Program → its file, loaded only when it is wanted: a command starts in the time of one noun. */
const programs: Readonly<Record<string, () => Promise<Program>>> = {
  onezone: async () => (await import("./nouns/zone.ts")).ZONE_PROGRAM,
  onehost: async () => (await import("./nouns/host.ts")).HOST_PROGRAM,
  onevm: async () => (await import("./nouns/vm.ts")).VM_PROGRAM,
  onetemplate: async () => (await import("./nouns/template.ts")).TEMPLATE_PROGRAM,
  oneuser: async () => (await import("./nouns/user.ts")).USER_PROGRAM,
  onedatastore: async () => (await import("./nouns/datastore.ts")).DATASTORE_PROGRAM,
  oneimage: async () => (await import("./nouns/image.ts")).IMAGE_PROGRAM,
  onedb: async () => (await import("./nouns/database.ts")).DATABASE_PROGRAM,
  ringfence: async () => (await import("./ringfence/program.ts")).RINGFENCE_PROGRAM,
};

const terminal: Terminal = {
  out: (text) => writeAll(1, text),
  err: (text) => writeAll(2, text),
  isTty: process.stdout.isTTY === true,
  columns: process.stdout.columns ?? 80,
  env: process.env,
  readInput: () => readFileSync(0, "utf8"),
  ask: (question) => {
    if (process.stdin.isTTY !== true) return "";
    process.stderr.write(question);
    return readLine();
  },
  now: () => Date.now(),
};

/** What a shell reports of a program that wrote into a pipe which nobody reads any more (128 + SIGPIPE). */
const EXIT_PIPE_CLOSED = 141;

/** Written when it returns, so that the two outputs keep their order. A reader like `head` may leave at any time. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EPIPE") process.exit(EXIT_PIPE_CLOSED);
      // A terminal or pipe that another program made non-blocking and that is full: its reader will go on.
      if (code === "EAGAIN") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      else throw error;
    }
  }
}

/** One line of standard input. */
function readLine(): string {
  const byte = Buffer.alloc(1);
  const bytes: number[] = [];
  while (readSync(0, byte) === 1 && byte[0] !== 10) bytes.push(byte[0] ?? 0);
  return Buffer.from(bytes).toString("utf8").trimEnd();
}

async function version(): Promise<string> {
  const { default: description } = await import("../../package.json");
  return `ringfence ${description.version}`;
}

const [name = "", ...argv] = process.argv.slice(2);
const load = programs[name];
if (load === undefined) {
  terminal.err(`There is no command "${name}"; the commands are ${Object.keys(programs).join(" ")}\n`);
  process.exitCode = 255;
} else {
  process.exitCode = await run(await load(), argv, terminal, await version());
}
