import { test } from "uvu";
import * as assert from "uvu/assert";
import { Upload } from "../../../src/parts/update-upload.ts";

const NEW = { slot: "B", release: { version: "0.2.0", build: "abc" } };

/** Takes all and gives it to `taken`, as an installation does; what the upload is told it ends with. */
function upload(options: { readonly silentMs?: number; readonly fails?: string } = {}) {
  const taken: number[] = [];
  const one = new Upload(async (chunks) => {
    for await (const chunk of chunks) {
      taken.push(...chunk);
      if (options.fails !== undefined) throw new Error(options.fails);
    }
    return NEW;
  }, options.silentMs ?? 60_000);
  return { one, taken };
}

test("pieces arrive in order, once, also when calls are repeated", async () => {
  const { one, taken } = upload();
  assert.is(await one.put(0, Uint8Array.of(1, 2)), 2);
  assert.is(await one.put(0, Uint8Array.of(1, 2)), 2);
  assert.is(await one.put(2, Uint8Array.of(3)), 3);
  one.end();
  one.end();
  await one.done;
  assert.equal(taken, [1, 2, 3]);
  assert.equal(one.state, { kind: "installed", bytes: 3, why: "", slot: "B", version: "0.2.0", build: "abc" });
});

test("a piece that leaves a gap, or comes after the end, is refused with what is next", async () => {
  const { one } = upload();
  await one.put(0, Uint8Array.of(1));
  const why = await one.put(5, Uint8Array.of(6)).catch((error: unknown) => String(error));
  assert.match(String(why), /from 1 on are next, not those from 5 on/);
  one.end();
  await one.done;
  assert.is(await one.put(1, Uint8Array.of(2)), 1);
});

test("an installation that fails says why to the piece that is under way and to all later ones", async () => {
  const { one } = upload({ fails: "the disk is bad" });
  await one.put(0, Uint8Array.of(1));
  assert.equal([one.state.kind, one.state.why], ["failed", "the disk is bad"]);
  await one.put(1, Uint8Array.of(2));
  one.end();
  assert.is(one.state.kind, "failed");
});

test("a sender that has gone ends the installation as a bundle that is cut off", async () => {
  const { one } = upload({ silentMs: 50 });
  await one.put(0, Uint8Array.of(1));
  await one.done;
  assert.match(one.state.why, /Nothing came for 0.05 s, after 1 bytes/);
});

test.run();
