import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** OpenIPMI's simulator as a server that we did not write: suite 3, one process, a power hook that is a shell script. */
export interface IpmiSim {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly passwordFile: string;
  readonly guid: string;
  isOn(): boolean;
  turn(isOn: boolean): void;
  stop(): void;
}

const USER = "admin";
const PASSWORD = "correct-horse42";
const GUID = "a123456789abcdefa1234567abcdef89";

/** Undefined when the program `name` is not installed. */
export function programPath(name: string): string | undefined {
  return Bun.which(name, { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` }) ?? undefined;
}

/** Starts ipmi_sim on a free loopback port. The caller waits until it answers, and stops it. */
export async function startIpmiSim(program: string): Promise<IpmiSim> {
  const directory = mkdtempSync(join(tmpdir(), "ipmi-sim-"));
  const powerFile = join(directory, "power");
  const passwordFile = join(directory, "password");
  const hook = join(directory, "chassis");
  const port = await freeUdpPort();
  mkdirSync(join(directory, "state"));
  writeFileSync(powerFile, "1\n");
  writeFileSync(passwordFile, PASSWORD);
  writeFileSync(hook, hookScript(powerFile), { mode: 0o755 });
  writeFileSync(join(directory, "lan.conf"), lanConfiguration(port, hook));
  writeFileSync(
    join(directory, "sim.emu"),
    "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n",
  );
  const child: ChildProcess = spawn(
    program,
    ["-n", "-c", join(directory, "lan.conf"), "-f", join(directory, "sim.emu"), "-s", join(directory, "state")],
    { stdio: "ignore" },
  );
  return {
    port,
    user: USER,
    password: PASSWORD,
    passwordFile,
    guid: GUID,
    isOn: () => readFileSync(powerFile, "utf8").trim() === "1",
    turn: (isOn) => writeFileSync(powerFile, isOn ? "1\n" : "0\n"),
    stop() {
      child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function hookScript(powerFile: string): string {
  // Only shell builtins: each status read starts this script, and a `cat` would double its price.
  return [
    "#!/bin/sh",
    'case "$1 $2" in',
    `"get power") read -r state < ${powerFile}; echo "power:$state" ;;`,
    `"set power") echo "$3" > ${powerFile} ;;`,
    "esac",
    "",
  ].join("\n");
}

function lanConfiguration(port: number, hook: string): string {
  const methods = "none md2 md5 straight";
  return [
    'name "ringfence-test"',
    "set_working_mc 0x20",
    "startlan 1",
    `addr 127.0.0.1 ${port}`,
    "priv_limit admin",
    ...["callback", "user", "operator", "admin"].map((level) => `allowed_auths_${level} ${methods}`),
    `guid ${GUID}`,
    "endlan",
    `chassis_control "${hook}"`,
    `user 2 true "${USER}" "${PASSWORD}" admin 10 ${methods}`,
    "",
  ].join("\n");
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
