// The pure parts are compiled without the world's names (tsconfig.pure.json). These two are the only exceptions:
// they are part of the ECMAScript embedding everywhere, deterministic, and do no input or output.
declare class TextEncoder {
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: "utf-8", options?: { fatal?: boolean });
  decode(bytes?: Uint8Array): string;
}
