import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import type {
  BindingInterface,
  BindingPortInterface,
  OpenOptions,
  PortInfo,
  PortStatus,
  SetOptions,
  UpdateOptions,
} from "@serialport/bindings-interface";
import { CodedError } from "../../base/error.ts";
import { EPOLL } from "../epoll-calls.ts";
import { ERRNO, errnoText, lastErrno, libc } from "../libc.ts";
import { type Watch, watchReadiness } from "../readiness.ts";
import { lineSpeed, setLine, setSpeed } from "./termios.ts";

/** asm-generic/ioctls.h. */
const TIOCEXCL = 0x540cn;
const TIOCNXCL = 0x540dn;
const TIOCOUTQ = 0x5411n;
const TIOCMGET = 0x5415n;
const TIOCMBIS = 0x5416n;
const TIOCMBIC = 0x5417n;
const TIOCSBRK = 0x5427n;
const TIOCCBRK = 0x5428n;
/** Modem lines (asm-generic/termios.h). */
const TIOCM = { DTR: 0x2, RTS: 0x4, CTS: 0x20, DCD: 0x40, DSR: 0x100 } as const;
const TCIOFLUSH = 2;
const LOCK_EX_NB = 2 | 4;
/** Between two looks at what is still to be sent, ms: at 9600 baud that is five characters. */
const DRAIN_POLL_MS = 5;
/** Where serial lines are found. */
const TTY_CLASS = "/sys/class/tty";
/** PORT_UNKNOWN (linux/serial_core.h). */
const NO_UART = "0";

/**
 * `@serialport/stream`'s binding on Linux by bun:ffi: the package's own add-on crashes Bun at open. The device is opened
 * without waiting for a carrier, made a bare line, and taken for this process: TIOCEXCL keeps other users out, and
 * `flock`, beside it, other processes of root that ask. A line that hangs up ends a read with an error, as does EOF.
 */
export const serialBinding: BindingInterface<SerialLine> = {
  list: async () => listLines(),
  open: async (options) => new SerialLine(options),
};

interface Waiting {
  readonly attempt: () => boolean;
  readonly reject: (error: Error) => void;
}

/** One open line. One read and one write may wait at a time, as the interface promises. */
export class SerialLine implements BindingPortInterface {
  readonly openOptions: Required<OpenOptions>;
  readonly #file: number;
  readonly #watch: Watch;
  #reading: Waiting | undefined;
  #writing: Waiting | undefined;
  #isOpen = true;

  /** Throws `serial`: no such device, no terminal, a format that it does not take, or another process has it. */
  constructor(options: OpenOptions) {
    this.openOptions = {
      ...{ dataBits: 8, lock: true, stopBits: 1, parity: "none", rtscts: false },
      ...{ xon: false, xoff: false, xany: false, hupcl: true },
      ...options,
    };
    this.#file = openLine(this.openOptions);
    this.#watch = watchReadiness(this.#file, (events) => this.#ready(events));
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async close(): Promise<void> {
    this.#mustBeOpen("close");
    this.#isOpen = false;
    this.#watch.end();
    const canceled = Object.assign(new Error("the line was closed"), { canceled: true });
    for (const waiting of [this.#reading, this.#writing]) waiting?.reject(canceled);
    if (this.openOptions.lock) libc.ioctl(this.#file, TIOCNXCL, null);
    closeSync(this.#file);
  }

  async read(buffer: Buffer, offset: number, length: number): Promise<{ buffer: Buffer; bytesRead: number }> {
    this.#mustBeOpen("read");
    const into = buffer.subarray(offset, offset + length);
    return new Promise((resolve, reject) => {
      const attempt = (): boolean => {
        const count = Number(libc.read(this.#file, into, into.length));
        if (count < 0 && isPassing(lastErrno())) return false;
        if (count > 0) resolve({ buffer, bytesRead: count });
        else reject(this.#lost("read", count));
        return true;
      };
      if (attempt()) return;
      this.#reading = { attempt, reject };
      this.#arm();
    });
  }

  async write(buffer: Buffer): Promise<void> {
    this.#mustBeOpen("write");
    let rest: Buffer = buffer;
    return new Promise((resolve, reject) => {
      const attempt = (): boolean => {
        while (rest.length > 0) {
          const count = Number(libc.write(this.#file, rest, rest.length));
          if (count < 0) {
            if (isPassing(lastErrno())) return false;
            reject(this.#lost("write", count));
            return true;
          }
          rest = rest.subarray(count);
        }
        resolve();
        return true;
      };
      if (attempt()) return;
      this.#writing = { attempt, reject };
      this.#arm();
    });
  }

  async update(options: UpdateOptions): Promise<void> {
    this.#mustBeOpen("update");
    setSpeed(this.#file, options.baudRate);
  }

  async set({ brk = false, dtr = true, rts = true }: SetOptions): Promise<void> {
    this.#mustBeOpen("set");
    this.#lines(TIOCMBIS, (dtr ? TIOCM.DTR : 0) | (rts ? TIOCM.RTS : 0));
    this.#lines(TIOCMBIC, (dtr ? 0 : TIOCM.DTR) | (rts ? 0 : TIOCM.RTS));
    if (libc.ioctl(this.#file, brk ? TIOCSBRK : TIOCCBRK, null) !== 0) this.#fail("set a break on");
  }

  /** All false on a line without modem wires, as a pseudo-terminal. */
  async get(): Promise<PortStatus> {
    this.#mustBeOpen("get");
    const value = new Int32Array(1);
    const bits = libc.ioctl(this.#file, TIOCMGET, value) === 0 ? Number(value[0]) : 0;
    return { cts: (bits & TIOCM.CTS) !== 0, dsr: (bits & TIOCM.DSR) !== 0, dcd: (bits & TIOCM.DCD) !== 0 };
  }

  async getBaudRate(): Promise<{ baudRate: number }> {
    this.#mustBeOpen("getBaudRate");
    return { baudRate: lineSpeed(this.#file) };
  }

  async flush(): Promise<void> {
    this.#mustBeOpen("flush");
    if (libc.tcflush(this.#file, TCIOFLUSH) !== 0) this.#fail("flush");
  }

  /** Asks again and again: tcdrain(3) would hold up the whole process. */
  async drain(): Promise<void> {
    this.#mustBeOpen("drain");
    const value = new Int32Array(1);
    while (this.#isOpen) {
      if (libc.ioctl(this.#file, TIOCOUTQ, value) !== 0) this.#fail("drain");
      if (this.#writing === undefined && value[0] === 0) return;
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    throw Object.assign(new Error("the line was closed"), { canceled: true });
  }

  /** Each side that waits tries again; a hang-up shows as its error. */
  #ready(events: number): void {
    const isOver = (events & (EPOLL.HUP | EPOLL.ERR)) !== 0;
    if (this.#reading !== undefined && (isOver || (events & EPOLL.IN) !== 0) && this.#reading.attempt())
      this.#reading = undefined;
    if (this.#writing !== undefined && (isOver || (events & EPOLL.OUT) !== 0) && this.#writing.attempt())
      this.#writing = undefined;
    // A hang-up that no attempt sees would be told for ever.
    if (isOver) for (const waiting of [this.#reading, this.#writing]) waiting?.reject(this.#lost("use", 0));
    if (isOver) this.#reading = this.#writing = undefined;
    this.#arm();
  }

  #arm(): void {
    const events = (this.#reading === undefined ? 0 : EPOLL.IN) | (this.#writing === undefined ? 0 : EPOLL.OUT);
    if (events !== 0 && this.#isOpen) this.#watch.arm(events);
  }

  /** Modem wires that are not there cannot be set, and nothing is lost by that. */
  #lines(request: bigint, bits: number): void {
    if (bits === 0 || libc.ioctl(this.#file, request, new Int32Array([bits])) === 0) return;
    const errno = lastErrno();
    if (errno !== ERRNO.ENOTTY && errno !== ERRNO.EINVAL) this.#fail("set the modem wires of", errno);
  }

  #mustBeOpen(action: string): void {
    if (!this.#isOpen) throw new Error(`Cannot ${action}: the line "${this.openOptions.path}" is not open`);
  }

  #lost(action: string, count: number): Error {
    const why = count < 0 ? errnoText(lastErrno()) : "it hung up";
    return Object.assign(new CodedError("serial", `Cannot ${action} the line "${this.openOptions.path}": ${why}`), {
      disconnected: true,
    });
  }

  #fail(action: string, errno: number = lastErrno()): never {
    throw new CodedError("serial", `Cannot ${action} the line "${this.openOptions.path}": ${errnoText(errno)}`);
  }
}

function isPassing(errno: number): boolean {
  return errno === ERRNO.EAGAIN || errno === ERRNO.EINTR;
}

function openLine(options: Required<OpenOptions>): number {
  const { path } = options;
  const fail = (why: string, cause?: unknown): never => {
    throw new CodedError("serial", `Cannot open the line "${path}"${why === "" ? "" : `: ${why}`}`, cause);
  };
  let file: number;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (error) {
    return fail("", error);
  }
  try {
    if (!fstatSync(file).isCharacterDevice()) fail("it is no terminal");
    if (options.lock && libc.flock(file, LOCK_EX_NB) !== 0) fail("another process has it");
    setLine(file, options);
    if (options.lock && libc.ioctl(file, TIOCEXCL, null) !== 0) fail(errnoText(lastErrno()));
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Serial ports with hardware behind them; of USB adapters what sysfs tells is left to those who need it. */
function listLines(): PortInfo[] {
  const nothing = {
    ...{ manufacturer: undefined, serialNumber: undefined, pnpId: undefined },
    ...{ locationId: undefined, productId: undefined, vendorId: undefined },
  };
  return readdirSync(TTY_CLASS)
    .filter((name) => existsSync(`${TTY_CLASS}/${name}/device`) && uartType(name) !== NO_UART)
    .map((name) => ({ path: `/dev/${name}`, ...nothing }));
}

/** The 8250 driver announces ports that are not there; their type says so. USB adapters have no type. */
function uartType(name: string): string {
  const path = `${TTY_CLASS}/${name}/type`;
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}
