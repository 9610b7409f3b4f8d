/**
 * Sets an image up before its supervisor starts, as box.conf says: `network.ts` at the boot (the clock's floor, what a
 * stick or the ESP brings, a change of the network that nobody confirmed is taken back, network, chrony's file),
 * `network.ts apply` after a change, `network.ts watch` beside the console: takes a change back unless it is confirmed.
 * Ends when it is done; DHCP clients go on by themselves. On a machine that is no image nobody calls it.
 */
import { errorChain } from "./base/error.ts";
import { raiseClock, writeChronyConf } from "./parts/box-clock.ts";
import { openLogFile } from "./parts/log-file.ts";
import { NETWORK_PLACES, readNetwork, setUpNetwork } from "./parts/network.ts";
import { takeChangeBack, watchChange } from "./parts/network-change.ts";
import { paths } from "./parts/paths.ts";
import { takeProvisions } from "./parts/provisioning.ts";

const [word = "boot"] = process.argv.slice(2);
let file: ReturnType<typeof openLogFile> | undefined;
try {
  file = openLogFile(`${paths.log}/network.log`);
} catch {
  // No data partition: the console still shows it.
}
const log = (text: string): void => {
  file?.write(text);
  console.error(text);
};

try {
  if (word === "watch") await watchChange(NETWORK_PLACES, log);
  else if (word === "boot" || word === "apply") {
    if (word === "boot") {
      raiseClock(log);
      takeChangeBack(NETWORK_PLACES, log);
      await takeProvisions(log);
    }
    const problems = await setUpNetwork(NETWORK_PLACES, log);
    const settings = readNetwork(NETWORK_PLACES);
    writeChronyConf("problems" in settings ? [] : settings.ntp);
    process.exitCode = problems.length === 0 ? 0 : 1;
  } else throw new Error(`There is no "${word}": boot, apply or watch`);
} catch (error) {
  log(`network: ${errorChain(error)}`);
  process.exitCode = 1;
}
