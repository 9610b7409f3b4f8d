import { readFileSync } from "node:fs";
import { readConfig } from "../config/config.ts";
import type { ConsolePorts } from "../console/ports.ts";
import type { ActionResult } from "../console/types.ts";
import { createClock } from "../linux/clock.ts";
import { ConsoleCommands } from "./console-commands.ts";
import { gatherFacts } from "./console-facts.ts";
import { ConsolePassword } from "./console-password.ts";
import { ConsoleRecords } from "./console-records.ts";
import { paths } from "./paths.ts";

const PORT_DEFAULT = 2633;

/** Records of this box that the cluster does not have yet; also what main delivers from. */
export function consoleRecords(): ConsoleRecords {
  return new ConsoleRecords(paths.consoleRecords, `${paths.run}/console-records`);
}

/** The console's world: this box. */
export function consolePorts(options: {
  readonly version: string;
  readonly write: (text: string) => void;
  readonly end: (isDone: boolean) => void;
  readonly shell: (() => Promise<ActionResult>) | undefined;
}): ConsolePorts {
  const clock = createClock();
  const records = consoleRecords();
  const password = new ConsolePassword(
    { password: paths.consolePassword, oneAuth: paths.oneAuth, attempts: `${paths.run}/console-attempts.json` },
    () => clock.monotonicRaw(),
  );
  const endpoint = ownEndpoint();
  const { version, shell } = options;
  const commands = new ConsoleCommands({ endpoint, version, password, records, shell });
  return {
    now: () => clock.monotonicRaw(),
    write: options.write,
    look: () => gatherFacts({ endpoint, version, lastEnd: process.env["RINGFENCE_LAST_END"] ?? "not known here" }),
    verify: (typed) => password.verify(typed),
    run: (action, answers, facts) => commands.run(action, answers, facts),
    record: (fact) => records.put(fact),
    end: options.end,
  };
}

/** This box's front-end. A configuration that cannot be read has no main, and so no front-end, anyway. */
export function ownEndpoint(): string {
  const result = readConfig(
    { name: paths.onedConf, text: textOf(paths.onedConf) },
    { name: paths.boxConf, text: textOf(paths.boxConf) },
  );
  return `http://localhost:${"config" in result ? result.config.cluster.port : PORT_DEFAULT}/RPC2`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
