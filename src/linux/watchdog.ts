import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import { libc } from "./libc.ts";

/** linux/watchdog.h, _IOC encoding of amd64 and arm64. */
const WDIOC_GETSUPPORT = 0x80285700n;
const WDIOC_GETBOOTSTATUS = 0x80045702n;
const WDIOC_SETTIMEOUT = 0xc0045706n;
/** struct watchdog_info: options and firmware version of 4 bytes each, identity of 32. */
const INFO_BYTES = 40;
const IDENTITY_OFFSET = 8;
/** The last reset was the watchdog's. */
const WDIOF_CARDRESET = 0x20;
/** Written right before closing, disarms (watchdog-api.rst, "magic close"). Any other byte is a pet. */
const MAGIC_CLOSE = "V";
const PET = "\0";
/** Intel's TCO resets at the *second* expiry of its timer. */
const TWICE_FIRING = /^iTCO_wdt/;
const TRUTHFUL = /^i6300ESB/i;

/** An open, armed watchdog. Opening it starts the hardware's count. */
export interface WatchdogHandle {
  /** When an unpetted box is reset, ms, as the device has taken it. */
  readonly timeoutMs: number;
  /** The driver's name; "a double" for a FIFO or terminal. */
  readonly name: string;
  /** True if the last reset was this device's; undefined when it cannot know, or says no after a reset of its own. */
  readonly isCardReset: boolean | undefined;
  /** Throws `watchdog` when the device fails. */
  pet(): void;
  /** With `isDisarming` false the hardware goes on counting: whoever opens it next must pet it. */
  close(isDisarming: boolean): void;
}

/**
 * Opens a watchdog device and sets its time-out, rounded to whole seconds; the device may choose another one. A FIFO or a
 * terminal is taken as a double: it is petted by bytes and has no opinions. Throws `watchdog`: no such device, busy
 * (another process has it), or not something to be petted.
 */
export function openWatchdog(path: string, timeoutMs: number): WatchdogHandle {
  // A FIFO opened for writing only fails without a reader; the flag must be known before opening the real one.
  const flags = openFlags(path);
  const file = tried(`open the watchdog "${path}"`, () => openSync(path, flags));
  const kind = fstatSync(file);
  if (!kind.isCharacterDevice() && !kind.isFIFO()) {
    closeSync(file);
    throw new CodedError("watchdog", `Cannot use "${path}" as a watchdog: it is no device`);
  }
  const facts = setUp(file, timeoutMs);
  return {
    ...facts,
    pet: () => {
      tried(`pet the watchdog "${path}"`, () => write(file, PET));
    },
    close: (isDisarming) => {
      tried(`close the watchdog "${path}"`, () => {
        if (isDisarming) write(file, MAGIC_CLOSE);
        closeSync(file);
      });
    },
  };
}

function openFlags(path: string): number {
  const isFifo = tried(`find the watchdog "${path}"`, () => isFifoPath(path));
  const way = isFifo ? constants.O_RDWR : constants.O_WRONLY;
  // Non-blocking: a double that nobody reads must not stop us. The runtime adds O_CLOEXEC: main never inherits it.
  return way | constants.O_NONBLOCK | constants.O_NOCTTY;
}

function isFifoPath(path: string): boolean {
  // O_PATH looks without opening: opening a watchdog arms it.
  const O_PATH = 0o10000000;
  const file = openSync(path, O_PATH);
  const isFifo = fstatSync(file).isFIFO();
  closeSync(file);
  return isFifo;
}

function setUp(file: number, timeoutMs: number): Pick<WatchdogHandle, "timeoutMs" | "name" | "isCardReset"> {
  const info = new Uint8Array(INFO_BYTES);
  if (libc.ioctl(file, WDIOC_GETSUPPORT, info) !== 0) return { timeoutMs, name: "a double", isCardReset: undefined };
  const identity = new TextDecoder().decode(info.subarray(IDENTITY_OFFSET));
  const name = identity.slice(0, identity.indexOf("\0") < 0 ? undefined : identity.indexOf("\0"));
  const firings = TWICE_FIRING.test(name) ? 2 : 1;
  const value = new Int32Array([Math.max(1, Math.round(timeoutMs / 1000 / firings))]);
  // A device with a fixed time-out refuses; then the shortest that one has in practice is what we pet by.
  const taken = libc.ioctl(file, WDIOC_SETTIMEOUT, value) === 0 ? Number(value[0]) : FIXED_TIMEOUT_SECONDS;
  const status = new Int32Array(1);
  const hasStatus = libc.ioctl(file, WDIOC_GETBOOTSTATUS, status) === 0;
  return {
    timeoutMs: taken * firings * 1000,
    name,
    // Only those are taken at their word that were seen to tell the truth.
    isCardReset: hasStatus ? saidReset(name, (Number(status[0]) & WDIOF_CARDRESET) !== 0) : undefined,
  };
}

/** A "yes" is a reset in any case; a "no" counts only of drivers that say yes after one (QEMU, i6300esb: tried). */
function saidReset(name: string, isReset: boolean): boolean | undefined {
  return isReset || TRUTHFUL.test(name) ? isReset : undefined;
}

/** Devices that cannot be set: some of 1.6 s exist in theory, those of boxes have 10 s or more. */
const FIXED_TIMEOUT_SECONDS = 10;

function write(file: number, byte: string): void {
  try {
    writeSync(file, byte);
  } catch (error) {
    // A full FIFO: its reader sleeps. A real device never says this.
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
}

function tried<T>(action: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new CodedError("watchdog", `Cannot ${action}`, error);
  }
}
