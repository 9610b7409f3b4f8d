import { existsSync, readFileSync } from "node:fs";
import { readConfig } from "../../config/config.ts";
import { CLOCK_RATE_ERROR, expectedGap, LEASE_MARGIN_MS, timingProof } from "../../config/timings.ts";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";

const ONED_CONF = "/etc/one/oned.conf";
const BOX_CONF = "/etc/one/box.conf";

/** Exit code of `config check` when there are problems: told apart from a command that could not be run. */
const EXIT_PROBLEMS = 1;

/** Reads the configuration as a box would and shows the inequalities that its timings rest on, or every problem. */
export async function checkConfig({ terminal, words }: Context): Promise<void> {
  const [oned = ONED_CONF, box = words.length === 0 && existsSync(BOX_CONF) ? BOX_CONF : undefined] = words;
  const result = readConfig(read(oned), box === undefined ? undefined : read(box));
  if ("problems" in result) {
    throw new CommandFailure(
      result.problems.map((problem) => `${problem.file}:${problem.line}: ${problem.message}`).join("\n"),
      { exitCode: EXIT_PROBLEMS },
    );
  }
  const { cluster, ignored } = result.config;
  terminal.out(`${[oned, ...(box === undefined ? [] : [box])].join(" and ")}: no problems\n`);
  terminal.out(`Timings of profile ${cluster.timings.profile}:\n`);
  for (const fact of timingProof(cluster.timings)) terminal.out(`  ${fact.holds ? "holds" : "BROKEN"}: ${fact.text}\n`);
  terminal.out(
    `  ρ = ${100 * CLOCK_RATE_ERROR} %: how far two clocks may run apart; a box whose clock is steered by over ρ/2 gets no lease. δ = ${LEASE_MARGIN_MS} ms: two jiffies of 10 ms, and 5 ms of a late timer\n`,
  );
  const { typicalMs, largestMs } = expectedGap(cluster.timings);
  const [retryLeast, retryLargest] = cluster.timings.retryMs;
  terminal.out(
    `When the leader dies: no writes and no VIP for about ${typicalMs} ms, at most near ${largestMs} ms; an election that nobody wins adds ${retryLeast}–${retryLargest} ms\n`,
  );
  terminal.out(
    `A box that restarts votes for nobody during the largest E that it ever promised, here ${cluster.timings.promiseMs} ms\n`,
  );
  for (const { address, prefix, interface: name } of cluster.vips)
    terminal.out(
      `VIP ${address}/${prefix} on ${name}: leaves a box that hangs or dies at the latest ${leaseText(cluster.timings)} after its last answered heartbeat\n`,
    );
  if (cluster.vips.length === 0) terminal.out("No VIP: clients have to know all boxes\n");
  terminal.out("In force is what most boxes' files ask for: ringfence status shows it, and whose file differs\n");
  if (ignored.length > 0) terminal.out(`Without a meaning here: ${[...new Set(ignored)].join(", ")}\n`);
}

function leaseText({ promiseMs }: { readonly promiseMs: number }): string {
  return `${(promiseMs * (1 - CLOCK_RATE_ERROR) - LEASE_MARGIN_MS).toFixed(1)} ms`;
}

function read(name: string): { readonly name: string; readonly text: string } {
  if (!existsSync(name)) throw new CommandFailure(`File ${name} does not exist`, { exitCode: EXIT_PROBLEMS });
  return { name, text: readFileSync(name, "utf8") };
}
