/** The rack's commands; scripts/rack starts this file. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CodedError, errorChain } from "../../../src/base/error.ts";
import { type Arguments, choice, parseArguments, wholeNumber } from "./arguments.ts";
import { setBmcFault } from "./bmc.ts";
import { monotonicMs } from "./command.ts";
import { cutNode, freezeNode, healAll, healNode, partition, setDelay, setLoss } from "./faults.ts";
import { showLogs } from "./logs.ts";
import { commandIn, findNode, isOn, powerCut, powerOn } from "./node.ts";
import { type Place, placeOf } from "./place.ts";
import { type NodePlan, networks } from "./plan.ts";
import { pressPower } from "./power-button.ts";
import { killProcess } from "./processes.ts";
import { profiles, type RackState, readState, tiers } from "./state.ts";
import { formatStatus, rackStatus } from "./status.ts";
import { down, up, waitReady } from "./up.ts";

const usage = `rack: three boxes, their hypervisors and their switches on this machine

  rack up [--boxes 3] [--hosts 2] [--tier fast|linux] [--profile default|fast]
          [--oned-conf FILE] [--bare] [--image FILE [--emulated N]]   --bare: boxes run nothing; --image: they are
                                            machines in an emulator, with N the last N of them
  rack status [--json]
  rack down [--cache]                       removes all; with --cache the built guest kernel too
  rack power on|off|cycle NODE [--plug]     hosts: by their BMC, unless --plug
  rack power cut NODE                       pulls the plug
  rack cut NODE [--network mgmt|bmc]        unplugs its cables
  rack heal [NODE] [--network mgmt|bmc]     undoes cuts, delays, losses, partitions (of all)
  rack partition A,B '|' C [--network N]    no frame between the sides; '>' for one direction
  rack loss NODE PERCENT [--network N]      loses frames from and to it, at random; 0 ends it
  rack delay NODE MS [JITTER_MS] [--network N]  each frame from and to it waits; 0 ends it
  rack freeze|thaw NODE                     stops all its programs; its kernel still answers ping
  rack kill NODE/PROCESS [--signal KILL]    box0/main, hv1/libvirtd
  rack bmc HOST FAULT [VALUE]               silent, slow MS, lying MS, ...; none ends all
  rack shell NODE [COMMAND ...]
  rack logs [NODE] [--lines 20]

  --rack NAME before or after any command: another rack beside this one (or RINGFENCE_RACK=NAME)`;

const knownOptions = {
  ...{
    boxes: true,
    hosts: true,
    tier: true,
    profile: true,
    "oned-conf": true,
    image: true,
    emulated: true,
    json: false,
    cache: false,
    plug: false,
    bare: false,
  },
  ...{ network: true, signal: true, lines: true, rack: true, help: false },
};

type Command = (context: { place: Place; words: readonly string[]; options: Arguments["options"] }) => Promise<void>;

const commands: Readonly<Record<string, Command>> = {
  up: async ({ place, options }) => {
    const startedAt = monotonicMs();
    const onedConf = options.get("oned-conf");
    const text = onedConf === undefined ? undefined : readFileSync(onedConf, "utf8");
    const { state, started } = await up(place, {
      ...optional("boxes", wholeNumber("--boxes", options.get("boxes"))),
      ...optional("hosts", wholeNumber("--hosts", options.get("hosts"))),
      ...optional("tier", choice("--tier", options.get("tier"), tiers)),
      ...optional("profile", choice("--profile", options.get("profile"), profiles)),
      ...(options.has("bare") ? { bare: true } : {}),
      ...optional("image", imageFile(options.get("image"))),
      ...optional("emulated", wholeNumber("--emulated", options.get("emulated"))),
      ...(text === undefined ? {} : { onedConf: () => text }),
    });
    const size = `${state.boxes} boxes, ${state.hosts} hosts`;
    const seconds = ((monotonicMs() - startedAt) / 1000).toFixed(1);
    if (started.length === 0) console.log(`The rack is up already (${size}); nothing was changed.`);
    else console.log(`The rack is up (${size}) after ${seconds} s; switched on: ${started.join(" ")}`);
  },

  status: async ({ place, options }) => {
    const status = await rackStatus(place, upState(place));
    console.log(options.has("json") ? JSON.stringify(status) : formatStatus(status));
  },

  down: async ({ place, options }) => {
    const wasUp = await down(place, { cache: options.has("cache") });
    console.log(wasUp ? "The rack is down; nothing of it is left." : "The rack is down already.");
  },

  power: async ({ place, words: [action, name], options }) => {
    const verb = choice("what to do with the power", action ?? "", ["on", "off", "cycle", "cut"]) ?? "off";
    const state = upState(place);
    const plan = findNode(state, name ?? "");
    const byBmc = plan.kind === "host" && verb !== "cut" && !options.has("plug");
    if (byBmc && verb !== "cycle") return void console.log(await pressPower(place, plan, verb));
    if (byBmc) console.log(await pressPower(place, plan, "off"));
    if (byBmc) return void console.log(await pressPower(place, plan, "on"));
    if (verb !== "on") {
      const wasOn = isOn(place, plan);
      const { cutAtMs, deadAtMs } = await powerCut(place, plan);
      console.log(
        wasOn
          ? `${name} is off: the last process went ${(deadAtMs - cutAtMs).toFixed(1)} ms after its cables`
          : `${name} was off already`,
      );
    }
    if (verb === "on" || verb === "cycle") {
      const changed = await powerOn(place, plan, state);
      await waitReady(place, plan);
      console.log(changed ? `${name} is on` : `${name} was on already`);
    }
  },

  cut: async ({ place, words: [name], options }) => {
    await cutNode(place, findNode(upState(place), name ?? ""), network(options));
    console.log(`${name}: cut`);
  },

  heal: async ({ place, words: [name], options }) => {
    const state = upState(place);
    if (name === undefined) await healAll(place, state);
    else await healNode(place, findNode(state, name), network(options));
    console.log(`${name ?? "all"}: healed`);
  },

  partition: async ({ place, words, options }) => {
    const state = upState(place);
    const [, left = "", sign, right = ""] = /^([^|>]+)([|>])([^|>]+)$/.exec(words.join(" ")) ?? [];
    if (sign === undefined)
      throw new CodedError("RACK_USAGE", `Cannot partition "${words.join(" ")}": write A,B '|' C`);
    const chosen = network(options);
    await partition(place, nodeList(state, left), nodeList(state, right), {
      oneWay: sign === ">",
      ...(chosen === undefined ? {} : { network: chosen }),
    });
    console.log(`no frame passes ${left.trim()} ${sign === ">" ? "->" : "<->"} ${right.trim()}`);
  },

  loss: async ({ place, words: [name, percent], options }) => {
    const share = wholeNumber("PERCENT", percent ?? "") ?? 0;
    await setLoss(place, findNode(upState(place), name ?? ""), share, network(options));
    console.log(`${name} loses ${share} % of its frames`);
  },

  delay: async ({ place, words: [name, ms, jitter], options }) => {
    const delay = { ms: wholeNumber("MS", ms ?? "") ?? 0, jitterMs: wholeNumber("JITTER_MS", jitter) ?? 0 };
    await setDelay(place, findNode(upState(place), name ?? ""), delay, network(options));
    console.log(`${name}: each frame waits ${delay.ms} ms, and up to ${delay.jitterMs} ms more`);
  },

  freeze: async ({ place, words: [name] }) => {
    await freezeNode(place, findNode(upState(place), name ?? ""), true);
    console.log(`${name} is frozen`);
  },

  thaw: async ({ place, words: [name] }) => {
    await freezeNode(place, findNode(upState(place), name ?? ""), false);
    console.log(`${name} goes on`);
  },

  kill: async ({ place, words: [target = ""], options }) => {
    const [nodeName = "", processName = ""] = target.split("/");
    const plan = findNode(upState(place), nodeName);
    const signal = `SIG${(options.get("signal") ?? "KILL").toUpperCase().replace(/^SIG/, "")}` as NodeJS.Signals;
    const victims = killProcess(place, plan, processName, signal);
    console.log(`${signal} to ${target} (${victims.join(", ")})`);
  },

  bmc: async ({ place, words: [name = "", fault = "", value] }) => {
    const state = upState(place);
    const plan = findNode(state, name.replace(/^hv/, "bmc"));
    if (plan.kind !== "bmc") throw new CodedError("RACK_NODE", `Cannot set a BMC fault of "${name}": it is not a host`);
    if (fault === "") throw new CodedError("RACK_USAGE", `Cannot set a BMC fault of "${name}": which?`);
    const number = value !== undefined && /^\d+$/.test(value) ? Number(value) : value;
    console.log(JSON.stringify(await setBmcFault(place, plan, fault, number)));
  },

  shell: async ({ place, words: [name = "", ...argv] }) => {
    const command = argv.length === 0 ? ["env", `PS1=${name}# `, "bash", "--norc", "-i"] : argv;
    const child = Bun.spawn([...commandIn(place, findNode(upState(place), name), command)], {
      stdio: ["inherit", "inherit", "inherit"],
    });
    process.exitCode = await child.exited;
  },

  logs: async ({ place, words: [name], options }) => {
    const state = upState(place);
    if (name !== undefined) findNode(state, name);
    await showLogs(place, state, name, wholeNumber("--lines", options.get("lines")) ?? 20);
  },
};

function upState(place: Place): RackState {
  const state = readState(place);
  if (state === undefined)
    throw new CodedError("RACK_DOWN", `The rack is down (no ${place.runDirectory}/state.json): "rack up" first`);
  return state;
}

function nodeList(state: RackState, names: string): readonly NodePlan[] {
  return names
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((name) => findNode(state, name));
}

function network(options: Arguments["options"]) {
  return choice("--network", options.get("network"), networks);
}

/** Its path from anywhere. Throws RACK_USAGE when there is no such file. */
function imageFile(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (!existsSync(path))
    throw new CodedError("RACK_USAGE", `There is no image "${path}": ./scripts/image build makes one`);
  return resolve(path);
}

/** A property for an object, or none when the value is missing. */
function optional<const K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? ({} as { readonly [P in K]?: V }) : ({ [key]: value } as { readonly [P in K]?: V });
}

/** `rack shell NODE ls --all`: what follows the node belongs to the command, not to us. */
function protectShellWords(argv: readonly string[]): readonly string[] {
  const at = argv.indexOf("shell");
  return at >= 0 && argv.length > at + 2 ? [...argv.slice(0, at + 2), "--", ...argv.slice(at + 2)] : argv;
}

try {
  const { words, options } = parseArguments(protectShellWords(process.argv.slice(2)), knownOptions);
  const [name, ...rest] = words;
  if (name === undefined || options.has("help")) {
    console.log(usage);
  } else {
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined)
      throw new CodedError("RACK_USAGE", `Unknown command "${name}": one of ${Object.keys(commands).join(", ")}`);
    await command({ place: placeOf(options.get("rack")), words: rest, options });
  }
} catch (error) {
  console.error(`rack: ${errorChain(error)}`);
  process.exitCode = error instanceof CodedError && error.code === "RACK_USAGE" ? 2 : 1;
}
