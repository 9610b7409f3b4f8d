import { known, type Section } from "./known-settings.ts";
import { type NetworkSettings, networkOf } from "./network.ts";
import { type PurgeSettings, purgeOf } from "./purge.ts";
import { type Problem, parseSettings, type Setting, type VectorItem } from "./syntax.ts";
import { type RaftTimings, timingsOf } from "./timings.ts";

/** An address that the leader holds. The prefix only names the interface's net. */
export interface VipSetting {
  readonly interface: string;
  readonly address: string;
  readonly prefix: number;
}

/** HOST_HOOK and VM_HOOK sections, served by the built-in machine or run. */
export interface HookSetting {
  readonly name: string;
  readonly on: string;
  readonly command: string;
  readonly arguments: string;
}

/** What holds for the whole cluster (`/etc/one/oned.conf`). */
export interface ClusterConfig {
  readonly port: number;
  readonly listenAddress: string;
  readonly timings: RaftTimings;
  readonly purge: PurgeSettings;
  readonly vips: readonly VipSetting[];
  /** What a foreign machine that answers for the VIP leads to. */
  readonly vipConflict: "release" | "defend";
  /** Leader and follower hooks that are not the built-in VIP. */
  readonly leaderHooks: readonly HookSetting[];
  readonly followerHooks: readonly HookSetting[];
  readonly hostHooks: readonly HookSetting[];
  readonly vmHooks: readonly HookSetting[];
  /** ms of silence after which a host is suspect. */
  readonly suspectMs: number;
  /** A host whose storage lives while its network is dead. */
  readonly isolated: "fence" | "hold";
}

/** A line with a recovery console. */
export interface ConsoleLine {
  /** Path of the device. */
  readonly device: string;
  readonly baudRate: number;
}

/** The lamps and the button of a box's front; lines are names or offsets. */
export interface PanelSetting {
  /** `chip`: the character device; `sysfs`: by onoff, for kernels that lack it. */
  readonly driver: "chip" | "sysfs";
  readonly chip: string;
  readonly lines: Readonly<Partial<Record<"power" | "health" | "leader" | "fault" | "button", string>>>;
  /** Lines that are active when the wire is low. */
  readonly activeLow: readonly string[];
}

/** An external watchdog: the level of its line must change again and again. */
export interface WatchdogGpio {
  readonly chip: string;
  /** Name or offset. */
  readonly line: string;
  /** How long it waits for a change, s; most of them cannot be asked. */
  readonly timeoutSeconds: number;
}

/** What holds for this box only (`/etc/one/box.conf`; it wins). */
export interface BoxConfig {
  /** −1, also when no file says any: found a cluster of one when the data directory is empty; an image only if it is said. */
  readonly serverId: number;
  readonly isServerIdGiven: boolean;
  /** The box's own address; undefined: all, and the kernel chooses. */
  readonly managementAddress: string | undefined;
  readonly bmcAddress: string | undefined;
  /** Power commands leave by this interface under a live lease only. */
  readonly bmcInterface: string | undefined;
  /** Path; "none": whoever armed one is relieved, and it is disarmed. */
  readonly watchdogDevice: string | undefined;
  /** A watchdog beside the board that wants a line toggled. */
  readonly watchdogGpio: WatchdogGpio | undefined;
  /** T_hw, s. */
  readonly watchdogTimeoutSeconds: number;
  /** How long the box's program may be silent before it is started again, s. */
  readonly watchdogHangSeconds: number;
  readonly consoles: readonly ConsoleLine[];
  readonly panel: PanelSetting | undefined;
  /** Carried out on an image only; elsewhere the machine's network is not ringfence's. */
  readonly network: NetworkSettings;
}

export interface Config {
  readonly cluster: ClusterConfig;
  readonly box: BoxConfig;
  /** Settings of OpenNebula's that are read and have no meaning here. */
  readonly ignored: readonly string[];
}

export type ConfigResult = { readonly config: Config } | { readonly problems: readonly FileProblem[] };

export interface FileProblem extends Problem {
  readonly file: string;
}

/** A text with the name that its errors are reported under. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/** ms without MONITORING_INTERVAL_HOST (fencing.md section 1). */
const SUSPECT_MS_DEFAULT = 2000;
/** Longer than any pause of a healthy box that was seen; a hung kernel is gone within it. Petted each 4 s. */
export const WATCHDOG_SECONDS_DEFAULT = 20;
/** Ten check-ins. More is for a machine that is far slower than any PC, an emulator for one. */
export const WATCHDOG_HANG_SECONDS = { least: 5, most: 60 } as const;
/** The usual supervisor chips wait for 1.6 s and more. */
const WATCHDOG_GPIO_SECONDS_DEFAULT = 2;

const PANEL_LINES = ["power", "health", "leader", "fault", "button"] as const;

/** What serial consoles of servers and switches speak. */
const CONSOLE_BAUD_DEFAULT = "115200";

/** Reads both files; reports every problem with file and line, never only the first. */
export function readConfig(oned: ConfigFile, box: ConfigFile | undefined): ConfigResult {
  const reader = new ConfigReader();
  reader.add(oned);
  if (box !== undefined) reader.add(box);
  return reader.finish();
}

interface Located extends Setting {
  readonly file: string;
}

class ConfigReader {
  readonly #problems: FileProblem[] = [];
  readonly #ignored: string[] = [];
  readonly #settings = new Map<string, Located[]>();

  add(file: ConfigFile): void {
    const parsed = parseSettings(file.text);
    if ("message" in parsed) {
      this.#problems.push({ line: parsed.line, message: parsed.message, file: file.name });
      return;
    }
    const ownNames = new Set<string>();
    for (const setting of parsed) {
      const section = known(setting.name);
      if (section === undefined) {
        this.#problem({ ...setting, file: file.name }, `unknown setting "${setting.name}"`);
        continue;
      }
      if (section.kind === "ignored") {
        this.#ignored.push(setting.name);
        continue;
      }
      if (!section.isRepeatable && ownNames.has(setting.name))
        this.#problem({ ...setting, file: file.name }, `${setting.name} is set twice`);
      this.#checkShape(section, { ...setting, file: file.name });
      // What box.conf says replaces what oned.conf says; within one file a repeatable setting adds up.
      const before = ownNames.has(setting.name) ? (this.#settings.get(setting.name) ?? []) : [];
      this.#settings.set(setting.name, [...before, { ...setting, file: file.name }]);
      ownNames.add(setting.name);
    }
  }

  finish(): ConfigResult {
    const federation = this.#vector("FEDERATION");
    const network = this.#vector("NETWORK");
    const watchdog = this.#vector("WATCHDOG");
    const raft = this.#settings.get("RAFT")?.[0];
    const timings = timingsOf(this.#vector("RAFT"));
    if ("problem" in timings) this.#problem(raft, `RAFT: ${timings.problem}`);
    const purge = purgeOf(this.#vector("RAFT"));
    if ("problem" in purge) this.#problem(raft, `RAFT: ${purge.problem}`);
    const vips = this.#vips();
    const serverId =
      this.#integer("SERVER_ID", -1, 1000) ?? this.#integerOf(federation, "FEDERATION", "SERVER_ID", -1, 1000);
    const monitoring = this.#integer("MONITORING_INTERVAL_HOST", 1, 3600);
    const config: Config = {
      cluster: {
        port: this.#integer("PORT", 1, 65535) ?? 2633,
        listenAddress: this.#text("LISTEN_ADDRESS") ?? "0.0.0.0",
        timings: "problem" in timings ? timings.fallback : timings,
        purge: "problem" in purge ? purge.fallback : purge,
        vips,
        vipConflict: this.#choice("VIP_CONFLICT", ["release", "defend"]) ?? "release",
        leaderHooks: this.#hooks("RAFT_LEADER_HOOK").filter((hook) => !isVipHook(hook)),
        followerHooks: this.#hooks("RAFT_FOLLOWER_HOOK").filter((hook) => !isVipHook(hook)),
        hostHooks: this.#hooks("HOST_HOOK"),
        vmHooks: this.#hooks("VM_HOOK"),
        suspectMs: monitoring === undefined ? SUSPECT_MS_DEFAULT : monitoring * 1000,
        isolated: this.#choice("ISOLATED", ["fence", "hold"]) ?? "fence",
      },
      box: {
        serverId: serverId ?? -1,
        isServerIdGiven: serverId !== undefined,
        managementAddress: network["MGMT"],
        bmcAddress: network["BMC"],
        bmcInterface: network["BMC_INTERFACE"],
        watchdogDevice: watchdog["DEVICE"],
        watchdogGpio: this.#watchdogGpio(),
        watchdogTimeoutSeconds: this.#integerOf(watchdog, "WATCHDOG", "TIMEOUT", 5, 600) ?? WATCHDOG_SECONDS_DEFAULT,
        watchdogHangSeconds: this.#hangSeconds(watchdog),
        consoles: this.#consoles(),
        panel: this.#panel(),
        network: this.#network(),
      },
      ignored: [...new Set(this.#ignored)],
    };
    return this.#problems.length > 0 ? { problems: this.#problems } : { config };
  }

  #hangSeconds(watchdog: Readonly<Record<string, string>>): number {
    const { least, most } = WATCHDOG_HANG_SECONDS;
    return this.#integerOf(watchdog, "WATCHDOG", "HANG", least, most) ?? least;
  }

  #problem(at: { readonly file: string; readonly line: number } | undefined, message: string): void {
    this.#problems.push({ file: at?.file ?? "configuration", line: at?.line ?? 1, message });
  }

  #checkShape(section: Section, setting: Located): void {
    if (section.kind === "ignored") return;
    if (section.kind === "value") {
      if (typeof setting.value !== "string") this.#problem(setting, `${setting.name} takes a value, not a list in [ ]`);
      return;
    }
    if (typeof setting.value === "string") {
      this.#problem(setting, `${setting.name} takes a list in [ ], not "${setting.value}"`);
      return;
    }
    const seen = new Set<string>();
    for (const item of setting.value) {
      const at = { file: setting.file, line: item.line };
      if (!section.keys.includes(item.name))
        this.#problem(at, `unknown ${item.name} in ${setting.name}; known: ${section.keys.join(", ")}`);
      if (seen.has(item.name)) this.#problem(at, `${item.name} is set twice in ${setting.name}`);
      seen.add(item.name);
    }
    for (const key of section.required)
      if (!seen.has(key)) this.#problem(setting, `${key} is missing in ${setting.name}`);
  }

  #vector(name: string): Readonly<Record<string, string>> {
    return itemsOf(this.#settings.get(name)?.[0]);
  }

  #text(name: string): string | undefined {
    const value = this.#settings.get(name)?.[0]?.value;
    return typeof value === "string" ? value : undefined;
  }

  #integer(name: string, least: number, largest: number): number | undefined {
    const setting = this.#settings.get(name)?.[0];
    return setting === undefined || typeof setting.value !== "string"
      ? undefined
      : this.#checkedInteger(setting, name, setting.value, least, largest);
  }

  #integerOf(
    items: Readonly<Record<string, string>>,
    section: string,
    name: string,
    least: number,
    largest: number,
  ): number | undefined {
    const text = items[name];
    if (text === undefined) return undefined;
    return this.#checkedInteger(this.#settings.get(section)?.[0], `${section}/${name}`, text, least, largest);
  }

  #checkedInteger(
    at: Located | undefined,
    name: string,
    text: string,
    least: number,
    largest: number,
  ): number | undefined {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= least && value <= largest) return value;
    this.#problem(at, `${name} = "${text}" is not a whole number in ${least} … ${largest}`);
    return undefined;
  }

  #choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.#text(name)?.toLowerCase();
    const choice = choices.find((value) => value === text);
    if (text !== undefined && choice === undefined)
      this.#problem(this.#settings.get(name)?.[0], `${name} = "${text}" is not one of ${choices.join(", ")}`);
    return choice;
  }

  #consoles(): ConsoleLine[] {
    const lines: ConsoleLine[] = [];
    for (const setting of this.#settings.get("CONSOLE") ?? []) {
      const items = itemsOf(setting);
      const device = items["DEVICE"] ?? "";
      const baudRate = this.#checkedInteger(
        setting,
        "CONSOLE/BAUD",
        items["BAUD"] ?? CONSOLE_BAUD_DEFAULT,
        50,
        4_000_000,
      );
      if (!/^(\/[\w./-]+|[A-Za-z][\w-]*)$/.test(device)) {
        this.#problem(setting, `CONSOLE: DEVICE = "${device}" is not a device: ttyS0, or a path`);
        continue;
      }
      const path = device.startsWith("/") ? device : `/dev/${device}`;
      if (lines.some((line) => line.device === path)) this.#problem(setting, `CONSOLE: ${device} is given twice`);
      if (baudRate !== undefined) lines.push({ device: path, baudRate });
    }
    return lines;
  }

  #watchdogGpio(): WatchdogGpio | undefined {
    const setting = this.#settings.get("WATCHDOG")?.[0];
    if (setting === undefined) return undefined;
    const items = itemsOf(setting);
    const { DEVICE: device, GPIO: line, CHIP: chip } = items;
    if (device === undefined && line === undefined)
      this.#problem(setting, "WATCHDOG has neither DEVICE nor GPIO: there is nothing to pet");
    if ((line === undefined) !== (chip === undefined))
      this.#problem(setting, `${line === undefined ? "GPIO" : "CHIP"} is missing in WATCHDOG: a line needs both`);
    const timeoutSeconds = this.#integerOf(items, "WATCHDOG", "GPIO_TIMEOUT", 1, 600) ?? WATCHDOG_GPIO_SECONDS_DEFAULT;
    return line === undefined || chip === undefined ? undefined : { chip, line, timeoutSeconds };
  }

  #network(): NetworkSettings {
    const located = (setting: Located) => ({
      items: itemsOf(setting),
      problem: (message: string) => this.#problem(setting, message),
    });
    const [network] = this.#settings.get("NETWORK") ?? [];
    return networkOf(
      network === undefined ? undefined : located(network),
      (this.#settings.get("INTERFACE") ?? []).map(located),
      (this.#settings.get("SSH_KEY") ?? []).map((setting) => ({
        text: typeof setting.value === "string" ? setting.value : "",
        problem: (message: string) => this.#problem(setting, message),
      })),
    );
  }

  #panel(): PanelSetting | undefined {
    const setting = this.#settings.get("GPIO")?.[0];
    if (setting === undefined) return undefined;
    const items = itemsOf(setting);
    const driver = (items["DRIVER"] ?? "chip").toLowerCase();
    if (driver !== "chip" && driver !== "sysfs") {
      this.#problem(setting, `GPIO: DRIVER = "${driver}" is not one of chip, sysfs`);
      return undefined;
    }
    const wires = Object.fromEntries(
      PANEL_LINES.flatMap((name) => {
        const line = items[name.toUpperCase()];
        return line === undefined ? [] : [[name, line]];
      }),
    );
    const activeLow = (items["ACTIVE_LOW"] ?? "")
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((name) => name !== "");
    for (const name of activeLow)
      if (!(name in wires)) this.#problem(setting, `GPIO: ACTIVE_LOW names "${name}", which has no line`);
    return { driver, chip: items["CHIP"] ?? "", lines: wires, activeLow };
  }

  #hooks(name: string): HookSetting[] {
    return (this.#settings.get(name) ?? []).map((setting) => {
      const items = itemsOf(setting);
      return {
        name: items["NAME"] ?? name.toLowerCase(),
        on: (items["ON"] ?? "").toUpperCase(),
        command: items["COMMAND"] ?? "",
        arguments: items["ARGUMENTS"] ?? "",
      };
    });
  }

  /** VIP sections, or OpenNebula's own leader hook with its follower twin. */
  #vips(): VipSetting[] {
    const vips: VipSetting[] = [];
    for (const setting of this.#settings.get("VIP") ?? []) {
      const items = itemsOf(setting);
      this.#addVip(vips, setting, items["INTERFACE"] ?? "", items["ADDRESS"] ?? "");
    }
    const leader = this.#vipHook("RAFT_LEADER_HOOK", "leader");
    const follower = this.#vipHook("RAFT_FOLLOWER_HOOK", "follower");
    if (leader.key !== follower.key)
      this.#problem(
        (leader.setting ?? follower.setting) as Located,
        `RAFT_LEADER_HOOK and RAFT_FOLLOWER_HOOK name different addresses: "${leader.key}" and "${follower.key}"`,
      );
    if (leader.setting !== undefined && vips.length > 0)
      this.#problem(leader.setting, "the address is given both by VIP and by RAFT_LEADER_HOOK; keep one of them");
    else if (leader.setting !== undefined) this.#addVip(vips, leader.setting, leader.interface, leader.address);
    return vips;
  }

  #vipHook(
    name: string,
    role: string,
  ): { key: string; interface: string; address: string; setting: Located | undefined } {
    const setting = (this.#settings.get(name) ?? []).find((s) => isVipHook({ command: itemsOf(s)["COMMAND"] ?? "" }));
    if (setting === undefined) return { key: "", interface: "", address: "", setting };
    const words = (itemsOf(setting)["ARGUMENTS"] ?? "").trim().split(/\s+/);
    if (words[0] !== role || words.length < 3)
      this.#problem(setting, `${name}: ARGUMENTS = "${words.join(" ")}" is not "${role} INTERFACE ADDRESS/PREFIX"`);
    return { key: words.slice(1, 3).join(" "), interface: words[1] ?? "", address: words[2] ?? "", setting };
  }

  #addVip(vips: VipSetting[], at: Located, name: string, text: string): void {
    const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text);
    const address = match?.[1] ?? "";
    const prefix = Number(match?.[2] ?? 99);
    if (match === null || address.split(".").some((part) => Number(part) > 255) || prefix > 32 || prefix < 1)
      this.#problem(
        at,
        `Cannot parse address "${text}": expected an IPv4 address with a prefix of 1 … 32, as 10.3.3.2/24`,
      );
    else if (!/^[A-Za-z0-9_.-]{1,15}$/.test(name)) this.#problem(at, `"${name}" is not an interface name`);
    else if (vips.some((vip) => vip.address === address)) this.#problem(at, `the address ${address} is given twice`);
    else vips.push({ interface: name, address, prefix });
  }
}

/** OpenNebula's script for the floating address; ours is built in. */
function isVipHook(hook: { readonly command: string }): boolean {
  return /(^|\/)vip\.sh$/.test(hook.command);
}

function itemsOf(setting: Setting | undefined): Readonly<Record<string, string>> {
  if (setting === undefined || typeof setting.value === "string") return {};
  return Object.fromEntries(setting.value.map((item: VectorItem) => [item.name, item.value]));
}
