import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { provision } from "../box/provision/driver.ts";
import { PROVISIONED, type ProvisionedFile, type Texts } from "../box/provision/planner.ts";
import type { Medium } from "../box/provision/ports.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import { consoleRecords } from "./console-ports.ts";
import { bootReportFields } from "./image.ts";
import { paths } from "./paths.ts";
import { findSticks, ownDisk, withMounted } from "./usb-sticks.ts";

const STICK_WAIT_MS = 3000;
/** The folder on the medium. */
const FOLDER = "ringfence";

const PLACES: Readonly<Record<ProvisionedFile, string>> = {
  "oned.conf": paths.onedConf,
  "box.conf": paths.boxConf,
  "join-token": paths.joinToken,
  authorized_keys: "/root/.ssh/authorized_keys",
  one_auth: paths.oneAuth,
};

/** At a boot of an image, before its network is set up: what sticks and the ESP bring. Returns whether anything was taken. */
export async function takeProvisions(say: (text: string) => void): Promise<boolean> {
  const esp = espDevice();
  mkdirSync(paths.run, { recursive: true });
  await waitForSticks();
  return provision({
    media: () => [
      ...(esp === undefined ? [] : [mediumOf(esp, "the ESP")]),
      ...findSticks(ownDisk()).map(({ device }) => mediumOf(device, device)),
    ],
    kept: () => keptTexts(PLACES),
    isMember: () => existsSync(`${paths.data}/identity.json`),
    write: (file, text) => {
      mkdirSync(dirname(PLACES[file]), { recursive: true, mode: 0o700 });
      writeFileDurably(PLACES[file], text);
    },
    say,
    refused: (problem) => appendFileSync(paths.refusedProvisions, `${problem}\n`),
    record: (source, outcome) => {
      consoleRecords().put({ box: hostname(), line: "boot", action: "provision", detail: source, outcome });
    },
  });
}

/** A stick is found some seconds after the kernel starts. Only a box that is new waits, and only where there is USB. */
async function waitForSticks(): Promise<void> {
  if (existsSync(`${paths.data}/identity.json`) || !existsSync("/sys/bus/usb/devices/usb1")) return;
  for (const end = performance.now() + STICK_WAIT_MS; performance.now() < end; await Bun.sleep(200))
    if (findSticks(ownDisk()).length > 0) return;
}

/** A partition, mounted for as long as it is used. */
export function mediumOf(device: string, name: string): Medium {
  return {
    name,
    use: (isWritable, work) =>
      withMounted(device, !isWritable, async (directory) => {
        const folder = `${directory}/${FOLDER}`;
        return work(existsSync(folder) ? folder : undefined);
      }),
  };
}

export function keptTexts(places: Readonly<Record<ProvisionedFile, string>>): Texts {
  return Object.fromEntries(
    PROVISIONED.flatMap((file) => (existsSync(places[file]) ? [[file, readFileSync(places[file], "utf8")]] : [])),
  );
}

function espDevice(): string | undefined {
  const { esp } = bootReportFields();
  return typeof esp === "string" ? esp : undefined;
}
