import { execFile } from "node:child_process";
import type { PowerPort } from "./chassis.ts";

/** A power program that hangs must not hang the BMC for ever. */
const COMMAND_MS_MAX = 30_000;

/**
 * Power through a program: it is called with its own words and `get` (prints on or off), `on`, `off` or `reset`, and
 * ends when the power has changed.
 */
export function powerCommand(words: string): PowerPort {
  const [program, ...fixed] = words.split(/\s+/).filter((word) => word !== "");
  if (program === undefined) throw new Error("Cannot use the power command: it is empty");
  const run = (verb: string) =>
    new Promise<string>((resolve, reject) => {
      execFile(program, [...fixed, verb], { timeout: COMMAND_MS_MAX }, (error, stdout) =>
        error ? reject(new Error(`Cannot run "${words} ${verb}"`, { cause: error })) : resolve(stdout),
      );
    });
  return {
    async get() {
      const state = (await run("get")).trim();
      if (state !== "on" && state !== "off")
        throw new Error(`Cannot read the power: "${words} get" printed "${state}"`);
      return state === "on";
    },
    async set(isOn) {
      await run(isOn ? "on" : "off");
    },
    async reset() {
      await run("reset");
    },
  };
}
