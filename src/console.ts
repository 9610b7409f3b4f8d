/**
 * The recovery console: one process a line, a child of the supervisor (`console.ts DEVICE BAUD`), or one action for a
 * program (`console.ts --exec ACTION WORDS`). It works with main dead, without quorum, network or room on the disk; so it
 * must never need any of them, and what it asks of them has a time limit. A line that hangs up ends the process in order,
 * and the supervisor starts the next one.
 */
import { basename } from "node:path";
import { SerialPortStream } from "@serialport/stream";
import description from "../package.json";
import { errorChain } from "./base/error.ts";
import { ConsoleDriver } from "./console/driver.ts";
import type { ActionResult } from "./console/types.ts";
import { dieWithParent } from "./linux/process.ts";
import { serialBinding } from "./linux/serial/binding.ts";
import { consolePorts } from "./parts/console-ports.ts";
import { runShell } from "./parts/console-shell.ts";

/** Questions are taken back after two minutes: a second more or less does not matter. */
const TICK_MS = 1000;
/** What may wait for a line that takes nothing (a terminal with its flow stopped); more is left out. */
const WAITING_BYTES_MAX = 64 * 1024;
const { version } = description;

async function main(): Promise<void> {
  const parentId = process.env["RINGFENCE_PARENT"];
  if (parentId !== undefined && !dieWithParent(Number(parentId))) process.exit(0);
  const [first = "", ...rest] = process.argv.slice(2);
  if (first === "--exec") execute(rest.join(" "));
  else await serve(first, Number(rest[0]));
}

/** A person's line, until it hangs up. */
async function serve(device: string, baudRate: number): Promise<void> {
  // hupcl off: a terminal server takes a falling DTR for the end of the machine.
  const port = new SerialPortStream({ binding: serialBinding, path: device, baudRate, autoOpen: false, hupcl: false });
  await open(port);
  const shell = async (): Promise<ActionResult> => {
    // The line is the shell's alone meanwhile: a read of ours that waits would take its first keys.
    await new Promise<void>((resolve) => port.drain(() => resolve()));
    await new Promise<void>((resolve) => port.close(() => resolve()));
    try {
      return await runShell(device);
    } finally {
      await open(port);
    }
  };
  const driver = new ConsoleDriver(
    consolePorts({
      ...{ version, shell },
      write: (text) => {
        if (port.writableLength < WAITING_BYTES_MAX) port.write(text);
      },
      end: () => process.exit(0),
    }),
    { line: basename(device) },
  );
  port.on("data", (bytes: Buffer) => driver.receive(bytes));
  port.on("error", () => driver.hangUp());
  port.on("close", (lost: Error | null) => {
    if (lost !== null) driver.hangUp();
  });
  setInterval(() => driver.tick(), TICK_MS);
  driver.start();
}

function open(port: SerialPortStream): Promise<void> {
  return new Promise((resolve, reject) => port.open((error) => (error === null ? resolve() : reject(error))));
}

/** One command of a program, or of a person's shell. The exit code says whether it was done. */
function execute(command: string): void {
  const { stdin, stdout } = process;
  const isTerminal = stdin.isTTY === true;
  const driver = new ConsoleDriver(
    consolePorts({
      version,
      shell: undefined,
      write: (text) => stdout.write(isTerminal ? text : text.replaceAll("\r\n", "\n")),
      end: (isDone) => {
        if (isTerminal) stdin.setRawMode(false);
        // What was written to a pipe is taken before the end.
        stdout.write("", () => process.exit(isDone ? 0 : 1));
      },
    }),
    // Raw on a terminal, so that a password is not shown; a pipe gets nothing back of what it brought.
    { line: "exec", isSingle: true, isEchoing: isTerminal },
  );
  if (isTerminal) stdin.setRawMode(true);
  stdin.on("data", (bytes: Buffer) => driver.receive(bytes));
  stdin.on("end", () => driver.endInput());
  stdin.on("error", () => driver.endInput());
  driver.command(command);
}

main().catch((error: unknown) => {
  console.error(errorChain(error));
  process.exit(1);
});
