import { dlopen } from "bun:ffi";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";

const CLONE_NEWNET = 0x40000000;
const { setns } = dlopen("libc.so.6", { setns: { args: ["i32", "i32"], returns: "i32" } }).symbols;

/** A command, its words split at spaces; throws with its error output when it fails. */
export function command(line: string, input?: string): string {
  const [program = "", ...rest] = line.split(" ");
  const result = spawnSync(program, rest, { encoding: "utf8", ...(input === undefined ? {} : { input }) });
  if (result.status !== 0) throw new Error(`${line}: ${result.stderr || result.error}`);
  return result.stdout;
}

/** Network namespaces of one test, on one switch (a bridge in a namespace of its own), all removed by `remove`. */
export interface TestNet {
  /** The namespace's full name, for `ip netns exec`. */
  name(box: string): string;
  /** Runs `ip …` or any command inside. */
  run(box: string, line: string, input?: string): string;
  /** Runs `action` with the calling thread inside: sockets opened there stay there. */
  inside<T>(box: string, action: () => T): T;
  remove(): void;
}

/** Makes `boxes` (name to address with prefix) with an interface `eth0` each. Names begin with rfvip- and our process id. */
export function createTestNet(boxes: Readonly<Record<string, string>>): TestNet {
  const name = (box: string): string => `rfvip-${process.pid}-${box}`;
  const run = (box: string, line: string, input?: string): string =>
    command(`ip netns exec ${name(box)} ${line}`, input);
  const all = ["switch", ...Object.keys(boxes)];
  const remove = (): void => {
    for (const box of all) spawnSync("ip", ["netns", "del", name(box)]);
  };
  process.once("exit", remove);
  // A runner's time limit ends us by SIGTERM, which alone would skip the "exit" event.
  process.once("SIGTERM", () => process.exit(143));
  for (const box of all) command(`ip netns add ${name(box)}`);
  run("switch", "ip link add br0 type bridge forward_delay 0");
  run("switch", "ip link set br0 up");
  for (const [box, address] of Object.entries(boxes)) {
    run("switch", `ip link add port-${box} type veth peer name eth0 netns ${name(box)}`);
    run("switch", `ip link set port-${box} master br0 up`);
    run(box, "ip link set lo up");
    run(box, `ip addr add ${address} dev eth0`);
    run(box, "ip link set eth0 up");
  }
  const inside = <T>(box: string, action: () => T): T => {
    const home = openSync("/proc/thread-self/ns/net", "r");
    const target = openSync(`/run/netns/${name(box)}`, "r");
    try {
      if (setns(target, CLONE_NEWNET) !== 0) throw new Error(`Cannot enter namespace ${name(box)}`);
      return action();
    } finally {
      setns(home, CLONE_NEWNET);
      closeSync(home);
      closeSync(target);
    }
  };
  return { name, run, inside, remove };
}
