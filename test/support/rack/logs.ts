/** The last lines of what the nodes wrote. */
import { existsSync, readdirSync } from "node:fs";
import { must } from "./command.ts";
import { nodeDataDirectory, nodeRunDirectory, type Place } from "./place.ts";
import { allPlans, type NodePlan } from "./plan.ts";
import type { RackState } from "./state.ts";

/** Log files of a node, on this machine. */
export function logFiles(place: Place, plan: NodePlan): readonly string[] {
  const data = nodeDataDirectory(place, plan.name);
  const directories = {
    box: [`${data}/log`],
    host: [`${data}/log-libvirt`, `${data}/log-libvirt/qemu`],
    bmc: [],
    client: [],
  };
  const places = [nodeRunDirectory(place, plan.name), ...directories[plan.kind]].filter(existsSync);
  return places.flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith(".log"))
      .map((name) => `${directory}/${name}`),
  );
}

/** Prints the last `lines` lines of each log of one node, or of all. */
export async function showLogs(place: Place, state: RackState, name: string | undefined, lines: number): Promise<void> {
  for (const plan of allPlans(state)) {
    if (name !== undefined && plan.name !== name) continue;
    for (const file of logFiles(place, plan)) {
      const text = await must(["tail", "-n", String(lines), file]);
      if (text.trim() !== "") console.log(`==> ${plan.name}: ${file} <==\n${text.trimEnd()}`);
    }
  }
}
