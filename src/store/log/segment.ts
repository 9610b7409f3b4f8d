/** 16 MiB: long enough that a rotation is rare, short enough that recovery reads the tail in milliseconds. */
export const SEGMENT_SIZE_BYTES = 16 * 1024 * 1024;

/** Two copies of the header in sectors of their own: one rotten sector must not make a used segment look unused. */
const HEADER_COPY_SPACING_BYTES = 512;
const HEADER_SIZE_BYTES = 48;

/** Where a segment's records start. */
export const SEGMENT_DATA_OFFSET = 2 * HEADER_COPY_SPACING_BYTES;

const MAGIC = 0x474c4652; // "RFLG"
const FORMAT_VERSION = 1;

/** The one file kept ready for the next rotation, and its name while it is being zeroed. */
export const SPARE_NAME = "spare";
export const SPARE_UNFINISHED_NAME = "spare.unfinished";

export interface SegmentHeader {
  /** Counts up by one; must match the file's name, so that a recycled file's old header never counts. */
  readonly segment: number;
  /** Random for each use of the file: old records of a recycled file never pass. */
  readonly salt: number;
  /** CRC of the last record of the segment before; the chain goes on across files. */
  readonly previousCrc: number;
  /** The index that the next entry had when the segment was begun, and the term of the entry before it. */
  readonly firstIndex: number;
  readonly previousTerm: number;
}

const NAME = /^log-(\d{12})$/;

export function segmentName(segment: number): string {
  return `log-${String(segment).padStart(12, "0")}`;
}

/** Undefined for a file that is no segment. */
export function segmentOfName(name: string): number | undefined {
  const match = NAME.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** Writes both copies into `bytes`, which has room for {@link SEGMENT_DATA_OFFSET}. */
export function encodeSegmentHeader(bytes: Uint8Array, header: SegmentHeader): void {
  bytes.fill(0, 0, SEGMENT_DATA_OFFSET);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_DATA_OFFSET);
  view.setUint32(4, MAGIC, true);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, header.salt, true);
  view.setFloat64(16, header.segment, true);
  view.setUint32(24, header.previousCrc, true);
  view.setFloat64(32, header.firstIndex, true);
  view.setFloat64(40, header.previousTerm, true);
  view.setUint32(0, Bun.hash.crc32(bytes.subarray(4, HEADER_SIZE_BYTES)), true);
  bytes.copyWithin(HEADER_COPY_SPACING_BYTES, 0, HEADER_SIZE_BYTES);
}

/** The header of the file that is named for `segment`; undefined when neither copy is one: the file was never used under this name. */
export function decodeSegmentHeader(bytes: Uint8Array, segment: number): SegmentHeader | undefined {
  for (const offset of [0, HEADER_COPY_SPACING_BYTES]) {
    if (bytes.length < offset + HEADER_SIZE_BYTES) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset + offset, HEADER_SIZE_BYTES);
    if (view.getUint32(4, true) !== MAGIC || view.getUint32(8, true) !== FORMAT_VERSION) continue;
    if (view.getUint32(0, true) !== Bun.hash.crc32(bytes.subarray(offset + 4, offset + HEADER_SIZE_BYTES))) continue;
    if (view.getFloat64(16, true) !== segment) continue;
    return {
      segment,
      salt: view.getUint32(12, true),
      previousCrc: view.getUint32(24, true),
      firstIndex: view.getFloat64(32, true),
      previousTerm: view.getFloat64(40, true),
    };
  }
  return undefined;
}
