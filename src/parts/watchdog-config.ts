import { readFileSync } from "node:fs";
import { readConfig, WATCHDOG_HANG_SECONDS, WATCHDOG_SECONDS_DEFAULT, type WatchdogGpio } from "../config/config.ts";
import { looseSections } from "./loose-section.ts";

/** Which device is petted, and its time-out. */
export interface WatchdogConfig {
  readonly device: string | undefined;
  readonly timeoutMs: number;
  /** How long main's work thread may be silent; see {@link limitsFor}. */
  readonly hangMs: number;
  /** An external one that wants a line toggled. */
  readonly gpio: WatchdogGpio | undefined;
  /** The configuration has mistakes: main will name them. */
  readonly isBroken: boolean;
}

/**
 * Never throws: without a readable configuration there is no device, and main says what is wrong. In a broken file the
 * section is looked for by itself: a typing error elsewhere must not lead to a reset.
 */
export function readWatchdogConfig(onedConf: string, boxConf: string): WatchdogConfig {
  const oned = textOf(onedConf);
  const box = textOf(boxConf);
  const result = readConfig({ name: onedConf, text: oned }, { name: boxConf, text: box });
  if ("config" in result) {
    const { watchdogDevice, watchdogTimeoutSeconds, watchdogHangSeconds, watchdogGpio } = result.config.box;
    return {
      device: watchdogDevice,
      timeoutMs: watchdogTimeoutSeconds * 1000,
      hangMs: watchdogHangSeconds * 1000,
      gpio: watchdogGpio,
      isBroken: false,
    };
  }
  const [read = () => undefined] = [...looseSections(box, "WATCHDOG"), ...looseSections(oned, "WATCHDOG")];
  const [seconds, hang] = [Number(read("TIMEOUT")), Number(read("HANG"))];
  const { least, most } = WATCHDOG_HANG_SECONDS;
  const [chip, line, gpioSeconds] = [read("CHIP"), read("GPIO"), Number(read("GPIO_TIMEOUT"))];
  return {
    device: read("DEVICE"),
    timeoutMs: (seconds >= 5 && seconds <= 600 ? seconds : WATCHDOG_SECONDS_DEFAULT) * 1000,
    hangMs: (hang >= least && hang <= most ? hang : least) * 1000,
    gpio:
      chip === undefined || line === undefined
        ? undefined
        : { chip, line, timeoutSeconds: gpioSeconds >= 1 && gpioSeconds <= 600 ? gpioSeconds : 2 },
    isBroken: true,
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
