/**
 * The image as a box in an emulator without hardware virtualisation: sizes, boot, memory, update, and its watchdog. No
 * peer does the same, so the rows stand beside the goals of appliance.md only.
 */
import { statSync } from "node:fs";
import { aBox, healthy, openShell, run, shell, slotsSay } from "../support/image/box.ts";
import { HANGS, HARDWARE_TIMEOUT_MS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";
import type { Machine } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";
import { monotonicMs, waitFor } from "../support/rack/command.ts";
import { upRack } from "../support/rack/rack.ts";
import { type Profile, profiles } from "../support/rack/state.ts";
import type { BenchRow } from "./row.ts";

const BOOTS = 3;
const BOOTS_MIN = 2;
const RESTART_MS_MAX = 120_000;
/** A boot has proved itself. */
const SERVES = /SLOT A .*good {2}<- runs/;
const PROBE_MS = 300;
/** The VIP is held when its holder has answered so often. */
const HELD_ANSWERS = 100;
/** Nobody holds it who has been silent for so long; he is asked each 5 ms. */
const SILENT_MS = 500;
const VIP_HANGS = 5;
/** Longer than any lease of the profiles, shorter than the watchdog's patience with main. */
const HANG_MS = 2000;

export async function bench(options: {
  runs?: number;
  only?: string;
  log: (line: string) => void;
}): Promise<BenchRow[]> {
  const { log, runs = BOOTS, only = "" } = options;
  const row = (key: string, values: readonly number[], unit: string): BenchRow => {
    log(`image.${key}: ${values.map((value) => value.toPrecision(4)).join(", ")} ${unit}`);
    const ranked = [...values].sort((a, b) => a - b);
    const value = ranked[Math.floor(ranked.length / 2)] ?? 0;
    return { key: `image.${key}`, value, unit, n: values.length, peer: null, peerValue: null, ratio: null };
  };
  const hangVips = async (): Promise<BenchRow[]> => {
    const rows: BenchRow[] = [];
    for (const profile of profiles) {
      const found = await hangVipMs(profile);
      // The promise is about the worst.
      rows.push({ ...row(`hangVip.${profile}`, found, "ms"), value: Math.max(...found) });
    }
    return rows;
  };
  if (only !== "" && !only.startsWith("hangVip"))
    throw new Error(
      `Cannot measure only "${only}": of the image that is "hangVip", "hangVip.default" or "hangVip.fast"`,
    );
  if (only !== "") return (await hangVips()).filter(({ key }) => key.startsWith(`image.${only}`));
  const image = await theImage();
  const versions = new Versions(image);
  try {
    const { imageBytes, treeBytes } = versions.release;
    const rows = [
      row("slotMb", [(imageBytes + treeBytes) / 1e6], "MB"),
      row("diskMb", [statSync(`${image}.zst`).size / 1e6], "MB"),
    ];
    const boots: number[] = [];
    for (let boot = 0; boot < Math.max(runs, BOOTS_MIN); boot++) {
      const box = await aBox(image);
      try {
        boots.push(await secondsToHealthy(box));
        // Each of a box that has done nothing else: a small memory keeps only what was used last.
        if (boot === 0) {
          rows.push(row("updateSeconds", [await updateSeconds(box, versions)], "s"));
          rows.push(row("memoryMb", [await memoryMb(box)], "MB"));
        }
        if (boot === 1) rows.push(row("mainRestart", [(await mainRestartMs(box)) / 1000], "s"));
      } finally {
        await box.remove();
      }
    }
    rows.push(row("bootSeconds", boots, "s"));
    const ratios: number[] = [];
    for (const { name, words } of HANGS) {
      const ms = await hangResetMs(image, words);
      log(`${name}: reset after ${Math.round(ms)} ms of ${HARDWARE_TIMEOUT_MS}`);
      ratios.push(ms / HARDWARE_TIMEOUT_MS);
    }
    // The promise is about the worst.
    rows.push({ ...row("hangReset.ratio", ratios, "x"), value: Math.max(...ratios) });
    return [...rows, ...(await hangVips())];
  } finally {
    versions.remove();
  }
}

/** From the emulator's start. */
async function secondsToHealthy(box: Machine): Promise<number> {
  const began = performance.now();
  await box.powerOn();
  await healthy(box);
  return (performance.now() - began) / 1000;
}

/** Sent, written, read back and switched; the box goes on meanwhile. */
async function updateSeconds(box: Machine, versions: Versions): Promise<number> {
  const bundle = versions.same({ version: "0.2.0" });
  await slotsSay(box, SERVES, RESTART_MS_MAX);
  const { text } = await run(box, "ringfence", "update", "apply", bundle);
  const seconds = /in (\d+\.\d) s\.$/m.exec(text)?.[1];
  if (seconds === undefined) throw new Error(`The update was not taken: ${text}`);
  return Number(seconds);
}

async function memoryMb(box: Machine): Promise<number> {
  await openShell(box);
  const used = "awk '/^MemTotal/ { t = $2 } /^MemAvailable/ { a = $2 } END { print t - a }' /proc/meminfo";
  return (Number(await shell(box, used)) * 1024) / 1e6;
}

/** From the moment that main's work thread stands still until a new main answers. */
async function mainRestartMs(box: Machine): Promise<number> {
  await slotsSay(box, SERVES, RESTART_MS_MAX);
  await openShell(box);
  await shell(box, "ringfence watchdog test --freeze work --yes");
  box.type("exit\r");
  const began = performance.now();
  let wasSilent = false;
  while (performance.now() - began < RESTART_MS_MAX) {
    const isAnswering = await fetch(box.endpoint, { signal: AbortSignal.timeout(PROBE_MS) }).then(
      () => true,
      () => false,
    );
    if (isAnswering && wasSilent) return performance.now() - began;
    wasSilent ||= !isAnswering;
    await Bun.sleep(50);
  }
  throw new Error("Main did not come back");
}

/**
 * From the moment that all programs of a box stand still until nobody answers for the VIP: what the kernel does without any
 * of our code. The box is a node of the rack, with this machine's kernel: an emulator pauses for longer than a lease, so a
 * machine in one gives the VIP up by itself.
 */
async function hangVipMs(profile: Profile): Promise<readonly number[]> {
  const rack = await upRack({ name: "image", boxes: 1, hosts: 0, profile });
  try {
    const box = rack.box(0);
    const holders = await rack.watchHolders();
    const answers = (): readonly number[] =>
      holders.events().flatMap((event) => (event.kind === "holder" ? [event.atMs] : []));
    const found: number[] = [];
    for (let hang = 0; hang < VIP_HANGS; hang++) {
      const before = answers().length;
      await waitFor("the box to hold the VIP", RESTART_MS_MAX, () => answers().length > before + HELD_ANSWERS, 100);
      const at = monotonicMs();
      await box.freeze();
      await Bun.sleep(HANG_MS);
      const last = answers().at(-1);
      const silentMs = monotonicMs() - (last ?? at);
      await box.thaw();
      if (last === undefined || last < at)
        throw new Error(`The VIP of the ${profile} profile was not held at the hang`);
      if (silentMs < SILENT_MS)
        throw new Error(`The VIP of the ${profile} profile was held ${HANG_MS} ms into the hang`);
      found.push(last - at);
    }
    return found;
  } finally {
    await rack.down();
  }
}

async function hangResetMs(image: string, words: string): Promise<number> {
  const box = await aBox(image, { watchdog: "i6300esb" });
  try {
    await box.powerOn();
    await healthy(box);
    await openShell(box);
    // From the box's last word: an emulated one takes a while to read what is typed.
    const typed = box.text.length;
    box.type(`echo it "hangs now"; ${words}\r`);
    await box.expect(/it hangs now\r/, HARDWARE_TIMEOUT_MS, typed);
    const at = performance.now();
    return (await box.event("WATCHDOG", at, 2 * HARDWARE_TIMEOUT_MS)).at - at;
  } finally {
    await box.remove();
  }
}
