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

/** Brings a piece until it is taken, as a sender does. */
async function bring(one: Upload, at: number, bytes: Uint8Array): Promise<void> {
  while ((await one.put(at, bytes)).kind === "receiving" && one.state.bytes < at + bytes.length);
}

test("pieces arrive in order, once, also when calls are repeated", async () => {
  const { one, taken } = upload();
  await bring(one, 0, Uint8Array.of(1, 2));
  assert.is((await one.put(0, Uint8Array.of(1, 2))).bytes, 2);
  await bring(one, 2, Uint8Array.of(3));
  one.end();
  one.end();
  await one.done;
  assert.equal(taken, [1, 2, 3]);
  assert.equal(one.state, { kind: "installed", bytes: 3, why: "", slot: "B", version: "0.2.0", build: "abc" });
});

test("a second piece is taken when the first is written, once, also when its call is repeated meanwhile", async () => {
  const written = Promise.withResolvers<void>();
  const one = new Upload(async (chunks) => {
    for await (const _ of chunks) await written.promise;
    return NEW;
  });
  await bring(one, 0, Uint8Array.of(1));
  const [second, again] = [one.put(1, Uint8Array.of(2)), one.put(1, Uint8Array.of(2))];
  await Bun.sleep(20);
  assert.is(one.state.bytes, 1);
  written.resolve();
  assert.is((await second).bytes, 2);
  assert.is((await again).bytes, 2);
  one.end();
  await one.done;
});

test("a piece that waited too long for the one before is not taken, and may be brought again", async () => {
  const written = Promise.withResolvers<void>();
  const install = async (chunks: AsyncIterable<Uint8Array>) => {
    for await (const _ of chunks) await written.promise;
    return NEW;
  };
  const one = new Upload(install, 60_000, 10);
  await bring(one, 0, Uint8Array.of(1));
  assert.is((await one.put(1, Uint8Array.of(2))).bytes, 1);
  written.resolve();
  await bring(one, 1, Uint8Array.of(2));
  assert.is(one.state.bytes, 2);
  one.end();
  await one.done;
});

test("a piece that leaves a gap is refused with what is next; after the end none is taken", async () => {
  const { one } = upload();
  await bring(one, 0, Uint8Array.of(1));
  const why = await one.put(5, Uint8Array.of(6)).then(String, String);
  assert.match(why, /from 1 on are next, not those from 5 on/);
  one.end();
  await one.done;
  assert.is((await one.put(1, Uint8Array.of(2))).bytes, 1);
});

test("an installation that fails says why to all pieces that come later", async () => {
  const { one } = upload({ fails: "the disk is bad" });
  await bring(one, 0, Uint8Array.of(1));
  await one.done;
  assert.equal([one.state.kind, one.state.why], ["failed", "the disk is bad"]);
  assert.is((await one.put(1, Uint8Array.of(2))).kind, "failed");
  one.end();
  assert.is(one.state.kind, "failed");
});

test("an update that is given up has ended before the next one begins", async () => {
  const { one, taken } = upload();
  await bring(one, 0, Uint8Array.of(1));
  await one.giveUp();
  assert.is(one.state.kind, "failed");
  assert.match(one.state.why, /Another update was begun/);
  assert.equal(taken, [1]);
});

test("a sender that has gone ends the installation as a bundle that is cut off", async () => {
  const { one } = upload({ silentMs: 50 });
  await bring(one, 0, Uint8Array.of(1));
  await one.done;
  assert.match(one.state.why, /Nothing came for 0.05 s, after 1 bytes/);
});

test.run();
