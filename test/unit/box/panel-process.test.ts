// The front panel as its own process, on a chip of plain files by onoff, with main dead.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ConsoleBed, exitOf } from "../../support/console-bed.ts";

const PANEL = resolve(import.meta.dir, "../../../src/panel.ts");

test("with main dead and a broken configuration the fault lamp is lit, with the polarity that its wire has", async () => {
  const bed = new ConsoleBed();
  try {
    writeFileSync(`${bed.directory}/lib/identity.json`, "{");
    const lines = 'POWER = 0, HEALTH = 1, LEADER = 2, FAULT = 3, ACTIVE_LOW = "fault"';
    writeFileSync(`${bed.directory}/etc/box.conf`, `NONSENSE = 1\nGPIO = [ DRIVER = sysfs, CHIP = panel, ${lines} ]\n`);
    bed.run([PANEL], { hasLamps: true });
    const value = (line: number, file = "value"): string => {
      const path = `${bed.directory}/gpio/gpio${512 + line}/${file}`;
      return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
    };
    await bed.far.until("the lamps are set", () => [0, 1, 2, 3].map((line) => value(line)[0]).join("") === "1001");
    assert.is(value(3, "active_low")[0], "1");
    assert.is(value(0, "active_low")[0], "0");
    assert.is(value(1, "direction"), "out");
  } finally {
    await bed.end();
  }
});

test("without its chip it says so and ends: the supervisor tries again", async () => {
  const bed = new ConsoleBed();
  try {
    writeFileSync(`${bed.directory}/etc/box.conf`, "GPIO = [ CHIP = gpiochip9, POWER = 0 ]\n");
    const child = bed.run([PANEL]);
    let said = "";
    child.stderr?.on("data", (text: Buffer) => {
      said += text.toString();
    });
    assert.is(await exitOf(child), 1);
    await bed.far.until("it has said why", () => /Cannot open the GPIO chip "\/dev\/gpiochip9"/.test(said));
  } finally {
    await bed.end();
  }
});

test.run();
