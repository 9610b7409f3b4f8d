import { existsSync, readFileSync } from "node:fs";
import { readConfig } from "../../config/config.ts";
import { timingProof } from "../../config/timings.ts";
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
  if (ignored.length > 0) terminal.out(`Without a meaning here: ${[...new Set(ignored)].join(", ")}\n`);
}

function read(name: string): { readonly name: string; readonly text: string } {
  if (!existsSync(name)) throw new CommandFailure(`File ${name} does not exist`, { exitCode: EXIT_PROBLEMS });
  return { name, text: readFileSync(name, "utf8") };
}
