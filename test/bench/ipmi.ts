import { execFile } from "node:child_process";
import { createBmc } from "../../src/node-ipmi/bmc/bmc.ts";
import type { SuiteId } from "../../src/node-ipmi/codec/suites.ts";
import { openSession } from "../../src/node-ipmi/open-session.ts";
import { type IpmiSim, programPath, startIpmiSim } from "../support/ipmi-sim.ts";
import type { BenchRow } from "./row.ts";

/** K x T of fencing: how long the second *off* answer waits behind the first. A choice, not a measurement. */
const PROOF_DELAY_MS = 250;
const PARALLEL = 100;
const RUNS = 20;
const SIM_START_MS_MAX = 5_000;
const TOOL_MS_MAX = 10_000;

/**
 * Power off and verified off against OpenIPMI's simulator, ours and ipmitool's turn by turn; and 100 of our own
 * simulated BMCs at once. Needs ipmi_sim and ipmitool for the first; says so when they are missing.
 */
export async function bench(options: { runs?: number; log: (line: string) => void }): Promise<BenchRow[]> {
  return [
    ...(await offAndVerify(options.runs ?? RUNS, options.log)),
    { key: "ipmi.proofDelay", value: PROOF_DELAY_MS, unit: "ms", n: 1, peer: null, peerValue: null, ratio: null },
    await parallel(options.log),
  ];
}

async function offAndVerify(runs: number, log: (line: string) => void): Promise<BenchRow[]> {
  const simulator = programPath("ipmi_sim");
  const tool = programPath("ipmitool");
  if (!simulator || !tool) {
    log("ipmi.offVerify left out: ipmi_sim or ipmitool is not installed");
    return [];
  }
  const sim = await startIpmiSim(simulator);
  try {
    await untilItAnswers(sim);
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let run = 0; run < runs; run++) {
      sim.turn(true);
      ours.push(await timed(() => offByUs({ port: sim.port, user: sim.user, password: sim.password, suites: [3] })));
      demandOff(sim, "our session");
      sim.turn(true);
      theirs.push(await timed(() => offByTool(tool, sim)));
      demandOff(sim, "ipmitool");
    }
    const value = median(ours);
    const peerValue = median(theirs);
    log(`off and verified off: ours ${spread(ours)}, ipmitool ${spread(theirs)}`);
    const ratio = value / peerValue;
    return [{ key: "ipmi.offVerify.median", value, unit: "ms", n: runs, peer: "ipmitool", peerValue, ratio }];
  } finally {
    sim.stop();
  }
}

interface Target {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly suites: readonly SuiteId[];
}

/** Session, off, then the status in the same session until it says off. */
async function offByUs(target: Target): Promise<void> {
  const session = await openSession({ address: "127.0.0.1", ...target });
  try {
    await session.power("off");
    while ((await session.chassisStatus()).isPowerOn);
  } finally {
    await session.close();
  }
}

async function offByTool(tool: string, sim: IpmiSim): Promise<void> {
  const run = (verb: string) =>
    new Promise<string>((resolve, reject) => {
      const login = ["-H", "127.0.0.1", "-p", String(sim.port), "-U", sim.user, "-f", sim.passwordFile];
      const words = ["-I", "lanplus", ...login, "-L", "OPERATOR", "-C", "3", "chassis", "power", verb];
      execFile(tool, words, { timeout: TOOL_MS_MAX }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
  await run("off");
  while (!(await run("status")).includes("is off"));
}

/** All at once on one event loop: what fencing a whole rack costs. The BMCs share this process and its processor. */
async function parallel(log: (line: string) => void): Promise<BenchRow> {
  const target = { user: "admin", password: "sixteen letters!" };
  const power = Array.from({ length: PARALLEL }, () => true);
  const bmcs = await Promise.all(
    power.map((_, index) =>
      createBmc({
        address: "127.0.0.1",
        port: 0,
        users: [{ name: target.user, password: target.password, privilege: "operator" }],
        guid: Buffer.alloc(16, index + 1),
        power: {
          get: () => power[index] ?? false,
          set: (isOn) => {
            power[index] = isOn;
          },
          reset: () => undefined,
        },
      }),
    ),
  );
  try {
    const value = await timed(async () => {
      await Promise.all(bmcs.map(({ port }) => offByUs({ ...target, port, suites: [17] })));
    });
    if (power.includes(true)) throw new Error("Cannot measure: a host is still on");
    log(`${PARALLEL} BMCs off and verified at once: ${value.toFixed(1)} ms`);
    return { key: "ipmi.parallel100", value, unit: "ms", n: PARALLEL, peer: null, peerValue: null, ratio: null };
  } finally {
    await Promise.all(bmcs.map((bmc) => bmc.close()));
  }
}

function demandOff(sim: IpmiSim, who: string): void {
  if (sim.isOn()) throw new Error(`Cannot trust the figure: ${who} reported off while the host is on`);
}

async function untilItAnswers(sim: IpmiSim): Promise<void> {
  const { port, user, password } = sim;
  const end = performance.now() + SIM_START_MS_MAX;
  for (;;) {
    try {
      const session = await openSession({ address: "127.0.0.1", port, user, password, suites: [3] });
      return await session.close();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

function spread(samples: readonly number[]): string {
  const [min, max] = [Math.min(...samples), Math.max(...samples)];
  return `${min.toFixed(1)} / ${median(samples).toFixed(1)} / ${max.toFixed(1)} ms (min/median/max)`;
}
