// A bundle on its way to a box that forgets what it had: sent anew, but not for ever, and not against another update.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { RpcArgument } from "../../../src/cli/client/codec.ts";
import type { Rpc } from "../../../src/cli/client/rpc.ts";
import { CommandFailure } from "../../../src/cli/failure.ts";
import { UPLOAD_LOST } from "../../../src/cli/ringfence/answers.ts";
import { send } from "../../../src/cli/ringfence/update.ts";

/** Three pieces. */
const BYTES = 2_500_000;

/** A box whose program is started again at each of these calls, and what it was told. */
function aBox(forgets: readonly number[], words = UPLOAD_LOST) {
  const begun: number[] = [];
  const calls: string[] = [];
  let got = 0;
  const answer = (kind: string): string => JSON.stringify({ kind, bytes: got, why: "", slot: "B", version: "0.2.0" });
  const transfer = async (method: string, ..._args: readonly RpcArgument[]): Promise<string> => {
    calls.push(method);
    if (method === "ringfence.update.begin") {
      got = 0;
      begun.push(calls.length);
      return "upload";
    }
    if (forgets.includes(calls.length)) throw new CommandFailure(`[${method}] ${words}.`);
    assert.is(got, BYTES);
    return answer(method === "ringfence.update.end" ? "installing" : "installed");
  };
  const upload = async (id: string, at: number, bytes: Uint8Array): Promise<string> => {
    calls.push("upload");
    if (forgets.includes(calls.length)) throw new CommandFailure(words);
    assert.equal([id, at, bytes.every((byte) => byte === 7)], ["upload", got, true]);
    got += bytes.length;
    return answer("receiving");
  };
  return { rpc: { transfer, upload } as unknown as Rpc, begun };
}

async function sendTo(rpc: Rpc): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "send-"));
  const file = `${directory}/bundle`;
  writeFileSync(file, Buffer.alloc(BYTES, 7));
  try {
    return (await send(rpc, { file }, false)).slot;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("it goes through at once", async () => {
  const box = aBox([]);
  assert.is(await sendTo(box.rpc), "B");
  assert.is(box.begun.length, 1);
});

test("a box that was started again, in the middle and while it wrote the rest, is sent all of it anew", async () => {
  const box = aBox([3, 9]);
  assert.is(await sendTo(box.rpc), "B");
  assert.equal(box.begun, [1, 4, 10]);
});

test("after three times it is told", async () => {
  const box = aBox([2, 4, 6]);
  const said = await sendTo(box.rpc).catch(String);
  assert.match(said, /program was started again/);
  assert.equal(box.begun, [1, 3, 5]);
});

test("another update in its place is not fought", async () => {
  const box = aBox([3], "Another update was begun in place of this one");
  assert.match(await sendTo(box.rpc).catch(String), /Another update was begun/);
  assert.is(box.begun.length, 1);
});

test.run();
