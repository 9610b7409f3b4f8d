/**
 * The box's supervisor: pets the hardware watchdog, starts main and starts it again. Everything else on a box may fail
 * because this does not; so it must never
 * - use the network, the database, DNS or the cluster in any way,
 * - wait for a child, a disk or a lock: files are written in the background, a child's end is an event,
 * - hold state that it cannot lose: killed at any moment, its main dies with it and init starts both again,
 * - do anything that grows: lines, connections and logs are bounded,
 * - pet because it is alive: it pets because main checked in, or because there is still hope that a restart helps.
 *
 * Main's end with EXIT_NEEDS_PERSON is no reason for a reset. Consoles and the front panel, children as box.conf
 * names them, are none either.
 */
import { totalmem } from "node:os";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { errorChain } from "./base/error.ts";
import { program } from "./base/program.ts";
import { forgiveTry } from "./box/grub-env.ts";
import { keepClock } from "./parts/box-clock.ts";
import { readConsoleLines } from "./parts/console-lines.ts";
import { bootRecovery, isImage } from "./parts/image.ts";
import { readPanelSetting } from "./parts/panel-setting.ts";
import { paths } from "./parts/paths.ts";
import { openSlots } from "./parts/slots.ts";
import { supervise } from "./parts/supervision.ts";
import { readWatchdogConfig } from "./parts/watchdog-config.ts";
import { limitsFor } from "./watchdog/limits.ts";

/** What `main` may take for its own, of the machine's memory. */
const MAIN_MEMORY = 1 / 4;

/** Where a program of this box is, in the source tree and on an image. */
function path(source: string): string {
  return fileURLToPath(new URL(program(source, import.meta.url), import.meta.url));
}

/** A broken file is no fault of a slot that was good before; one on trial may have stopped to understand it. */
async function forgiveGoodSlot(): Promise<void> {
  const { env, report } = openSlots();
  if (!(await env.read()).env.slots[report.slot].isGood) return;
  await env.change((now) => forgiveTry(now, report.slot));
}

try {
  const watchdog = readWatchdogConfig(paths.onedConf, paths.boxConf);
  supervise({
    command: [process.execPath, path("./main.ts")],
    environment: {
      // libuv's pool serves SQLite, files and names (consensus.md section 3).
      UV_THREADPOOL_SIZE: "16",
      // The engine lets its heap grow as if the machine were its own. *Measured*: in 256 MB the pages of the programs
      // themselves were pushed out while an update came, and the box stood still.
      BUN_JSC_forceRAMSize: String(Math.floor(totalmem() * MAIN_MEMORY)),
    },
    limits: limitsFor(watchdog.hangMs),
    device: watchdog.device,
    deviceTimeoutMs: watchdog.timeoutMs,
    gpio: watchdog.gpio,
    petterFile: `${paths.run}/petter.pid`,
    cgroup: "ringfence-main",
    socket: paths.supervisorSocket,
    lock: `${paths.run}/supervisor.lock`,
    log: `${paths.log}/supervisor.log`,
    resetReason: `${paths.data}/reset-reason`,
    boots: `${paths.data}/boots`,
    lastEnd: `${paths.run}/last-end`,
    recovery: `${paths.run}/recovery`,
    bootRecovery: bootRecovery(),
    // Only now, so that an image that cannot even do this is left after its third try.
    inRecovery: async () => {
      const { env, report } = openSlots();
      await env.change((now) => forgiveTry(now, report.slot));
    },
    records: paths.consoleRecords,
    // On other machines there are no slots, and the clock is their own.
    ...(isImage() ? { needsPerson: forgiveGoodSlot, atStop: keepClock((text) => console.error(text)).save } : {}),
    attendants: [
      ...readConsoleLines(paths.onedConf, paths.boxConf).map(({ device, baudRate }) => ({
        name: `console ${basename(device)}`,
        command: [process.execPath, path("./console.ts"), device, String(baudRate)],
        environment: {},
      })),
      ...(readPanelSetting(paths.onedConf, paths.boxConf) === undefined
        ? []
        : [{ name: "panel", command: [process.execPath, path("./panel.ts")], environment: {} }]),
    ],
  });
} catch (error) {
  console.error(errorChain(error));
  process.exit(1);
}
