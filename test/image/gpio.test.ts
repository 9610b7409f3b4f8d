// Lamps and button on a real kernel's GPIO lines (gpio-sim, built for the image's kernel). time-limit: 900 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, consoleSays, healthy, machineConf, openShell, shell } from "../support/image/box.ts";
import { buildGpioSim } from "../support/image/gpio-sim.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS, type Machine } from "../support/image/machine.ts";
import { PATIENCE } from "../support/patience.ts";

const image = await theImage();
const modules = await buildGpioSim(image);

/** Offsets on the chip; button and fault lamp are wired to ground and to the supply, as boards do. */
const LINES = { power: 0, health: 1, leader: 2, fault: 3, button: 4 } as const;
type LineName = keyof typeof LINES;
const LAMPS = ["power", "health", "leader", "fault"] as const;
const ACTIVE_LOW: readonly LineName[] = ["fault", "button"];
const PANEL = `GPIO = [ CHIP = "gpiochip0", POWER = "led-power", HEALTH = "led-health", LEADER = 2, FAULT = "led-fault",
  BUTTON = "key", ACTIVE_LOW = "button fault" ]
`;
const MAKE_CHIP = [
  "insmod /data/modules/configfs.ko",
  "insmod /data/modules/gpio-sim.ko",
  "mount -t configfs configfs /sys/kernel/config",
  "cd /sys/kernel/config/gpio-sim && mkdir front front/bank0 && echo 8 >front/bank0/num_lines",
  "echo front >front/bank0/label",
  ...["led-power", "led-health", "", "led-fault", "key"].flatMap((name, offset) =>
    name === "" ? [] : [`mkdir front/bank0/line${offset} && echo ${name} >front/bank0/line${offset}/name`],
  ),
  // Nobody presses it.
  "echo 1 >front/live && cat front/bank0/chip_name && cd /",
].join(" && ");
const line = (name: LineName): string => `/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio${LINES[name]}`;
/** Two seconds and more: a period of the slow light. */
const SAMPLES = 40;
/** The slow light changes twice a second, the fast one eight times. */
const FAST_CHANGES_PER_S = 4;
type Light = "off" | "on" | "slow" | "fast";

/** What each lamp shows, by the levels of its wire and how often they change. */
async function lamps(box: Machine): Promise<string> {
  // The shell's own words, a program for the pause alone: more would take the processor away from what is looked at.
  const read = LAMPS.map((name) => `read ${name} <${line(name)}/value`).join("; ");
  const values = LAMPS.map((name) => `$${name}`).join(" ");
  const sample = `${read}; read up rest </proc/uptime; echo "$up ${values}"; usleep 40000`;
  const rows = (await shell(box, `for i in $(seq ${SAMPLES}); do ${sample}; done`)).trim().split("\n");
  const samples = rows.map((row) => row.trim().split(" ").map(Number));
  const seconds = (samples.at(-1)?.[0] ?? 0) - (samples[0]?.[0] ?? 0);
  return LAMPS.map((name, at) => {
    const levels = samples.map((sampled) => (sampled[at + 1] === 1) !== ACTIVE_LOW.includes(name));
    const changes = levels.filter((level, index) => index > 0 && level !== levels[index - 1]).length;
    const blinks: Light = changes / seconds > FAST_CHANGES_PER_S ? "fast" : "slow";
    return `${name} ${changes > 0 ? blinks : levels[0] === true ? "on" : "off"}`;
  }).join(", ");
}

/** Waits until the lamps show that. */
async function lampsShow(box: Machine, wanted: RegExp, withinMs = 30_000): Promise<void> {
  let shown = "";
  for (const end = performance.now() + withinMs * PATIENCE; performance.now() < end; await Bun.sleep(2000)) {
    shown = await lamps(box);
    if (wanted.test(shown)) return;
  }
  assert.unreachable(`the lamps show ${shown} instead of ${wanted}`);
}

const WELL = /power on, health on, leader slow, fault off/;
const ALL_FAST = /power fast, health fast, leader fast, fault fast/;

test("lamps show a box's state, a short press identifies it, and ten seconds are a factory reset", async () => {
  const box = await aBox(image, {
    files: {
      "etc/box.conf": `SERVER_ID = -1\n${machineConf(image)}${PANEL}`,
      "modules/configfs.ko": modules.configfs,
      "modules/gpio-sim.ko": modules["gpio-sim"],
    },
  });
  const press = async (ms: number): Promise<void> => {
    const wire = `${line("button")}/pull`;
    await shell(box, `echo pull-down >${wire}; usleep ${ms * 1000}; echo pull-up >${wire}`, ms + 30_000);
  };
  try {
    await box.powerOn();
    const { end } = await healthy(box);
    await openShell(box);
    // The chip comes when the panel has already asked for it in vain.
    assert.match(await shell(box, MAKE_CHIP, 60_000), /gpiochip0/);
    await lampsShow(box, WELL);

    await press(300);
    await lampsShow(box, ALL_FAST);
    await press(300);
    await lampsShow(box, WELL);
    // Too long for the one, too short for the other.
    await press(5000);
    await lampsShow(box, WELL);

    // The box's program and those that the supervisor starts in its place: all stand still.
    await shell(box, "echo 1 >/sys/fs/cgroup/ringfence-main/cgroup.freeze");
    await lampsShow(box, /power on, health off, leader off, fault on/);
    await shell(box, "echo 0 >/sys/fs/cgroup/ringfence-main/cgroup.freeze");
    await lampsShow(box, WELL, BOOT_MS);

    box.type(`echo pull-down >${line("button")}/pull\r`);
    await box.expect(/factory reset: erases \/dev\/vda5/, BOOT_MS, end);
    await healthy(box, end);
    await consoleSays(box, /belongs to no cluster yet/, BOOT_MS);
  } finally {
    await box.remove();
  }
});

test("the same by sysfs: a lamp, and a short press", async () => {
  const panel = PANEL.replace('CHIP = "gpiochip0"', 'DRIVER = sysfs, CHIP = "front"').replace(
    /"(led-power|led-health|led-fault|key)"/g,
    (_, name: string) => String({ "led-power": 0, "led-health": 1, "led-fault": 3, key: 4 }[name]),
  );
  const box = await aBox(image, {
    files: {
      "etc/box.conf": `SERVER_ID = -1\n${machineConf(image)}${panel}`,
      "modules/configfs.ko": modules.configfs,
      "modules/gpio-sim.ko": modules["gpio-sim"],
    },
  });
  const pull = (level: "up" | "down"): string => `echo pull-${level} >${line("button")}/pull`;
  try {
    await box.powerOn();
    await healthy(box);
    await openShell(box);
    // By sysfs nobody can ask for a bias: the board has a resistor.
    assert.match(await shell(box, `${MAKE_CHIP} && ${pull("up")}`, 60_000), /gpiochip0/);
    await lampsShow(box, WELL);
    await shell(box, `${pull("down")}; usleep 300000; ${pull("up")}`);
    await lampsShow(box, ALL_FAST);
  } finally {
    await box.remove();
  }
});

test.run();
