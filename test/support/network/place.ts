/** The network program on places of the tests: `bun place.ts DIRECTORY apply|watch [MS]`, in a namespace of its own. */
import { setUpNetwork } from "../../../src/parts/network.ts";
import { watchChange } from "../../../src/parts/network-change.ts";

const [directory = ".", word = "apply", ms = "1000"] = process.argv.slice(2);
const places = {
  ...{ run: `${directory}/run`, onedConf: `${directory}/oned.conf`, boxConf: `${directory}/box.conf` },
  authorizedKeys: `${directory}/ssh/authorized_keys`,
};
const log = (text: string): void => console.log(text);
if (word === "watch") await watchChange(places, log, Number(ms));
else process.exitCode = (await setUpNetwork(places, log)).length === 0 ? 0 : 1;
