import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { errorChain } from "../base/error.ts";
import type { WatchdogGpio } from "../config/config.ts";
import { openCharacterDevice } from "../linux/gpio/character-device.ts";
import type { GpioChip } from "../linux/gpio/gpio.ts";
import { openWatchdog } from "../linux/watchdog.ts";
import type { WatchdogDevice } from "../watchdog/ports.ts";

/** What a machine arms at its start, when box.conf names nothing else. */
const BOOT_DEVICE = "/dev/watchdog";
/** A petter that was relieved gives its device back within this, ms; until then it is asked ten times a second. */
const HAND_OVER_MS = 10_000;
/** How long the first look waits for that, ms: a petter that sleeps has its device for some seconds more. */
const FIRST_WAIT_MS = 1000;
/** Its driver may be loaded late. */
const RETRY_MS = 5000;

export interface DevicesOptions {
  /** "none": whatever the boot armed is disarmed. */
  readonly device: string | undefined;
  readonly timeoutMs: number;
  readonly gpio: WatchdogGpio | undefined;
  /** Process id of who pets during the boot (the initramfs' petter); absent on other machines. */
  readonly petterFile: string | undefined;
  now(): number;
  log(text: string): void;
  /** For tests without a chip. */
  readonly openChip?: (path: string) => GpioChip;
}

/** All that wants to be petted, as one device that comes when the boot's petter lets go of it. */
export class WatchdogDevices {
  readonly #options: DevicesOptions;
  readonly #path: string | undefined;
  readonly #startedAt: number;
  #hardware: WatchdogDevice | undefined;
  #gpio: WatchdogDevice | undefined;
  #current: WatchdogDevice | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #lastWhy = "";
  #isRelieved = false;
  /** What the boot has armed is not what box.conf names: nobody would pet it. */
  #hasOther = false;
  #isDisarmed = false;
  #isDone = false;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#startedAt = options.now();
    const isArmedByBoot = options.petterFile !== undefined && this.#petter() !== undefined;
    this.#path = options.device ?? (isArmedByBoot ? BOOT_DEVICE : undefined);
    if (this.#path === undefined && options.gpio === undefined)
      options.log("no watchdog device is configured: nothing resets this box when restarts do not help");
    this.look();
    // At the start nothing else is to be done: what the device says of the last reset is wanted for the first line.
    for (const until = options.now() + FIRST_WAIT_MS; this.#isHandOver() && options.now() < until; this.look())
      Bun.sleepSync(20);
  }

  /** Undefined: there is none (yet). */
  get current(): WatchdogDevice | undefined {
    return this.#current;
  }

  /** Tries what is not open yet; called with every tick, and cheap. */
  look(): void {
    if (this.#isDone) return;
    const now = this.#options.now();
    if (now - this.#triedAt < (this.#isHandOver() ? 0 : RETRY_MS)) return;
    this.#triedAt = now;
    // The petter goes first: two cannot have the device. It closes it without a word, so the hardware goes on counting.
    const petter = this.#petter();
    if (petter !== undefined && !this.#isRelieved) {
      this.#options.log(`relieves the boot's petter, process ${petter}`);
      this.#hasOther = this.#path !== "none" && !this.#isBootDevice(petter);
      end(petter);
      this.#isRelieved = true;
    }
    if (this.#hasOther) this.#disarmOther();
    this.#hardware ??= this.#openHardware();
    this.#gpio ??= this.#openGpio();
    this.#current = together([this.#hardware, this.#gpio].filter((one) => one !== undefined));
    this.#isDone =
      !this.#hasOther &&
      (this.#path === undefined || this.#isDisarmed || this.#hardware !== undefined) &&
      (this.#options.gpio === undefined || this.#gpio !== undefined);
    if (this.#isDone && this.#options.petterFile !== undefined) rmSync(this.#options.petterFile, { force: true });
  }

  #isHandOver(): boolean {
    return (
      this.#isRelieved &&
      (this.#hardware === undefined || this.#hasOther) &&
      this.#options.now() - this.#startedAt < HAND_OVER_MS
    );
  }

  #openHardware(): WatchdogDevice | undefined {
    const { timeoutMs, log } = this.#options;
    if (this.#path === undefined) return undefined;
    try {
      if (this.#path === "none") {
        this.#disarm();
        return undefined;
      }
      const device = openWatchdog(this.#path, timeoutMs);
      log(`watchdog "${this.#path}" (${device.name}) armed with ${device.timeoutMs / 1000} s`);
      return device;
    } catch (error) {
      this.#complain(`${errorChain(error)}: nothing resets this box when restarts do not help`);
      return undefined;
    }
  }

  #disarm(): void {
    if (this.#isRelieved) openWatchdog(BOOT_DEVICE, this.#options.timeoutMs).close(true);
    this.#isDisarmed = true;
    if (!this.#isRelieved) return;
    this.#options.log("the watchdog of the boot is disarmed: box.conf wants none");
  }

  #disarmOther(): void {
    try {
      openWatchdog(BOOT_DEVICE, this.#options.timeoutMs).close(true);
      this.#hasOther = false;
      this.#options.log(`"${BOOT_DEVICE}", which the boot had armed, is disarmed: box.conf names another`);
    } catch (error) {
      this.#complain(errorChain(error));
    }
  }

  /** Whether the petter's device is the one that is petted from now on. */
  #isBootDevice(petter: number): boolean {
    const path = this.#path ?? BOOT_DEVICE;
    if (path === BOOT_DEVICE || path === `${BOOT_DEVICE}0`) return true;
    const wanted = identityOf(path);
    return filesOf(petter).some((one) => one === wanted);
  }

  #openGpio(): WatchdogDevice | undefined {
    const { gpio, log, openChip = openCharacterDevice } = this.#options;
    if (gpio === undefined) return undefined;
    try {
      const output = openChip(gpio.chip.startsWith("/") ? gpio.chip : `/dev/${gpio.chip}`).output(gpio.line, {
        isActiveLow: false,
      });
      const name = `line ${gpio.line} of ${gpio.chip}`;
      log(`the watchdog on ${name} is toggled; it waits ${gpio.timeoutSeconds} s`);
      let level = false;
      return {
        ...{ timeoutMs: gpio.timeoutSeconds * 1000, name, isCardReset: undefined },
        pet: () => {
          level = !level;
          output.set(level);
        },
        // Such a device cannot be disarmed: who stops toggling is reset.
        close: () => output.close(),
      };
    } catch (error) {
      this.#complain(errorChain(error));
      return undefined;
    }
  }

  /** Said once, however often it is tried. */
  #complain(why: string): void {
    if (why !== this.#lastWhy) this.#options.log(why);
    this.#lastWhy = why;
  }

  /** The process that pets since the boot: only one that has a watchdog open, so that no other one is ever ended. */
  #petter(): number | undefined {
    const file = this.#options.petterFile;
    if (file === undefined) return undefined;
    try {
      const pid = Number(readFileSync(file, "utf8").trim());
      if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
      const paths = [BOOT_DEVICE, `${BOOT_DEVICE}0`, this.#options.device ?? BOOT_DEVICE];
      const devices = new Set(paths.map(identityOf).filter((one) => one !== undefined));
      // By what it is and not by its path: the initramfs had a /dev of its own.
      return filesOf(pid).some((one) => devices.has(one)) ? pid : undefined;
    } catch {
      return undefined; // It has ended, or there never was one.
    }
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It has ended, which is what was wanted.
  }
}

/** What a process has open. */
function filesOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => identityOf(`/proc/${pid}/fd/${name}`) ?? []);
}

/** What a path leads to: a device by its numbers, anything else by its place. Undefined: nothing. */
function identityOf(path: string): string | undefined {
  try {
    const facts = statSync(path);
    return facts.isCharacterDevice() ? `device ${facts.rdev}` : `${facts.dev}:${facts.ino}`;
  } catch {
    return undefined;
  }
}

/** Several as one: petted together and closed together; a box is reset when the last of them has had its time. */
export function together(devices: readonly WatchdogDevice[]): WatchdogDevice | undefined {
  const [first] = devices;
  if (first === undefined || devices.length === 1) return first;
  return {
    timeoutMs: Math.max(...devices.map((one) => one.timeoutMs)),
    petWithinMs: Math.min(...devices.map((one) => one.timeoutMs)),
    isCardReset: first.isCardReset,
    name: devices.map((one) => one.name).join(" and "),
    pet: () => each(devices, (one) => one.pet()),
    close: (isDisarming) => each(devices, (one) => one.close(isDisarming)),
  };
}

/** One that fails keeps none of the others from its turn; the first error is thrown after. */
function each(devices: readonly WatchdogDevice[], act: (device: WatchdogDevice) => void): void {
  const errors: unknown[] = [];
  for (const device of devices) {
    try {
      act(device);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
