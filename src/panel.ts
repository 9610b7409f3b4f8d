/**
 * The front panel: lamps and button, a child of the supervisor, so that the fault lamp is lit when main is dead. It asks
 * the box as the console does, and must never hold anything up: it only looks.
 */
import description from "../package.json";
import { errorChain } from "./base/error.ts";
import { dieWithParent } from "./linux/process.ts";
import { startFrontPanel } from "./parts/front-panel.ts";
import { readPanelSetting } from "./parts/panel-setting.ts";
import { paths } from "./parts/paths.ts";

try {
  const parentId = process.env["RINGFENCE_PARENT"];
  if (parentId !== undefined && !dieWithParent(Number(parentId))) process.exit(0);
  const setting = readPanelSetting(paths.onedConf, paths.boxConf);
  if (setting === undefined) throw new Error("Cannot start the front panel: there is no GPIO section in box.conf");
  startFrontPanel(setting, description.version, (text) => console.error(text));
} catch (error) {
  console.error(errorChain(error));
  process.exit(1);
}
