import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { errorChain } from "../base/error.ts";
import { dhcpScript } from "../box/network/dhcp-script.ts";
import { applyNetwork } from "../box/network/driver.ts";
import { NOTHING_OWNED, type Owned } from "../box/network/planner.ts";
import type { NetworkPorts, Ran } from "../box/network/ports.ts";
import { withSshKeys } from "../box/network/ssh-keys.ts";
import { readConfig } from "../config/config.ts";
import type { NetworkSettings } from "../config/network.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import { paths } from "./paths.ts";

/** `ip` answers in some ms. */
const IP_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 3000;

export interface NetworkPlaces {
  readonly run: string;
  readonly onedConf: string;
  readonly boxConf: string;
  /** Undefined: keys are not kept here (a test). */
  readonly authorizedKeys: string | undefined;
}

export const NETWORK_PLACES: NetworkPlaces = {
  ...{ run: paths.run, onedConf: paths.onedConf, boxConf: paths.boxConf },
  authorizedKeys: "/root/.ssh/authorized_keys",
};

/** The network of both files; of a broken configuration its mistakes. */
export function readNetwork(places: NetworkPlaces): NetworkSettings | { readonly problems: readonly string[] } {
  const result = readConfig(
    { name: places.onedConf, text: textOf(places.onedConf) },
    { name: places.boxConf, text: textOf(places.boxConf) },
  );
  if ("config" in result) return result.config.box.network;
  return { problems: result.problems.map((one) => `${one.file}:${one.line}: ${one.message}`) };
}

/** Carries box.conf out on this machine. Returns what could not be done. */
export async function setUpNetwork(places: NetworkPlaces, log: (text: string) => void): Promise<readonly string[]> {
  const settings = readNetwork(places);
  if ("problems" in settings) {
    // Of a broken file nothing is believed; what runs goes on, and a box that has nothing yet asks for addresses.
    for (const problem of settings.problems) log(`network: ${problem}`);
    if (existsSync(`${places.run}/network.json`)) return settings.problems;
    const nothing = { hostname: undefined, dns: [], ntp: [], sshKeys: [], interfaces: [] };
    await applyNetwork(nothing, createPorts(places, log));
    return settings.problems;
  }
  return applyNetwork(settings, createPorts(places, log));
}

function createPorts(places: NetworkPlaces, log: (text: string) => void): NetworkPorts {
  const { run } = places;
  mkdirSync(run, { recursive: true });
  const script = `${run}/udhcpc-script`;
  const pidFile = (device: string): string => `${run}/udhcpc-${device}.pid`;
  return {
    log,
    ip: (words, input) => runProgram(["ip", ...words], input),
    readOwned: () => {
      try {
        return { ...NOTHING_OWNED, ...(JSON.parse(readFileSync(`${run}/network.json`, "utf8")) as Partial<Owned>) };
      } catch {
        return NOTHING_OWNED;
      }
    },
    writeOwned: (owned) => replace(`${run}/network.json`, JSON.stringify(owned)),
    startDhcp: (device, metric, hostname) => {
      if (dhcpClient(pidFile(device)) !== undefined) return;
      replace(script, dhcpScript(run), 0o755);
      const name = hostname === undefined ? [] : ["-x", `hostname:${hostname}`];
      // Goes to the background when no server has answered, and asks on: a cable that is plugged in later is enough.
      const words = [
        "-b",
        "-S",
        "-t",
        "3",
        "-T",
        "2",
        "-A",
        "5",
        "-i",
        device,
        "-s",
        script,
        "-p",
        pidFile(device),
        ...name,
      ];
      Bun.spawn(["busybox", "udhcpc", ...words], {
        env: { ...process.env, IF_METRIC: String(metric) },
        stdio: ["ignore", "ignore", "ignore"],
        detached: true,
      }).unref();
      log(`network: asks for an address on ${device}`);
    },
    stopDhcp: async (device) => {
      const pid = dhcpClient(pidFile(device));
      if (pid !== undefined) {
        process.kill(pid, "SIGTERM");
        for (const end = performance.now() + STOP_TIMEOUT_MS; dhcpClient(pidFile(device)) === pid; await Bun.sleep(50))
          if (performance.now() > end) process.kill(pid, "SIGKILL");
      }
      // Its script says deconfig only when it is asked to give the lease back.
      const address = textOf(`${run}/dhcp-${device}.address`).trim();
      if (address !== "") await runProgram(["ip", "address", "del", address, "dev", device]);
      for (const part of ["address", "dns", "ntp"]) rmSync(`${run}/dhcp-${device}.${part}`, { force: true });
    },
    setHostname: (name) => {
      try {
        writeFileSync("/proc/sys/kernel/hostname", name);
      } catch (error) {
        log(`network: the host name cannot be set: ${errorChain(error)}`);
      }
    },
    writeDns: (servers) => {
      replace(`${run}/dns`, servers.map((one) => `${one}\n`).join(""));
      const text = textOf(`${run}/resolv.conf`);
      const known = text.split("\n").filter((line) => /^nameserver /.test(line));
      const set = servers.map((one) => `nameserver ${one}`);
      // DHCP's come after; its script writes the file anew with each lease.
      replace(`${run}/resolv.conf`, [...new Set([...set, ...known])].map((line) => `${line}\n`).join(""));
    },
    writeSshKeys: (keys) => {
      if (places.authorizedKeys === undefined) return;
      try {
        const before = textOf(places.authorizedKeys);
        const after = withSshKeys(before, keys);
        if (after === before) return;
        mkdirSync(places.authorizedKeys.replace(/\/[^/]*$/, ""), { recursive: true, mode: 0o700 });
        writeFileDurably(places.authorizedKeys, after);
      } catch (error) {
        log(`network: the ssh keys cannot be kept: ${errorChain(error)}`);
      }
    },
  };
}

/** The DHCP client that a file names: only if it is one. */
function dhcpClient(pidFile: string): number | undefined {
  const pid = Number(textOf(pidFile).trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  return /udhcpc/.test(textOf(`/proc/${pid}/cmdline`)) && isOurNetwork(pid) ? pid : undefined;
}

/** A process of another network namespace is none of ours, whatever its number. */
function isOurNetwork(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync("/proc/self/ns/net");
  } catch {
    return false;
  }
}

async function runProgram(words: readonly string[], input?: string): Promise<Ran> {
  const child = Bun.spawn([...words], {
    stdin: input === undefined ? "ignore" : Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: IP_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

function replace(path: string, text: string, mode = 0o644): void {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
