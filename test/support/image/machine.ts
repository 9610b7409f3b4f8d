/** A box in an emulator, from an image: its serial line is a script's, its plug can be pulled. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { releaseOf } from "../../../appliance/disk.ts";
import { type Disk, emulator, usbStick, userNetwork, type Watchdog } from "../../../appliance/emulator.ts";
import { PATIENCE } from "../patience.ts";
import { copyDisk, putFiles, wipe } from "./disk-file.ts";
import { expectText, TOLD_CHARACTERS } from "./line.ts";
import { type MachineEvent, Monitor } from "./monitor.ts";

/** From power-on to a box that is healthy, on a quiet machine without hardware virtualisation. */
export const BOOT_MS = 90_000;
const CONNECT_MS = 10_000;

export interface MachineOptions {
  readonly disk?: Disk;
  readonly isUefi?: boolean;
  readonly hasSecureBoot?: boolean;
  readonly hasDeviceTree?: boolean;
  readonly watchdog?: Watchdog;
  /** What an installer left on the data partition, path (as `etc/box.conf`) → text, or bytes. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** What is plugged in by USB: the file of a stick. */
  readonly stick?: string;
  /** `user:password` for its front-end. */
  readonly session?: string;
  /** What its clock says when it is switched on, as `1970-01-02`; by default what this machine's says. */
  readonly clock?: string;
  /** Without: it has no network card at all. */
  readonly hasNetwork?: boolean;
  /** With: a second serial port, at {@link Machine.secondLine}. */
  readonly hasSecondLine?: boolean;
}

export class Machine {
  readonly #directory = mkdtempSync(join(tmpdir(), "ringfence-image-"));
  readonly #options: MachineOptions;
  #child: ReturnType<typeof Bun.spawn> | undefined;
  #line: Socket | undefined;
  #monitor: Monitor | undefined;
  readonly #apiPort = freePort();
  /** All that came over the serial line since the machine was made. */
  text = "";

  private constructor(options: MachineOptions) {
    this.#options = options;
  }

  /** A machine with a disk of its own over `image`, which stays as it is; off. */
  static async of(image: string, options: MachineOptions = {}): Promise<Machine> {
    const machine = new Machine(options);
    if (options.session !== undefined) writeFileSync(machine.authFile, options.session);
    await copyDisk(image, machine.disk);
    if (options.files !== undefined) await putFiles(machine.disk, options.files);
    return machine;
  }

  get disk(): string {
    return join(this.#directory, "disk.img");
  }

  /** As a disk does that has forgotten the beginning of its last partition. */
  damageData(): void {
    wipe(this.disk, "ringfence-data");
  }

  /** The box's front-end, from here. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#apiPort}/RPC2`;
  }

  /** For ONE_AUTH. */
  get authFile(): string {
    return join(this.#directory, "one_auth");
  }

  /** The socket of the second serial port, for a {@link Line}. */
  get secondLine(): string {
    return join(this.#directory, "serial2");
  }

  get #monitorPath(): string {
    return join(this.#directory, "monitor");
  }

  /** Presses the reset button. */
  async reset(): Promise<void> {
    await this.#monitor?.command("system_reset");
  }

  /** Presses the power button, for a tenth of a second. */
  async pressPower(): Promise<void> {
    await this.#monitor?.command("system_powerdown");
  }

  /** What has happened to the machine since it was switched on. */
  get events(): readonly MachineEvent[] {
    return this.#monitor?.events ?? [];
  }

  /** Waits for the next event of this name after `since` (performance.now()). */
  async event(name: string, since: number, withinMs: number): Promise<MachineEvent> {
    const end = performance.now() + withinMs * PATIENCE;
    for (;;) {
      const found = this.events.find((event) => event.name === name && event.at > since);
      if (found !== undefined) return found;
      if (performance.now() > end)
        throw new Error(
          `Waited ${(withinMs * PATIENCE) / 1000} s in vain for ${name}; the line said:\n${this.text.slice(-TOLD_CHARACTERS)}`,
        );
      await Bun.sleep(50);
    }
  }

  async powerOn(): Promise<void> {
    const socket = join(this.#directory, "serial");
    const { clock, hasNetwork = true, hasSecondLine, stick } = this.#options;
    const { disk = "virtio", isUefi = false, hasSecureBoot = false, hasDeviceTree, watchdog } = this.#options;
    const { architecture } = releaseOf(this.disk);
    const machine = { architecture, disk, isUefi, hasSecureBoot, hasDeviceTree, watchdog };
    const words = emulator({ image: this.disk, format: "raw", ...machine });
    const lines = [
      "-serial",
      `unix:${socket},server=on,wait=off`,
      ...(hasSecondLine === true ? ["-serial", `unix:${this.secondLine},server=on,wait=off`] : []),
      ...(clock === undefined ? [] : ["-rtc", `base=${clock}`]),
      "-qmp",
      `unix:${this.#monitorPath},server=on,wait=off`,
    ];
    const network = hasNetwork ? userNetwork(this.#apiPort) : ["-nic", "none"];
    const devices = [...network, ...(stick === undefined ? [] : usbStick(stick))];
    this.#child = Bun.spawn([...words, ...devices, ...lines, "-S"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const end = performance.now() + CONNECT_MS * PATIENCE;
    while (this.#line === undefined) {
      this.#line = await opened(socket);
      if (this.#line === undefined && performance.now() > end) throw new Error("The emulator does not open its line");
      if (this.#line === undefined) await Bun.sleep(50);
    }
    this.#line.setEncoding("latin1");
    this.#line.on("data", (text) => {
      // ash asks a terminal where its cursor is, right behind its prompt: nobody here has one.
      this.text = (this.text + text).replaceAll("\u001b[6n", "");
    });
    this.#line.on("error", () => undefined);
    this.#monitor = new Monitor(this.#monitorPath);
    await this.#monitor.command("qmp_capabilities");
    // It was held until somebody listens: its first words are not lost.
    await this.#monitor.command("cont");
  }

  /** The plug: what the machine has not written is lost. */
  async powerCut(): Promise<void> {
    this.#line?.destroy();
    this.#line = undefined;
    this.#monitor?.close();
    this.#monitor = undefined;
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    this.#child = undefined;
  }

  /** As at a keyboard. */
  type(text: string): void {
    this.#line?.write(text);
  }

  /** Waits until what came since `from` matches; where the match ends. */
  expect(pattern: RegExp, withinMs: number, from = 0): Promise<number> {
    return expectText(() => this.text, pattern, withinMs, from);
  }

  /** Types a line and waits for its answer; where the answer ends. */
  async say(line: string, answer: RegExp, withinMs = 20_000): Promise<number> {
    const from = this.text.length;
    this.type(`${line}\r`);
    return this.expect(answer, withinMs, from);
  }

  async remove(): Promise<void> {
    await this.powerCut();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** One that nobody has now; whoever takes it first, has it. */
function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = server;
  server.stop();
  return port;
}

function opened(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}
