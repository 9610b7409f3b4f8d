import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { errorChain } from "../base/error.ts";
import { chronyConf, chronySources, clockFloor } from "../box/time/policy.ts";
import { setWallClock } from "../linux/wall-clock.ts";
import { bootReportFields } from "./image.ts";
import { paths } from "./paths.ts";

const SAVED = `${paths.data}/clock`;
const SAVE_EVERY_MS = 3_600_000;

/** At a boot, before anything writes a log: not before the image was made, nor before what this box has seen. */
export function raiseClock(log: (text: string) => void): void {
  const floor = clockFloor({ now: Date.now(), builtAt: builtAt(), savedAt: Number(textOf(SAVED)) || undefined });
  if (floor === undefined) return;
  const before = new Date().toISOString();
  try {
    setWallClock(floor);
    log(
      `time: the clock said ${before}, which cannot be: it is set to ${new Date(floor).toISOString()} until a server knows better`,
    );
  } catch (error) {
    log(`time: ${errorChain(error)}`);
  }
}

/** What chrony reads: /run/one/chrony.conf, and the servers that DHCP brought beside it. */
export function writeChronyConf(servers: readonly string[]): void {
  const { run } = paths;
  mkdirSync(`${run}/chrony-sources`, { recursive: true });
  const fromDhcp = readdirSync(run)
    .filter((name) => /^dhcp-.*\.ntp$/.test(name))
    .flatMap((name) => textOf(`${run}/${name}`).split("\n"))
    .filter((word) => /^\d+(\.\d+){3}$/.test(word));
  for (const [path, text] of [
    [`${run}/chrony.conf`, chronyConf(servers)],
    [`${run}/chrony-sources/dhcp.sources`, chronySources(fromDhcp)],
  ] as const) {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
}

/**
 * Keeps what the clock says, each hour and at a stop, for a next boot without a battery. Never waits, and syncs nothing:
 * a lost hour is an hour.
 */
export function keepClock(log: (text: string) => void, path: string = SAVED): { save(): Promise<void> } {
  let lastWhy = "";
  const save = async (): Promise<void> => {
    try {
      await writeFile(`${path}.new`, `${Date.now()}\n`, { mode: 0o640 });
      await rename(`${path}.new`, path);
      lastWhy = "";
    } catch (error) {
      const why = errorChain(error);
      if (why !== lastWhy) log(`time: the clock cannot be kept: ${why}`);
      lastWhy = why;
    }
  };
  setInterval(save, SAVE_EVERY_MS).unref();
  return { save };
}

/** From the initramfs' report, in s there. */
function builtAt(): number | undefined {
  const footer = bootReportFields()["footer"] as { readonly builtAt?: unknown } | null | undefined;
  return typeof footer?.builtAt === "number" ? footer.builtAt * 1000 : undefined;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
