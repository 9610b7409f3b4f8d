import { fileURLToPath } from "node:url";
import { errorChain } from "../base/error.ts";
import { program } from "../base/program.ts";
import type { ActionResult } from "../console/types.ts";
import { NETWORK_PLACES, setUpNetwork } from "./network.ts";
import { CONFIRM_WITHIN_MS, keepChange, writeChange } from "./network-change.ts";

/** The console's `network`: written, carried out, and watched by a process that the console's end does not end. */
export async function changeNetwork(answers: readonly string[]): Promise<ActionResult> {
  const [device = "", address = "", gateway = "none", vlan = "none", hostname = "-"] = answers;
  const said: string[] = [];
  const log = (text: string): void => {
    said.push(text);
  };
  try {
    writeChange(NETWORK_PLACES, {
      ...{ device, address },
      gateway: gateway === "none" ? "" : gateway,
      vlan: vlan === "none" ? "" : vlan,
      hostname: hostname === "-" ? "" : hostname,
    });
    // Before the change is carried out: it may be this console's own line that it cuts.
    const watcher = fileURLToPath(new URL(program("../network.ts", import.meta.url), import.meta.url));
    Bun.spawn([process.execPath, watcher, "watch"], { stdio: ["ignore", "ignore", "ignore"], detached: true }).unref();
    const problems = await setUpNetwork(NETWORK_PLACES, log);
    const end =
      problems.length === 0
        ? "Say keep within two minutes, or what was before comes back. restart lets the program use a new address."
        : `Not all of it could be done. What was before comes back in ${CONFIRM_WITHIN_MS / 60_000} minutes, unless you say keep.`;
    return { isDone: problems.length === 0, text: [...said, end].join("\n") };
  } catch (error) {
    return { isDone: false, text: [...said, errorChain(error)].join("\n") };
  }
}

export function keepNetwork(): ActionResult {
  return keepChange(NETWORK_PLACES)
    ? { isDone: true, text: "The network stays as it is now. restart lets the program use a new address." }
    : { isDone: false, text: "There is no change to keep: none was made, or its two minutes are over." };
}
