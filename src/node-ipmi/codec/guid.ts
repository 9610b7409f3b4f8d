/** A BMC's GUID is 16 bytes, and firmware does not agree on their order. All readings are lower case with hyphens. */
export interface GuidReadings {
  /** As RFC 4122 writes it: bytes in the order received. */
  readonly straight: string;
  /** As SMBIOS stores it: the first three fields are little-endian. */
  readonly smbios: string;
  /** As IPMI 2.0 §20.8 has it: all bytes reversed. */
  readonly reversed: string;
}

/** The readings of one GUID. A person or a program compares with whichever the other side shows. */
export function guidReadings(guid: Uint8Array): GuidReadings {
  const bytes = Buffer.from(guid);
  const fieldsSwapped = Buffer.concat([
    Buffer.from(bytes.subarray(0, 4)).reverse(),
    Buffer.from(bytes.subarray(4, 6)).reverse(),
    Buffer.from(bytes.subarray(6, 8)).reverse(),
    bytes.subarray(8),
  ]);
  return {
    straight: hyphenate(bytes),
    smbios: hyphenate(fieldsSwapped),
    reversed: hyphenate(Buffer.from(bytes).reverse()),
  };
}

/** True when `uuid` (any case, with or without hyphens) is one of the readings. An all-zero or all-FF GUID matches nothing: many BMCs would share it. */
export function guidMatches(guid: Uint8Array, uuid: string): boolean {
  if (isBlankGuid(guid)) return false;
  const wanted = uuid.toLowerCase().replaceAll("-", "");
  return Object.values(guidReadings(guid)).some((reading) => reading.replaceAll("-", "") === wanted);
}

/** True for a GUID that no vendor has set: all bytes 00 or all FF. It identifies nothing. */
export function isBlankGuid(guid: Uint8Array): boolean {
  return guid.every((byte) => byte === 0) || guid.every((byte) => byte === 0xff);
}

function hyphenate(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
