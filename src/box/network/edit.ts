/**
 * The console's change of the network, as a new text of box.conf: the sections that it replaces go, everything else,
 * comments included, stays as a person wrote it.
 */
import { parseSettings, type Setting } from "../../config/syntax.ts";

export interface NetworkAnswers {
  readonly device: string;
  /** "dhcp" or `10.0.0.2/24`. */
  readonly address: string;
  /** "" for none. */
  readonly gateway: string;
  /** "" for none; else the address is on that VLAN of the device. */
  readonly vlan: string;
  /** "" leaves it as it is. */
  readonly hostname: string;
}

/** Undefined when the text cannot be read at all: then a person mends it first. */
export function editNetwork(text: string, answers: NetworkAnswers): string | undefined {
  const settings = parseSettings(text);
  if ("message" in settings) return undefined;
  const network = settings.find((one) => one.name === "NETWORK");
  const kept = withoutSections(text, settings, ["INTERFACE", "NETWORK"]);
  const items = new Map(
    network === undefined || typeof network.value === "string"
      ? []
      : network.value.map((item) => [item.name, item.value] as const),
  );
  // The other boxes find this one by it: an address that was typed is meant to be that.
  if (answers.address !== "dhcp") items.set("MGMT", answers.address.split("/")[0] ?? "");
  if (answers.hostname !== "") items.set("HOSTNAME", answers.hostname);
  const name = answers.vlan === "" ? answers.device : `${answers.device}.${answers.vlan}`.slice(-15);
  const section = [
    `NAME = ${quote(name)}`,
    `ADDRESS = ${quote(answers.address)}`,
    ...(answers.gateway === "" ? [] : [`GATEWAY = ${quote(answers.gateway)}`]),
    ...(answers.vlan === "" ? [] : [`VLAN = ${answers.vlan}, ON = ${quote(answers.device)}`]),
  ];
  const lines = [
    kept.replace(/\n+$/, ""),
    ...(items.size === 0
      ? []
      : [`NETWORK = [ ${[...items].map(([key, value]) => `${key} = ${quote(value)}`).join(", ")} ]`]),
    `INTERFACE = [ ${section.join(", ")} ]`,
  ];
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}

/** Without the lines of these sections. A section begins at its line and ends before the next setting or comment. */
function withoutSections(text: string, settings: readonly Setting[], names: readonly string[]): string {
  const lines = text.split("\n");
  const cut = new Set<number>();
  settings.forEach((setting, at) => {
    if (!names.includes(setting.name)) return;
    const next = settings[at + 1]?.line ?? lines.length + 1;
    for (let line = setting.line; line < next; line++) {
      cut.add(line);
      // Brackets in quotes do not count; what follows the last one (comments, empty lines) is not the section's.
      if (
        (lines[line - 1] ?? "")
          .replace(/"[^"]*"/g, "")
          .replace(/#.*/, "")
          .includes("]")
      )
        break;
    }
  });
  return lines.filter((_, index) => !cut.has(index + 1)).join("\n");
}

function quote(value: string): string {
  return `"${value.replace(/(["\\])/g, "\\$1")}"`;
}
