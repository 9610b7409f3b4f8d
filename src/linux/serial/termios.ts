import { CodedError } from "../../base/error.ts";
import { errnoText, lastErrno, libc } from "../libc.ts";

/** asm-generic/ioctls.h: the calls that take any speed as a number (amd64 and arm64). */
const TCGETS2 = 0x802c542an;
const TCSETS2 = 0x402c542bn;
/** struct termios2: four words of flags, the line discipline, 19 control characters, two speeds. */
const TERMIOS2_BYTES = 44;
const AT = { input: 0, output: 4, control: 8, local: 12, characters: 17, inputSpeed: 36, outputSpeed: 40 } as const;
/** Indexes of control characters. */
const VTIME = 5;
const VMIN = 6;

/** asm-generic/termbits.h. */
const IXON = 0o2000;
const IXANY = 0o4000;
const IXOFF = 0o10000;
const INPCK = 0o20;
const CBAUD = 0o10017;
const BOTHER = 0o10000;
const CSTOPB = 0o100;
const CREAD = 0o200;
const PARENB = 0o400;
const PARODD = 0o1000;
const HUPCL = 0o2000;
const CLOCAL = 0o4000;
const CIBAUD = 0o2003600000;
const CMSPAR = 0o10000000000;
const CRTSCTS = 0o20000000000;
const DATA_BITS = { 5: 0, 6: 0o20, 7: 0o40, 8: 0o60 } as const;
const BREAK_AS_NOTHING = 0o1; // IGNBRK: a cable that is pulled is no character.
const IGNORE_PARITY_ERRORS = 0o4; // IGNPAR: bytes with framing errors are line noise.

/** Ctrl-C, Ctrl-\\, DEL, Ctrl-U, Ctrl-D, VTIME, VMIN, -, Ctrl-Q, Ctrl-S, Ctrl-Z, -, Ctrl-R, Ctrl-O, Ctrl-W, Ctrl-V. */
const SANE_CHARACTERS = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22];

const PARITY: Readonly<Record<string, number>> = {
  none: 0,
  even: PARENB,
  odd: PARENB | PARODD,
  mark: PARENB | PARODD | CMSPAR,
  space: PARENB | CMSPAR,
};

/** How a line is spoken on. */
export interface LineSettings {
  readonly baudRate: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly stopBits: 1 | 1.5 | 2;
  /** none, even, odd, mark, space. */
  readonly parity: string;
  readonly rtscts: boolean;
  readonly xon: boolean;
  readonly xoff: boolean;
  readonly xany: boolean;
  readonly hupcl: boolean;
}

/**
 * Makes a terminal a bare line: no echo, no editing, no signals, no translation, any speed (BOTHER). Throws `serial` for
 * what is no terminal, or a speed or format that the driver does not take.
 */
export function setLine(file: number, settings: LineSettings): void {
  const parity = PARITY[settings.parity];
  if (parity === undefined) throw new CodedError("serial", `Cannot set parity "${settings.parity}"`);
  const view = read(file);
  view.setUint32(
    AT.input,
    BREAK_AS_NOTHING |
      IGNORE_PARITY_ERRORS |
      (parity === 0 ? 0 : INPCK) |
      (settings.xon ? IXON : 0) |
      (settings.xoff ? IXOFF : 0) |
      (settings.xany ? IXANY : 0),
    true,
  );
  view.setUint32(AT.output, 0, true);
  view.setUint32(AT.local, 0, true);
  const kept =
    view.getUint32(AT.control, true) & ~(CBAUD | CIBAUD | 0o60 | CSTOPB | PARENB | PARODD | CMSPAR | CRTSCTS | HUPCL);
  view.setUint32(
    AT.control,
    // CLOCAL: three wires carry no "carrier"; opening and reading must not wait for one.
    (kept |
      CREAD |
      CLOCAL |
      BOTHER |
      DATA_BITS[settings.dataBits] |
      parity |
      (settings.stopBits > 1 ? CSTOPB : 0) |
      (settings.rtscts ? CRTSCTS : 0) |
      (settings.hupcl ? HUPCL : 0)) >>>
      0,
    true,
  );
  view.setUint8(AT.characters + VMIN, 1);
  view.setUint8(AT.characters + VTIME, 0);
  putSpeed(view, settings.baudRate);
  write(file, view, settings.baudRate);
}

/** As a shell expects to find its terminal: lines are edited and echoed, Enter is CR, Ctrl-C a signal. Speed and format stay. */
export function setSane(file: number): void {
  const view = read(file);
  view.setUint32(AT.input, 0o2402, true); // BRKINT ICRNL IXON
  view.setUint32(AT.output, 0o5, true); // OPOST ONLCR
  view.setUint32(AT.local, 0o105073, true); // ISIG ICANON ECHO ECHOE ECHOK ECHOCTL ECHOKE IEXTEN
  for (const [index, byte] of SANE_CHARACTERS.entries()) view.setUint8(AT.characters + index, byte);
  write(file, view, view.getUint32(AT.outputSpeed, true));
}

/** Changes the speed alone. */
export function setSpeed(file: number, baudRate: number): void {
  const view = read(file);
  view.setUint32(AT.control, ((view.getUint32(AT.control, true) & ~(CBAUD | CIBAUD)) | BOTHER) >>> 0, true);
  putSpeed(view, baudRate);
  write(file, view, baudRate);
}

/** The speed that the driver has taken, bits a second. */
export function lineSpeed(file: number): number {
  return read(file).getUint32(AT.outputSpeed, true);
}

/** All settings of a terminal, for a program that is to find it as it was. */
export function saveTerminal(file: number): () => void {
  const before = read(file);
  return () => write(file, before, before.getUint32(AT.outputSpeed, true));
}

function putSpeed(view: DataView, baudRate: number): void {
  if (!Number.isInteger(baudRate) || baudRate < 1 || baudRate > 0xffffffff)
    throw new CodedError("serial", `Cannot set a speed of ${baudRate} baud`);
  view.setUint32(AT.inputSpeed, baudRate, true);
  view.setUint32(AT.outputSpeed, baudRate, true);
}

function read(file: number): DataView<ArrayBuffer> {
  const bytes = new Uint8Array(TERMIOS2_BYTES);
  if (libc.ioctl(file, TCGETS2, bytes) !== 0)
    throw new CodedError("serial", `Cannot read the settings of a line: ${errnoText(lastErrno())}`);
  return new DataView(bytes.buffer);
}

function write(file: number, view: DataView<ArrayBuffer>, baudRate: number): void {
  if (libc.ioctl(file, TCSETS2, new Uint8Array(view.buffer)) !== 0)
    throw new CodedError("serial", `Cannot set a line to ${baudRate} baud: ${errnoText(lastErrno())}`);
}
