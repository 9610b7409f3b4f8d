import { createHash } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { CodedError } from "../src/base/error.ts";
import { command } from "./command.ts";
import { type BlockDevice, describeDevice, whyNotFlash } from "./flash-guard.ts";

const CHUNK_BYTES = 4 * 1024 * 1024;
/** GPT's second copy: 32 sectors of entries and one of header, the last of the disk. An older system's must not be found there. */
const SECOND_TABLE_BYTES = 33 * 512;

/** Writes the image to the device, and reads it back. Throws `flash` with every reason against it. */
export async function flash(image: string, path: string, isFixedAllowed: boolean): Promise<void> {
  const device = await lookAt(path);
  const imageBytes = statSync(image).size;
  const reasons = whyNotFlash(device, imageBytes, isFixedAllowed);
  if (reasons.length > 0)
    throw new CodedError("flash", `Nothing was written:\n${reasons.map((why) => `  ${why}`).join("\n")}`);
  console.error(`All that is on ${describeDevice(device)} will be lost.`);
  const answer = await ask(`Type the device's name again to go on: `);
  if (answer.trim() !== path) throw new CodedError("flash", `Nothing was written: "${answer.trim()}" is not ${path}`);
  const sum = write(image, path, device.size);
  await command(["blockdev", "--flushbufs", path]);
  verify(path, imageBytes, sum);
  console.error(`${path} is ready: put it into a box and switch it on.`);
}

async function lookAt(path: string): Promise<BlockDevice> {
  const columns = "PATH,TYPE,SIZE,RO,RM,HOTPLUG,TRAN,MODEL,MOUNTPOINTS";
  const text = await command(["lsblk", "--json", "--bytes", "--output", columns, path]).catch((error: unknown) => {
    throw new CodedError("flash", `Nothing was written: "${path}" is no block device`, error);
  });
  const [device] = (JSON.parse(text) as { readonly blockdevices: readonly BlockDevice[] }).blockdevices;
  if (device === undefined) throw new CodedError("flash", `Nothing was written: "${path}" is no block device`);
  return device;
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** Gives the SHA-256 of what was written. */
function write(image: string, path: string, deviceBytes: number): string {
  const from = openSync(image, constants.O_RDONLY);
  // O_EXCL on a block device: not while anything of it is mounted, also when that happened after we looked.
  const to = openSync(path, constants.O_WRONLY | constants.O_EXCL);
  try {
    const hash = createHash("sha256");
    const total = statSync(image).size;
    const progress = openProgress("writes", total);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < total; ) {
      const length = readSync(from, chunk, 0, chunk.length, at);
      if (length === 0) throw new CodedError("flash", `Cannot read "${image}" beyond ${at} bytes`);
      hash.update(chunk.subarray(0, length));
      for (let done = 0; done < length; ) done += writeSync(to, chunk, done, length - done, at + done);
      at += length;
      // Now and not at the end, so that the progress is the disk's and not the memory's.
      fsyncSync(to);
      progress(at);
    }
    const second = deviceBytes - SECOND_TABLE_BYTES;
    if (second >= total) writeSync(to, Buffer.alloc(SECOND_TABLE_BYTES), 0, SECOND_TABLE_BYTES, second);
    fsyncSync(to);
    return hash.digest("hex");
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

function verify(path: string, total: number, sum: string): void {
  const from = openSync(path, constants.O_RDONLY);
  try {
    const hash = createHash("sha256");
    const progress = openProgress("reads back", total);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < total; ) {
      const length = readSync(from, chunk, 0, Math.min(chunk.length, total - at), at);
      if (length === 0) break;
      hash.update(chunk.subarray(0, length));
      at += length;
      progress(at);
    }
    if (hash.digest("hex") !== sum)
      throw new CodedError("flash", `${path} does not give back what was written to it: use another one`);
  } finally {
    closeSync(from);
  }
}

/** Shows how far it is, on a terminal in one line that changes. */
function openProgress(what: string, total: number): (done: number) => void {
  const isTerminal = process.stderr.isTTY === true;
  let shown = -1;
  return (done) => {
    const percent = Math.floor((done / total) * 100);
    if (percent === shown || (!isTerminal && percent % 25 !== 0)) return;
    shown = percent;
    process.stderr.write(`${isTerminal ? "\r" : ""}${what} ${percent} %${!isTerminal || percent === 100 ? "\n" : ""}`);
  };
}
