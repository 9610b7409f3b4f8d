// The example of src/raft/README.md runs as it stands: it is taken out of the page, put beside the core, and started.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";

const RAFT = resolve(import.meta.dir, "../../../src/raft");

test("the example of the README elects a leader and commits on three cores", async () => {
  const page = readFileSync(join(RAFT, "README.md"), "utf8");
  const examples = [...page.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? "");
  assert.is(examples.length, 1);
  const folder = mkdtempSync(join(tmpdir(), "raft-readme-"));
  try {
    const path = join(folder, "example.ts");
    writeFileSync(
      path,
      (examples[0] ?? "").replace(/from "(\.[^"]+)"/g, (_, name) => `from "${resolve(RAFT, name)}"`),
    );
    const { states } = (await import(path)) as { states: string[][] };
    assert.equal(states, [["hello"], ["hello"], ["hello"]]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("every option and every input is on the page", () => {
  const page = readFileSync(join(RAFT, "README.md"), "utf8");
  const types = readFileSync(join(RAFT, "types.ts"), "utf8");
  const body = (name: string): string => types.split(`export interface ${name} `)[1]?.split("\n}")[0] ?? "";
  const fields = [...body("Options").matchAll(/^ {2}readonly (\w+)/gm)].map((match) => match[1] ?? "");
  const inputs = [...body("RaftNode").matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1] ?? "");
  assert.ok(fields.length >= 10 && inputs.length >= 15);
  const missing = [...fields, ...inputs].filter((name) => name !== "hasReady" && !page.includes(name));
  assert.equal(missing, []);
});

test.run();
