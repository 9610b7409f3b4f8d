/** The BMC's address on its own bus and the remote console's software id (IPMI 2.0 §5.4, §5.5). */
const BMC_ADDRESS = 0x20;
const CONSOLE_ADDRESS = 0x81;
const MESSAGE_BYTES_MIN = 7;
/** rqSeq has six bits. */
export const REQUEST_SEQUENCE_MASK = 0x3f;

/** An IPMI message: a request has an even netFn; its answer has netFn + 1, and begins its data with the completion code. */
export interface Message {
  readonly netFn: number;
  readonly command: number;
  /** rqSeq, 0 to 63: what ties an answer to its request. */
  readonly requestSequence: number;
  readonly data: Buffer;
}

export interface DecodedMessage extends Message {
  /** False when one of the two checksums is wrong: some firmware cannot count, see `Quirks.ignoreChecksums`. */
  readonly areChecksumsRight: boolean;
}

/** IPMI 2.0 §13.8: rsAddr, netFn and LUN, checksum; rqAddr, rqSeq and LUN, command, data, checksum. */
export function encodeMessage(message: Message): Buffer {
  const isRequest = message.netFn % 2 === 0;
  const bytes = Buffer.alloc(MESSAGE_BYTES_MIN + message.data.length);
  bytes[0] = isRequest ? BMC_ADDRESS : CONSOLE_ADDRESS;
  bytes[1] = message.netFn << 2;
  bytes[2] = checksum(bytes.subarray(0, 2));
  bytes[3] = isRequest ? CONSOLE_ADDRESS : BMC_ADDRESS;
  bytes[4] = (message.requestSequence & REQUEST_SEQUENCE_MASK) << 2;
  bytes[5] = message.command;
  message.data.copy(bytes, 6);
  bytes[bytes.length - 1] = checksum(bytes.subarray(3, -1));
  return bytes;
}

/** Undefined when it is too short to be a message. */
export function decodeMessage(bytes: Buffer): DecodedMessage | undefined {
  if (bytes.length < MESSAGE_BYTES_MIN) return;
  return {
    netFn: bytes.readUInt8(1) >> 2,
    command: bytes.readUInt8(5),
    requestSequence: bytes.readUInt8(4) >> 2,
    data: bytes.subarray(6, -1),
    areChecksumsRight:
      checksum(bytes.subarray(0, 2)) === bytes[2] && checksum(bytes.subarray(3, -1)) === bytes[bytes.length - 1],
  };
}

/** Two's complement of the sum: all bytes together with it add up to 0. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}
