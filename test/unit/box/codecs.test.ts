import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseBootReport } from "../../../src/box/boot-report.ts";
import { openBundle } from "../../../src/box/bundle.ts";
import { formatRelease, parseRelease } from "../../../src/box/release.ts";
import { decodeFooter, FOOTER_BYTES } from "../../../src/box/slot-footer.ts";
import { bundleOf, chunksOf, contentOf, footerOf, release, updateKey } from "../../support/box/bundles.ts";

const KEY = updateKey();
const OTHER = updateKey();

async function drain(bundle: Uint8Array, verify = KEY.verify, chunk = 1000): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of (await openBundle(chunksOf(bundle, chunk), verify)).content())
    parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "",
    (error: unknown) => (error as { code: string }).code,
  );
}

test("a release is read as it was written, and what cannot be right is named", () => {
  assert.equal(parseRelease(formatRelease(release())), release());
  assert.is(
    parseRelease(formatRelease(release({ imageBytes: 100, key: "own" as "test" }))),
    "imageBytes, key cannot be right",
  );
  const signed = release({ bootKey: "0a".repeat(20) });
  assert.equal(parseRelease(formatRelease(signed)), signed);
  assert.is(parseRelease(formatRelease(release({ bootKey: "0A" }))), "bootKey cannot be right");
  assert.is(parseRelease("{"), "it is no JSON");
  assert.is(parseRelease("null"), "it is no object");
});

test("a footer holds exactly the signed text", () => {
  const footer = footerOf(KEY, release());
  assert.is(footer.length, FOOTER_BYTES);
  const read = decodeFooter(footer, KEY.verify);
  assert.ok(typeof read !== "string");
  assert.equal(read.release, release());
  assert.is(decodeFooter(footer, OTHER.verify), "its signature is not of this image's key");
  assert.is(decodeFooter(new Uint8Array(FOOTER_BYTES), KEY.verify), "there is none");
});

test("a footer with any bit turned in it is none", () => {
  const footer = footerOf(KEY, release());
  const used = 12 + formatRelease(release()).length + 64;
  for (let at = 0; at < used; at++) {
    const turned = footer.slice();
    turned[at] = (turned[at] ?? 0) ^ 1;
    assert.type(decodeFooter(turned, KEY.verify), "string", `byte ${at}`);
  }
});

test("a bundle gives its footer before and its content as it was, in whatever chunks it comes", async () => {
  const content = contentOf(release());
  const bundle = bundleOf(KEY, release(), content);
  for (const chunk of [1, 7, 4096, bundle.length])
    assert.equal(await drain(bundle, KEY.verify, chunk), Buffer.from(content));
});

test("a bundle that ends early, goes on, is changed or is another's is refused with its reason", async () => {
  const bundle = bundleOf(KEY, release(), contentOf(release()));
  for (const length of [0, 5, 11, 200, bundle.length - 20_000, bundle.length - 1])
    assert.is(await codeOf(drain(bundle.subarray(0, length))), "bundle-truncated", `${length} bytes`);
  assert.is(await codeOf(drain(Buffer.concat([bundle, Buffer.of(0)]))), "bundle-damaged");
  const turned = (at: number): Uint8Array => {
    const copy = Uint8Array.from(bundle);
    copy[at] = (copy[at] ?? 0) ^ 4;
    return copy;
  };
  assert.is(await codeOf(drain(turned(bundle.length - 1))), "bundle-damaged");
  assert.is(await codeOf(drain(turned(30))), "bundle-signature");
  assert.is(await codeOf(drain(turned(2))), "bundle-foreign");
  assert.is(await codeOf(drain(bundle, OTHER.verify)), "bundle-signature");
});

test("a boot report is read, with and without a data partition", () => {
  const given = {
    ...{ slot: "B", try: 2, mode: "recovery", disk: "/dev/vda", esp: "/dev/vda2", data: null, dataWhy: "no ext4" },
    ...{ slots: { A: "/dev/vda3", B: "/dev/vda4" }, footer: release(), verity: true, why: "" },
  };
  const read = parseBootReport(JSON.stringify(given));
  assert.ok(typeof read !== "string");
  assert.equal([read.slot, read.try, read.mode, read.data, read.isVerified], ["B", 2, "recovery", undefined, true]);
  assert.is(read.bootKey, undefined);
  const bootKey = "0a".repeat(20);
  assert.equal(parseBootReport(JSON.stringify({ ...given, bootKey })), { ...read, bootKey });
  assert.is(parseBootReport(JSON.stringify({ ...given, esp: 3 })), "a device is missing");
  assert.type(parseBootReport("[]"), "string");
});

test.run();
