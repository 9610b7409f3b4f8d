// The commands as processes: exit codes as a shell sees them, and a reader that leaves.
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fakeFrontEnd } from "./fake-front-end.ts";

const MAIN = join(import.meta.dir, "../../../src/cli/main.ts");

/** A pool that is larger than any pipe keeps. */
const LARGE = `<HOST_POOL>${Array.from({ length: 5_000 }, (_, id) => `<HOST><ID>${id}</ID><NAME>h${id}</NAME><STATE>2</STATE></HOST>`).join("")}</HOST_POOL>`;

async function shell(script: string): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const frontEnd = fakeFrontEnd(() => ({ value: LARGE }));
  const child = Bun.spawn(["bash", "-c", `run() { "$BUN" "$MAIN" "$@"; }; ${script}`], {
    env: {
      PATH: process.env["PATH"],
      BUN: process.execPath,
      MAIN,
      ONE_XMLRPC: frontEnd.endpoint,
      ONE_AUTH: "/dev/stdin",
    },
    stdin: Buffer.from("oneadmin:pw\n"),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  await frontEnd.stop();
  return { code, out, err };
}

test("a large list arrives whole, and the exit code is 0", async () => {
  const { code, out, err } = await shell("run onehost list --no-header --user a --password b");
  assert.is(err, "");
  assert.is(code, 0);
  assert.is(out.split("\n").length, 5_001);
  assert.match(out, /\n4999 h4999 .*on\n$/);
});

test("a reader that leaves ends the command quietly", async () => {
  const { code, out, err } = await shell("set -o pipefail; run onehost list --user a --password b | head -1");
  assert.is(err, "");
  assert.match(out, /STAT\n$/);
  assert.is(code, 141);
});

test("help is 0, what is unknown is 255, and so is a program that is none", async () => {
  assert.is((await shell("run onehost --help")).code, 0);
  assert.match((await shell("run onehost --version")).out, /^ringfence \d+\.\d+\.\d+\n$/);
  const unknown = await shell("run onehost frobnicate");
  assert.is(unknown.code, 255);
  assert.is(unknown.err, "Command 'frobnicate' not found\n");
  const none = await shell("run onemarket list");
  assert.is(none.code, 255);
  assert.match(none.err, /^There is no command "onemarket"; the commands are onezone /);
});

test.run();
