/**
 * Sets up this machine's network as box.conf says: `network.ts` at the boot (a change that nobody confirmed is taken back
 * first), `network.ts apply` after a change, `network.ts watch` beside the console: takes a change back unless it is
 * confirmed. Ends when it is done; DHCP clients go on by themselves. On a machine that is no image nobody calls it.
 */
import { errorChain } from "./base/error.ts";
import { openLogFile } from "./parts/log-file.ts";
import { NETWORK_PLACES, setUpNetwork } from "./parts/network.ts";
import { takeChangeBack, watchChange } from "./parts/network-change.ts";
import { paths } from "./parts/paths.ts";

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
    if (word === "boot") takeChangeBack(NETWORK_PLACES, log);
    const problems = await setUpNetwork(NETWORK_PLACES, log);
    process.exitCode = problems.length === 0 ? 0 : 1;
  } else throw new Error(`There is no "${word}": boot, apply or watch`);
} catch (error) {
  log(`network: ${errorChain(error)}`);
  process.exitCode = 1;
}
