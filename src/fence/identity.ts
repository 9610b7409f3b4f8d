/**
 * Which machine a BMC belongs to. A BMC shows a GUID (IPMI 2.0 §20.8, also in RAKP 2), the host shows its SMBIOS UUID.
 * Both are 16 bytes, but firmware disagrees about their order, so one pair is shown to a person once and stored;
 * from then on only the very same GUID is the same BMC.
 */

/** The 32 lower-case hex digits of a GUID or UUID in any common spelling; undefined when it is not 16 bytes. */
export function normalizeGuid(text: string): string | undefined {
  const digits = text
    .trim()
    .toLowerCase()
    .replace(/[-{}:\s]/g, "");
  return /^[0-9a-f]{32}$/.test(digits) ? digits : undefined;
}

/** True for values that many machines share: nothing may be bound to them. */
export function isPlaceholderGuid(guid: string): boolean {
  return /^(.)\1{31}$/.test(guid) || SHARED_BY_MANY.has(guid);
}

/**
 * How a BMC's GUID agrees with a host's UUID: `same` bytes, `mixed` (the first three fields little-endian, as SMBIOS
 * stores them), `reversed` (all 16 bytes, as IPMI 2.0 §20.8 orders them), or not at all.
 */
export function compareGuid(guid: string, uuid: string): "same" | "mixed" | "reversed" | "different" {
  const left = normalizeGuid(guid);
  const right = normalizeGuid(uuid);
  if (left === undefined || right === undefined) return "different";
  if (left === right) return "same";
  if (left === mixedEndian(right)) return "mixed";
  if (left === reverseBytes(right)) return "reversed";
  return "different";
}

/** True when a GUID read from a BMC is the bound one, in the order bound or in one that the same firmware uses elsewhere. */
export function isBoundGuid(read: string, bound: string): boolean {
  return compareGuid(read, bound) !== "different";
}

/** Test boards and unset firmware. */
const SHARED_BY_MANY: ReadonlySet<string> = new Set([
  "03000200040005000006000700080009",
  "00020003000400050006000700080009",
]);

function reverseBytes(hex: string): string {
  return (hex.match(/../g) ?? []).reverse().join("");
}

function mixedEndian(hex: string): string {
  return (
    reverseBytes(hex.slice(0, 8)) + reverseBytes(hex.slice(8, 12)) + reverseBytes(hex.slice(12, 16)) + hex.slice(16)
  );
}
