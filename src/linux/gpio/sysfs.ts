import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Gpio } from "onoff";
import { CodedError } from "../../base/error.ts";
import type { GpioChip } from "./gpio.ts";

/** `onoff` knows no other place. */
const ROOT = "/sys/class/gpio";

/**
 * A chip by sysfs, with `onoff`: for kernels and boards whose chips have no character device of version 2. `chip` is its
 * label or its directory's name (`gpiochip512`). A chip's first number differs from kernel to kernel (504, 512, 1016): it
 * is read, never configured. Lines are offsets: sysfs has no names. Throws `gpio`.
 */
export function openSysfsChip(chip: string): GpioChip {
  const { base, count } = findChip(chip);
  const numberOf = (line: string): number => {
    if (!/^\d{1,4}$/.test(line) || Number(line) >= count)
      throw new CodedError("gpio", `Cannot find line "${line}" of "${chip}": by sysfs it is an offset below ${count}`);
    return base + Number(line);
  };
  // Loaded only where it is used: the other driver needs neither it nor its packages.
  const { Gpio: Line } = require("onoff") as { Gpio: typeof Gpio };
  return {
    output: (line, { isActiveLow }) => {
      const gpio = tried(line, () => new Line(numberOf(line), "out", "none", { activeLow: isActiveLow }));
      return {
        set: (isActive) => tried(line, () => gpio.writeSync(isActive ? 1 : 0)),
        close: () => gpio.unexport(),
      };
    },
    input: (line, { isActiveLow, debounceMs }, changed) => {
      const options = { activeLow: isActiveLow, debounceTimeout: debounceMs };
      const gpio = tried(line, () => new Line(numberOf(line), "in", "both", options));
      gpio.watch((error, value) => {
        if (error === null || error === undefined) changed(value === 1, 0);
      });
      return {
        isActive: () => tried(line, () => gpio.readSync() === 1),
        close: () => {
          gpio.unwatchAll();
          gpio.unexport();
        },
      };
    },
    close: () => undefined,
  };
}

function findChip(chip: string): { readonly base: number; readonly count: number } {
  const read = (directory: string, file: string): string => readFileSync(`${ROOT}/${directory}/${file}`, "utf8").trim();
  const directories = existsSync(ROOT) ? readdirSync(ROOT).filter((name) => /^gpiochip\d+$/.test(name)) : [];
  const directory = directories.find((name) => name === chip || read(name, "label") === chip);
  if (directory === undefined)
    throw new CodedError(
      "gpio",
      `Cannot find the chip "${chip}" in ${ROOT}: there is ${directories.join(", ") || "none"}`,
    );
  return { base: Number(read(directory, "base")), count: Number(read(directory, "ngpio")) };
}

function tried<T>(line: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError("gpio", `Cannot use GPIO line "${line}" by sysfs`, error);
  }
}
