/** What a person meant by some bytes on a line. */
export type Key =
  | { readonly kind: "character"; readonly text: string }
  | { readonly kind: "enter" | "erase" | "erase-line" | "interrupt" | "redraw" };

/** Where the reader is inside of something that takes more than one byte. */
export interface KeyState {
  readonly inside: "text" | "after-cr" | "escape" | "sequence";
  /** Bytes of the sequence so far. */
  readonly length: number;
}

export const INITIAL_KEYS: KeyState = { inside: "text", length: 0 };

/** A cursor key takes 3 bytes, a function key with modifiers 7: what is longer is noise, and swallowing it must end. */
const SEQUENCE_BYTES_MAX = 12;
const ESCAPE = 0x1b;

/**
 * One byte of a line. Enter is CR, LF, CR LF or CR NUL, whatever the terminal sends. Escape sequences are swallowed whole:
 * a cursor key types nothing. Bytes beyond printable ASCII are noise on a line of unknown speed and encoding, and nothing.
 */
export function readKey(state: KeyState, byte: number): { readonly state: KeyState; readonly key?: Key } {
  const text: KeyState = INITIAL_KEYS;
  // NUL, which some terminals send there, types nothing anyway.
  if (state.inside === "after-cr" && byte === 0x0a) return { state: text };
  if (state.inside === "escape") {
    const opensSequence = byte === 0x5b || byte === 0x4f; // [ O
    return { state: opensSequence ? { inside: "sequence", length: 2 } : text };
  }
  if (state.inside === "sequence") {
    const isParameter = byte >= 0x20 && byte < 0x40;
    if (isParameter && state.length < SEQUENCE_BYTES_MAX)
      return { state: { inside: "sequence", length: state.length + 1 } };
    if (byte !== 0x0d && byte !== 0x0a) return { state: text };
  }
  if (byte === ESCAPE) return { state: { inside: "escape", length: 1 } };
  if (byte === 0x0d) return { state: { inside: "after-cr", length: 0 }, key: { kind: "enter" } };
  if (byte === 0x0a) return { state: text, key: { kind: "enter" } };
  if (byte === 0x08 || byte === 0x7f) return { state: text, key: { kind: "erase" } };
  if (byte === 0x15 || byte === 0x18) return { state: text, key: { kind: "erase-line" } }; // ^U ^X
  if (byte === 0x03) return { state: text, key: { kind: "interrupt" } };
  if (byte === 0x0c || byte === 0x12) return { state: text, key: { kind: "redraw" } }; // ^L ^R
  if (byte >= 0x20 && byte < 0x7f) return { state: text, key: { kind: "character", text: String.fromCharCode(byte) } };
  return { state: text };
}
