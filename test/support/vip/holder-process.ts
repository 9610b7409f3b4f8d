/**
 * A holder in a process of its own, to be stopped and killed. Commands on standard input: `lead TERM`, `ok ROUND`,
 * `lost`. It writes `round N` after each beforeRound, and stops itself (SIGSTOP) right before some call into the kernel.
 * Arguments: the holder's configuration as JSON with `leaseMs`, then the seed of the stops.
 */
import { createInterface } from "node:readline";
import { createPrng } from "../../../src/base/prng.ts";
import { linuxPorts } from "../../../src/parts/gate.ts";
import type { HolderConfig } from "../../../src/vip/config.ts";
import { createHolder } from "../../../src/vip/driver.ts";

const config = JSON.parse(process.argv[2] ?? "") as HolderConfig & { readonly leaseMs: number };
const prng = createPrng(Number(process.argv[3]));
const ROUND_INTERVAL_MS = 50;

const kernel = linuxPorts(
  (code, text) => console.error(code, text),
  () => {},
);
let stopAfter = performance.now() + 1500;
const mayStop = (): void => {
  if (performance.now() < stopAfter) return;
  process.kill(process.pid, "SIGSTOP");
  stopAfter = performance.now() + prng.range(300, 900);
};
const stopping = <A extends unknown[], R>(call: (...given: A) => R): ((...given: A) => R) => {
  return (...given) => {
    if (prng.chance(0.5)) mayStop();
    return call(...given);
  };
};
const holder = createHolder(config, {
  ...kernel,
  nft: { run: stopping(kernel.nft.run) },
  links: { ...kernel.links, setAddress: stopping(kernel.links.setAddress) },
  openPacketSocket: (index, addresses) => {
    const socket = kernel.openPacketSocket(index, addresses);
    return { ...socket, send: stopping(socket.send) };
  },
});

let isLeading = false;
let round = 0;
let roundAt = 0;
createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, value] = line.split(" ");
  if (word === "lead") {
    isLeading = true;
    holder.leaderReady(Number(value));
  } else if (word === "ok") holder.roundConfirmed(Number(value));
  else if (word === "lost") {
    isLeading = false;
    holder.leadershipLost();
  }
});
process.stdin.once("close", () => process.exit(0));
setInterval(() => {
  holder.apiAnswered();
  if (isLeading && performance.now() - roundAt >= ROUND_INTERVAL_MS) {
    roundAt = performance.now();
    round++;
    holder.beforeRound(round, config.leaseMs);
    process.stdout.write(`round ${round}\n`);
  }
  holder.tick();
}, 10);
console.log("ready");
