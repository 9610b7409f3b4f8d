import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { errorChain } from "../base/error.ts";
import { Panel } from "../box/panel.ts";
import { type BoxState, LAMPS, type Lamp } from "../box/policy.ts";
import type { LampOutput } from "../box/ports.ts";
import type { PanelSetting } from "../config/config.ts";
import type { Facts } from "../console/types.ts";
import { createClock } from "../linux/clock.ts";
import { openCharacterDevice } from "../linux/gpio/character-device.ts";
import type { GpioChip } from "../linux/gpio/gpio.ts";
import { openSysfsChip } from "../linux/gpio/sysfs.ts";
import { resetBox } from "./console-commands.ts";
import { gatherFacts } from "./console-facts.ts";
import { consoleRecords, ownEndpoint } from "./console-ports.ts";
import { paths } from "./paths.ts";

/** Fast blinking has half a period of 125 ms. */
const TICK_MS = 60;
/** A worn button chatters for some ms. */
const DEBOUNCE_MS = 20;

/** Opens the lines and runs the panel for the life of the process. Throws `gpio`: no such chip or line. */
export function startFrontPanel(setting: PanelSetting, version: string, log: (text: string) => void): void {
  const chip = openChip(setting);
  const isActiveLow = (name: string): boolean => setting.activeLow.includes(name);
  const lamps: Partial<Record<Lamp, LampOutput>> = {};
  for (const lamp of LAMPS) {
    const line = setting.lines[lamp];
    if (line !== undefined) lamps[lamp] = chip.output(line, { isActiveLow: isActiveLow(lamp) });
  }
  const clock = createClock();
  const endpoint = ownEndpoint();
  const panel = new Panel({
    ...{ now: () => clock.monotonicRaw(), lamps },
    look: async () => boxState(await gatherFacts({ endpoint, version, lastEnd: "" })),
    askReset: () => {
      resetBox().then(({ isDone, text }) => {
        log(`the button was held for ten seconds: factory reset: ${text}`);
        if (isDone) return;
        const record = { box: hostname(), line: "button", action: "reset", detail: "" };
        consoleRecords().put({ ...record, outcome: `failed: ${text}` });
      }, log);
    },
  });
  const { button } = setting.lines;
  if (button !== undefined)
    chip.input(button, { isActiveLow: isActiveLow("button"), debounceMs: DEBOUNCE_MS }, (isPressed, agoMs) =>
      panel.pressed(isPressed, agoMs),
    );
  setInterval(() => {
    try {
      panel.tick();
    } catch (error) {
      // The chip is gone: the supervisor starts a panel that finds it again, or says why not.
      log(errorChain(error));
      process.exit(1);
    }
  }, TICK_MS);
}

function openChip({ driver, chip }: PanelSetting): GpioChip {
  if (driver === "sysfs") return openSysfsChip(chip);
  return openCharacterDevice(chip.startsWith("/") ? chip : `/dev/${chip}`);
}

/** What the lamps tell, from what the console's first screen tells. */
export function boxState(facts: Facts): BoxState {
  const { cluster } = facts;
  const voters = cluster?.members.filter((one) => one.isVoter) ?? [];
  return {
    isAnswering: cluster !== undefined,
    isMember: cluster !== undefined || existsSync(`${paths.data}/identity.json`),
    leads: cluster?.role === "leader",
    holdsVip: cluster !== undefined && / held by this box$/.test(cluster.vip),
    hasLeader: cluster !== undefined && cluster.leader !== "",
    hasQuorum: voters.filter((one) => one.isReachable).length * 2 > voters.length,
    wrong: facts.wrong.length,
  };
}
