/** The simulated BMC as a process: its arguments, its power program, its control socket. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { IpmiError } from "../../../src/node-ipmi/errors.ts";
import { openSession } from "../../../src/node-ipmi/open-session.ts";

const MAIN = join(import.meta.dirname, "../../../src/node-ipmi/bmc/main.ts");
const directory = mkdtempSync(join(tmpdir(), "bmc-process-"));
const powerFile = join(directory, "power");
const program = join(directory, "power-program");
const control = join(directory, "control.sock");
writeFileSync(join(directory, "password"), "secret\n");
writeFileSync(
  program,
  `#!/bin/sh\ncase "$2" in\nget) cat ${powerFile} ;;\non|off) echo "$2" > ${powerFile} ;;\nreset) echo on > ${powerFile} ;;\nesac\n`,
  { mode: 0o755 },
);

test("it serves power through the program, takes faults on the socket, and ends on SIGTERM", async () => {
  writeFileSync(powerFile, "on\n");
  const child = start(["--listen", "127.0.0.1:0"]);
  try {
    const port = Number((await firstLine(child)).split(":").at(-1));
    const open = () => openSession({ address: "127.0.0.1", port, user: "admin", password: "secret" });
    const session = await open();
    assert.is(session.guid.toString("hex"), "00112233445566778899aabbccddeeff");
    await session.power("off");
    assert.is(readFileSync(powerFile, "utf8"), "off\n");
    assert.is((await session.chassisStatus()).isPowerOn, false);
    await session.close();

    assert.equal(await ask({ fault: "slots-full" }), { ok: true, faults: [{ fault: "slots-full" }] });
    const code = await open().catch((error: unknown) => (error instanceof IpmiError ? error.code : error));
    assert.is(code, "no-resources");
    assert.equal(await ask({ fault: "none" }), { ok: true, faults: [] });
    const status = (await ask({ status: true })) as { power: string; changes: string[] };
    assert.is(status.power, "off");
    assert.equal(status.changes, ["off"]);
    assert.is(((await ask({ fault: "lies" })) as { ok: boolean }).ok, false);
    assert.is(((await ask({ fault: "no such" })) as { ok: boolean }).ok, false);

    // The power program fails: the BMC says that it cannot, and goes on.
    writeFileSync(powerFile, "smoke\n");
    const again = await open();
    const failed = await again
      .chassisStatus()
      .catch((error: unknown) => (error instanceof IpmiError ? error.code : error));
    assert.is(failed, "completion-code");
    writeFileSync(powerFile, "on\n");
    assert.is((await again.chassisStatus()).isPowerOn, true);
    await again.close();
  } finally {
    child.kill("SIGTERM");
  }
  assert.is(await exitCode(child), 0);
});

test("wrong arguments end it with a reason and code 2", async () => {
  const child = start(["--listen", "nowhere"]);
  const reason = await new Promise<string>((resolve) => child.stderr?.once("data", (text) => resolve(String(text))));
  assert.match(reason, '--listen "nowhere" is not ADDRESS:PORT');
  assert.is(await exitCode(child), 2);
});

test.after(() => rmSync(directory, { recursive: true, force: true }));

function start(words: readonly string[]): ChildProcess {
  const fixed = ["--user", "admin", "--password-file", join(directory, "password"), "--control", control];
  const host = ["--guid", "00112233445566778899aabbccddeeff", "--power-command", `${program} node7`];
  return spawn(process.execPath, [MAIN, ...words, ...fixed, ...host], { stdio: ["ignore", "pipe", "pipe"] });
}

function firstLine(child: ChildProcess): Promise<string> {
  const output = child.stdout;
  if (!output) throw new Error("the process has no standard output");
  return new Promise((resolve, reject) => {
    createInterface({ input: output }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`the BMC ended with ${code} before it listened`)));
  });
}

function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once("exit", resolve));
}

function ask(request: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(control, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.once("error", reject);
    createInterface({ input: socket }).once("line", (line) => {
      socket.end();
      resolve(JSON.parse(line));
    });
  });
}

test.run();
