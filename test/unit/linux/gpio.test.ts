// Without a kernel that has gpio-sim: the request's bytes, and onoff's outputs on a tree of files in a mount namespace.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openCharacterDevice } from "../../../src/linux/gpio/character-device.ts";
import { decodeEdges, encodeLineRequest } from "../../../src/linux/gpio/line-request.ts";

test("a request for an output is laid out as the kernel reads it", () => {
  const bytes = encodeLineRequest(17, "ringfence", { kind: "output", isActiveLow: true });
  const view = new DataView(bytes.buffer);
  assert.is(bytes.length, 592);
  assert.is(view.getUint32(0, true), 17);
  assert.is(Buffer.from(bytes.subarray(256, 266)).toString(), "ringfence\0");
  assert.is(view.getBigUint64(288, true), 0b1010n, "OUTPUT and ACTIVE_LOW");
  assert.is(view.getUint32(296, true), 0, "no attributes");
  assert.is(view.getUint32(560, true), 1, "one line");
});

test("one for a button has both edges, its bias, and the debounce period in µs", () => {
  const use = { kind: "input", isActiveLow: true, debounceMs: 20, bias: "up" } as const;
  const bytes = encodeLineRequest(3, "x".repeat(40), use);
  const view = new DataView(bytes.buffer);
  assert.is(view.getBigUint64(288, true), 0x136n, "PULL_UP, both edges, INPUT, ACTIVE_LOW");
  assert.equal([view.getUint32(296, true), view.getUint32(320, true), view.getUint32(328, true)], [1, 3, 20_000]);
  assert.is(view.getBigUint64(336, true), 1n);
  assert.is(bytes[256 + 31], 0, "the consumer's name ends");
  assert.is(encodeLineRequest(3, "x", { ...use, bias: "down" })[289], 0x02);
});

test("the edges of one read keep their order and their times", () => {
  const bytes = new Uint8Array(2 * 48);
  const view = new DataView(bytes.buffer);
  for (const [index, id] of [1, 2].entries()) {
    view.setBigUint64(index * 48, 5_000_000n + BigInt(index) * 100_000_000n, true);
    view.setUint32(index * 48 + 8, id, true);
  }
  assert.equal(decodeEdges(bytes), [
    { isActive: true, at: 5 },
    { isActive: false, at: 105 },
  ]);
});

test("what is no chip is refused by name", () => {
  assert.throws(() => openCharacterDevice("/dev/none"), /Cannot open the GPIO chip "\/dev\/none"/);
  assert.throws(
    () => openCharacterDevice("/dev/null").output("7", { isActiveLow: false }),
    /line "7" of "\/dev\/null".*ENOTTY/,
  );
  assert.throws(() => openCharacterDevice("/dev/null").output("led", { isActiveLow: false }), /for its lines/);
});

/** Runs a program where /sys/class/gpio is a tree of ours: chip "panel" with lines 512 … 519, of which 5 and 6 are there. */
function onFakeTree(program: string): { out: string; err: string; code: number } {
  const script = `set -e
mount -t tmpfs tmpfs /sys/class
mkdir -p /sys/class/gpio/gpiochip512 /sys/class/gpio/gpiochip0 /sys/class/gpio/gpio517 /sys/class/gpio/gpio518
cd /sys/class/gpio
echo other >gpiochip0/label; echo 0 >gpiochip0/base; echo 8 >gpiochip0/ngpio
echo panel >gpiochip512/label; echo 512 >gpiochip512/base; echo 8 >gpiochip512/ngpio
for line in gpio517 gpio518; do echo 0 >$line/value; echo in >$line/direction; echo 0 >$line/active_low; echo none >$line/edge; done
: >export; : >unexport
exec "$0" -e "$1"`;
  const source = `const { openSysfsChip } = await import(${JSON.stringify(`${import.meta.dir}/../../../src/linux/gpio/sysfs.ts`)});
const { readFileSync } = await import("node:fs");
const read = (name) => readFileSync("/sys/class/gpio/" + name, "utf8").trim();
${program}`;
  const words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, process.execPath, source];
  const result = Bun.spawnSync(words, { timeout: 30_000 });
  return { out: result.stdout.toString(), err: result.stderr.toString(), code: result.exitCode };
}

test("by sysfs a line is its chip's first number and an offset; outputs follow, with the polarity told to the kernel", () => {
  const { out, err } = onFakeTree(`
    const chip = openSysfsChip("panel");
    const lamp = chip.output("5", { isActiveLow: true });
    const seen = [read("gpio517/direction"), read("gpio517/active_low")[0]];
    for (const isOn of [true, false, true]) { lamp.set(isOn); seen.push(read("gpio517/value")[0]); }
    seen.push(read("gpio518/direction"));
    lamp.close();
    seen.push(read("unexport"));
    openSysfsChip("gpiochip512");
    console.log(seen.join(" "));`);
  assert.is(out.trim(), "out 1 1 0 1 in 517", err);
});

test("by sysfs an unknown chip, a name, and an offset beyond the chip are refused", () => {
  const { out, err } = onFakeTree(`
    for (const act of [() => openSysfsChip("none"), () => openSysfsChip("panel").output("led", { isActiveLow: false }), () => openSysfsChip("panel").output("8", { isActiveLow: false })])
      try { act(); console.log("taken"); } catch (error) { console.log(error.code, error.message); }`);
  const lines = out.trim().split("\n");
  assert.match(lines[0] ?? "", /^gpio Cannot find the chip "none".*gpiochip/, err);
  assert.match(lines[1] ?? "", /^gpio Cannot find line "led"/);
  assert.match(lines[2] ?? "", /^gpio Cannot find line "8".*below 8/);
});

test.run();
