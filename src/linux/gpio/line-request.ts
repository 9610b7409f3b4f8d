/** linux/gpio.h, uAPI v2: sizes and offsets are the same on amd64 and arm64. */
export const GPIO_V2 = {
  GET_CHIPINFO: 0x8044b401n,
  GET_LINEINFO: 0xc100b405n,
  GET_LINE: 0xc250b407n,
  GET_VALUES: 0xc010b40en,
  SET_VALUES: 0xc010b40fn,
} as const;

const ACTIVE_LOW = 1n << 1n;
const INPUT = 1n << 2n;
const OUTPUT = 1n << 3n;
const EDGE_RISING = 1n << 4n;
const EDGE_FALLING = 1n << 5n;
const BIAS_PULL_UP = 1n << 8n;
const BIAS_PULL_DOWN = 1n << 9n;

/** struct gpio_v2_line_request. */
const REQUEST_BYTES = 592;
const AT = {
  offset: 0,
  consumer: 256,
  flags: 288,
  attributeCount: 296,
  attribute: 320,
  lineCount: 560,
  file: 588,
} as const;
const CONSUMER_BYTES_MAX = 31;
const ATTRIBUTE_DEBOUNCE = 3;

export type LineUse =
  | { readonly kind: "output"; readonly isActiveLow: boolean }
  | {
      readonly kind: "input";
      readonly isActiveLow: boolean;
      readonly debounceMs: number;
      /** What an open wire reads as; by default the level that is not active: a button that is not pressed. */
      readonly bias: "up" | "down";
    };

/** The request for one line; its file descriptor is read back from the same bytes. */
export function encodeLineRequest(offset: number, consumer: string, use: LineUse): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(AT.offset, offset, true);
  for (const [index, letter] of [...consumer.slice(0, CONSUMER_BYTES_MAX)].entries())
    bytes[AT.consumer + index] = letter.charCodeAt(0) & 0x7f;
  view.setUint32(AT.lineCount, 1, true);
  const polarity = use.isActiveLow ? ACTIVE_LOW : 0n;
  if (use.kind === "output") {
    view.setBigUint64(AT.flags, OUTPUT | polarity, true);
    return bytes;
  }
  const bias = use.bias === "up" ? BIAS_PULL_UP : BIAS_PULL_DOWN;
  view.setBigUint64(AT.flags, INPUT | EDGE_RISING | EDGE_FALLING | bias | polarity, true);
  // One attribute: the debounce period in µs, for line 0 of the request.
  view.setUint32(AT.attributeCount, 1, true);
  view.setUint32(AT.attribute, ATTRIBUTE_DEBOUNCE, true);
  view.setUint32(AT.attribute + 8, use.debounceMs * 1000, true);
  view.setBigUint64(AT.attribute + 16, 1n, true);
  return bytes;
}

/** The descriptor that the kernel has put into a request. */
export function lineFile(request: Uint8Array<ArrayBuffer>): number {
  return new DataView(request.buffer).getInt32(AT.file, true);
}

/** struct gpio_v2_line_event. */
export const EVENT_BYTES = 48;
const EVENT_ID_AT = 8;
const RISING = 1;

/** An edge of a line: its new level, and when it was, ms of CLOCK_MONOTONIC. */
export interface Edge {
  readonly isActive: boolean;
  readonly at: number;
}

/** The edges of one read, in their order. Rising is logical: to active. */
export function decodeEdges(bytes: Uint8Array): readonly Edge[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / EVENT_BYTES) }, (_, index) => ({
    isActive: view.getUint32(index * EVENT_BYTES + EVENT_ID_AT, true) === RISING,
    at: Number(view.getBigUint64(index * EVENT_BYTES, true)) / 1e6,
  }));
}
