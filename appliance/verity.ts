import { createHash } from "node:crypto";

/** dm-verity's data and hash blocks here, bytes. */
export const BLOCK_BYTES = 4096;
const DIGEST_BYTES = 32;

/**
 * dm-verity's hash tree over `data` (whole blocks), format 1: BLAKE2b-256 over salt and block, 128 digests a block, the top
 * level first, as Documentation/admin-guide/device-mapper/verity.rst has it. No superblock: the sizes are in the slot's footer.
 */
export function verityTree(data: Uint8Array, salt: Uint8Array): { readonly tree: Buffer; readonly rootHash: Buffer } {
  if (data.length === 0 || data.length % BLOCK_BYTES !== 0)
    throw new RangeError(`Cannot hash ${data.length} bytes: they are no whole blocks`);
  const levels: Buffer[] = [];
  let level: Uint8Array = data;
  do {
    level = digests(level, salt);
    levels.unshift(level as Buffer);
  } while (level.length > BLOCK_BYTES);
  return { tree: Buffer.concat(levels), rootHash: digest(level, salt) };
}

/** The digests of all blocks, padded to whole blocks. */
function digests(data: Uint8Array, salt: Uint8Array): Buffer {
  const count = data.length / BLOCK_BYTES;
  const result = Buffer.alloc(Math.ceil((count * DIGEST_BYTES) / BLOCK_BYTES) * BLOCK_BYTES);
  for (let index = 0; index < count; index++)
    digest(data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES), salt).copy(result, index * DIGEST_BYTES);
  return result;
}

function digest(block: Uint8Array, salt: Uint8Array): Buffer {
  return createHash("blake2b256").update(salt).update(block).digest();
}
