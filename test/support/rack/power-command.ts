/** What a BMC runs to press its host's power button: `power-command.ts RACK|- HOST on|off|reset`. */
import { errorChain } from "../../../src/base/error.ts";
import { startDaemon } from "./command.ts";
import { bunPath, findNode, powerCut, powerOn } from "./node.ts";
import { nodeRunDirectory, placeOf } from "./place.ts";
import { readState } from "./state.ts";

const [rackName = "", hostName = "", action = ""] = process.argv.slice(2);

try {
  const place = placeOf(rackName === "-" ? "" : rackName);
  const state = readState(place);
  if (state === undefined) throw new Error(`the rack at ${place.runDirectory} is down`);
  const plan = findNode(state, hostName);
  if (action === "off") await powerCut(place, plan);
  else if (action === "boot") await powerOn(place, plan, state);
  else if (action === "on" || action === "reset") {
    if (action === "reset") await powerCut(place, plan);
    // A BMC answers when the button is pressed, not when the machine has booted.
    const again = [bunPath(state), import.meta.filename, rackName, hostName, "boot"];
    startDaemon(again, `${nodeRunDirectory(place, plan.name)}/power.log`, {});
  } else throw new Error(`unknown action "${action}"`);
} catch (error) {
  console.error(`power-command ${hostName} ${action}: ${errorChain(error)}`);
  process.exitCode = 1;
}
