/**
 * A simulated BMC as a process:
 *
 *   main.ts --listen ADDRESS:PORT --user NAME --password-file FILE --guid HEX
 *           --power-command 'PROGRAM WORDS' [--privilege operator] [--suites 3,17] [--control SOCKET]
 *
 * Prints one line `listening ADDRESS:PORT` when it answers, and ends on SIGTERM or SIGINT.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Privilege, privilegeLevel } from "../codec/commands.ts";
import type { SuiteId } from "../codec/suites.ts";
import { createBmc } from "./bmc.ts";
import { serveControl } from "./control-socket.ts";
import { powerCommand } from "./power-command.ts";

const USAGE_EXIT = 2;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: "string" },
      user: { type: "string" },
      "password-file": { type: "string" },
      guid: { type: "string" },
      "power-command": { type: "string" },
      privilege: { type: "string", default: "administrator" },
      suites: { type: "string", default: "3,17" },
      control: { type: "string" },
    },
  });
  const { address, port } = listenAddress(required("--listen", values.listen));
  const bmc = await createBmc({
    address,
    port,
    users: [
      {
        name: required("--user", values.user),
        password: readFileSync(required("--password-file", values["password-file"]), "utf8").trimEnd(),
        privilege: privilege(values.privilege),
      },
    ],
    guid: guid(required("--guid", values.guid)),
    suites: values.suites.split(",").map(suite),
    power: powerCommand(required("--power-command", values["power-command"])),
    onError: (error) => console.error(`bmc: ${error instanceof Error ? error.message : String(error)}`),
  });
  const control = values.control === undefined ? undefined : await serveControl(bmc, values.control);
  const stop = () => {
    control?.close();
    void bmc.close().then(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  console.log(`listening ${address}:${bmc.port}`);
}

function required(option: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new Error(`${option} is missing`);
  return value;
}

function listenAddress(text: string): { address: string; port: number } {
  const at = text.lastIndexOf(":");
  const port = Number(text.slice(at + 1));
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--listen "${text}" is not ADDRESS:PORT`);
  return { address: text.slice(0, at).replace(/^\[|\]$/g, ""), port };
}

function guid(text: string): Buffer {
  const hex = text.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new Error(`--guid "${text}" is not 32 hex digits`);
  return Buffer.from(hex, "hex");
}

function privilege(text: string): Privilege {
  if (text in privilegeLevel) return text as Privilege;
  throw new Error(`--privilege "${text}" is none of ${Object.keys(privilegeLevel).join(", ")}`);
}

function suite(text: string): SuiteId {
  if (text === "3") return 3;
  if (text === "17") return 17;
  throw new Error(`--suites "${text}" is not 3 or 17`);
}

try {
  await main();
} catch (error) {
  console.error(`bmc: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(USAGE_EXIT);
}
