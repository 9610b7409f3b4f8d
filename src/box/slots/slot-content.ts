import { createHash } from "node:crypto";
import { CodedError } from "../../base/error.ts";
import type { Verify } from "../signature.ts";
import { decodeFooter, FOOTER_BYTES, type Footer } from "../slot-footer.ts";
import type { SlotDevice } from "./ports.ts";

/**
 * The first block of a slot holds the squashfs's superblock: without it GRUB finds no kernel there. It is written after
 * all others, so that half a slot boots not even where both copies of the environment are lost.
 */
export const FIRST_BLOCK_BYTES = 4096;
const READ_BYTES = 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;

/** A string says why the slot holds nothing that may run here. */
export async function readSlot(device: SlotDevice, verify: Verify): Promise<Footer | string> {
  return decodeFooter(await device.read(device.sizeBytes - FOOTER_BYTES, FOOTER_BYTES), verify);
}

/** Makes the slot empty: no footer and no superblock, durably. */
export async function clearSlot(device: SlotDevice): Promise<void> {
  await device.write(device.sizeBytes - FOOTER_BYTES, new Uint8Array(FOOTER_BYTES));
  await device.write(0, new Uint8Array(FIRST_BLOCK_BYTES));
  await device.sync();
}

/** Writes all but the first block, and returns that. `progressed` gets the bytes that came so far, of each MiB. */
export async function writeContent(
  device: SlotDevice,
  content: AsyncIterable<Uint8Array>,
  progressed: (bytes: number) => void,
): Promise<Uint8Array> {
  const first = new Uint8Array(FIRST_BLOCK_BYTES);
  const buffer = new Uint8Array(WRITE_BYTES);
  /** Of the content: bytes that came, and of those the ones in `buffer`. */
  let came = 0;
  let waiting = 0;
  const flush = async (): Promise<void> => {
    if (waiting === 0) return;
    await device.write(came - waiting, buffer.subarray(0, waiting));
    waiting = 0;
    progressed(came);
  };
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length; ) {
      const isFirst = came < FIRST_BLOCK_BYTES;
      const room = isFirst ? FIRST_BLOCK_BYTES - came : WRITE_BYTES - waiting;
      const part = chunk.subarray(at, at + room);
      if (isFirst) first.set(part, came);
      else {
        buffer.set(part, waiting);
        waiting += part.length;
      }
      came += part.length;
      at += part.length;
      if (waiting === WRITE_BYTES) await flush();
    }
  }
  await flush();
  return first;
}

/** Reads the slot back. Throws `slot-damaged` when the device does not have what was written. */
export async function verifyContent(device: SlotDevice, sizeBytes: number, sha256: string): Promise<void> {
  const hash = createHash("sha256");
  for (let at = 0; at < sizeBytes; at += READ_BYTES)
    hash.update(await device.read(at, Math.min(READ_BYTES, sizeBytes - at)));
  if (hash.digest("hex") !== sha256)
    throw new CodedError("slot-damaged", "The slot does not hold what was written to it: its disk is bad");
}
