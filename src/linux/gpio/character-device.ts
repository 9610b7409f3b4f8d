import { closeSync, constants, openSync } from "node:fs";
import { CodedError } from "../../base/error.ts";
import { createClock } from "../clock.ts";
import { EPOLL } from "../epoll-calls.ts";
import { errnoText, lastErrno, libc } from "../libc.ts";
import { watchReadiness } from "../readiness.ts";
import type { GpioChip } from "./gpio.ts";
import { decodeEdges, EVENT_BYTES, encodeLineRequest, GPIO_V2, type LineUse, lineFile } from "./line-request.ts";

/** What `gpioinfo` shows as the line's user. */
const CONSUMER = "ringfence";
/** struct gpiochip_info, gpio_v2_line_info. */
const CHIP_INFO_BYTES = 68;
const CHIP_LINES_AT = 64;
const LINE_INFO_BYTES = 256;
const LINE_OFFSET_AT = 64;
const NAME_BYTES = 32;
/** Of one read; a debounced button has one. */
const EVENTS_MAX = 16;

/**
 * A chip by its character device (`/dev/gpiochip0`, uAPI v2, Linux 5.10 and later): lines by name or offset, bias and
 * debouncing by the kernel, and a line given back when the process ends, however it ends. Throws `gpio`.
 */
export function openCharacterDevice(path: string): GpioChip {
  const fail = (action: string): never => {
    throw new CodedError("gpio", `Cannot ${action} of "${path}": ${errnoText(lastErrno())}`);
  };
  const clock = createClock();
  let chip: number;
  try {
    chip = openSync(path, constants.O_RDWR);
  } catch (error) {
    throw new CodedError("gpio", `Cannot open the GPIO chip "${path}"`, error);
  }
  const request = (line: string, use: LineUse): number => {
    const bytes = encodeLineRequest(findLine(chip, path, line), CONSUMER, use);
    if (libc.ioctl(chip, GPIO_V2.GET_LINE, bytes) !== 0) fail(`use line "${line}"`);
    return lineFile(bytes);
  };
  return {
    output: (line, { isActiveLow }) => {
      const file = request(line, { kind: "output", isActiveLow });
      return {
        set: (isActive) => {
          const values = new BigUint64Array([isActive ? 1n : 0n, 1n]);
          if (libc.ioctl(file, GPIO_V2.SET_VALUES, values) !== 0) fail(`set line "${line}"`);
        },
        close: () => closeSync(file),
      };
    },
    input: (line, { isActiveLow, debounceMs }, changed) => {
      const file = request(line, { kind: "input", isActiveLow, debounceMs, bias: isActiveLow ? "up" : "down" });
      const isActive = (): boolean => {
        const values = new BigUint64Array([0n, 1n]);
        if (libc.ioctl(file, GPIO_V2.GET_VALUES, values) !== 0) fail(`read line "${line}"`);
        return (Number(values[0]) & 1) !== 0;
      };
      const events = new Uint8Array(EVENTS_MAX * EVENT_BYTES);
      const watch = watchReadiness(file, () => {
        const length = Number(libc.read(file, events, events.length));
        if (length < 0) fail(`hear of line "${line}"`);
        watch.arm(EPOLL.IN);
        const now = clock.monotonic();
        for (const edge of decodeEdges(events.subarray(0, length))) changed(edge.isActive, now - edge.at);
      });
      watch.arm(EPOLL.IN);
      return {
        isActive,
        close: () => {
          watch.end();
          closeSync(file);
        },
      };
    },
    close: () => closeSync(chip),
  };
}

/** A number is an offset; anything else is the name that the board's firmware gave the line. */
function findLine(chip: number, path: string, line: string): number {
  if (/^\d{1,4}$/.test(line)) return Number(line);
  const info = new Uint8Array(CHIP_INFO_BYTES);
  if (libc.ioctl(chip, GPIO_V2.GET_CHIPINFO, info) !== 0)
    throw new CodedError("gpio", `Cannot ask "${path}" for its lines: ${errnoText(lastErrno())}`);
  const count = new DataView(info.buffer).getUint32(CHIP_LINES_AT, true);
  for (let offset = 0; offset < count; offset++) {
    const bytes = new Uint8Array(LINE_INFO_BYTES);
    new DataView(bytes.buffer).setUint32(LINE_OFFSET_AT, offset, true);
    if (libc.ioctl(chip, GPIO_V2.GET_LINEINFO, bytes) !== 0) continue;
    const name = new TextDecoder().decode(bytes.subarray(0, NAME_BYTES)).split("\0")[0];
    if (name === line) return offset;
  }
  throw new CodedError("gpio", `Cannot find a line "${line}" on "${path}": it has ${count} lines, none of that name`);
}
