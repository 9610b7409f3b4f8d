import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseXml } from "../../one/xml.ts";
import type { Rpc } from "../client/rpc.ts";
import type { Context } from "../command.ts";
import { allAt, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { typed } from "./typed.ts";

/** Where a box that belongs to no cluster looks for its token. */
const JOIN_TOKEN_FILE = "/etc/one/join-token";
const IDENTITY_FILE = "/var/lib/one/identity.json";
const DATA_DIRECTORY = "/var/lib/one";
/** What a box looks for that was moved to another machine (parts/machine-binding.ts). */
const MACHINE_ACCEPTED_FILE = "/var/lib/one/machine-accepted";
/** Written by a box that is no member any more (parts/stand-down.ts). */
const STAND_DOWN_FILE = "/var/lib/one/stood-down.json";

/** Why this machine, if it is a box, waits for a token; undefined when it does not. */
export function whyWaiting(): string | undefined {
  if (existsSync(STAND_DOWN_FILE)) return standDownText(readFileSync(STAND_DOWN_FILE, "utf8"));
  if (!existsSync(DATA_DIRECTORY) || existsSync(IDENTITY_FILE) || !existsSync(dirname(JOIN_TOKEN_FILE)))
    return undefined;
  return "This box belongs to no cluster yet: onezone server-add on a member makes a token, ringfence join TOKEN here takes it; the first box of all founds one by SERVER_ID = -1 in box.conf";
}

/** A person says that the box on this machine is the only one of its identity. */
export async function acceptMachine(context: Context): Promise<void> {
  const why = whyWaiting();
  const kind = existsSync(STAND_DOWN_FILE)
    ? (JSON.parse(readFileSync(STAND_DOWN_FILE, "utf8")) as { readonly kind: string }).kind
    : "";
  if (kind !== "moved") throw new CommandFailure("There is nothing to accept: no box here was moved or cloned");
  context.terminal.err(`${why}\n`);
  await typed(context, "yes", "The other one never runs again? Type yes: ", "Nothing was accepted.");
  writeFileSync(MACHINE_ACCEPTED_FILE, "", { mode: 0o600 });
  context.terminal.out("The box is accepted on this machine and starts again within seconds.\n");
}

function standDownText(json: string): string {
  const { text, at } = JSON.parse(json) as { readonly text: string; readonly at: string };
  return `${text}. (since ${at})`;
}

/** Hands a token to the box that this runs on. The box looks for it by itself, so nothing is restarted. */
export async function join({ terminal, words }: Context): Promise<void> {
  const given = words[0] ?? "-";
  takeToken(given === "-" ? terminal.readInput() : given);
  terminal.out(
    `The token is in ${JOIN_TOKEN_FILE}. Within a second the box asks the members that it names, takes over the state and shows up in onezone show 0.\nIf it does not, /var/log/one/ringfence.log says why.\n`,
  );
}

/** Writes the token where the box looks for it; throws CommandFailure on what is none, or on a member. */
export function takeToken(
  text: string,
  file: string = JOIN_TOKEN_FILE,
  identity: string = IDENTITY_FILE,
  standDown: string = STAND_DOWN_FILE,
): void {
  const token = text.trim();
  if (!/^[\x21-\x7e]{16,8192}$/.test(token)) {
    throw new CommandFailure("This is no join token: take the last line of onezone server-add");
  }
  if (existsSync(identity) && !existsSync(standDown)) {
    throw new CommandFailure("This box belongs to a cluster already; a box that is to join another one is reset first");
  }
  mkdirSync(dirname(file), { recursive: true });
  // Complete or not there: the box may look at any moment.
  const draft = `${file}.new`;
  writeFileSync(draft, `${token}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

/** A new token for a server that has its row already, for when the first one was lost or its hour is over. */
export async function joinTokenOf(rpc: Rpc, word: string): Promise<string> {
  if (/^\d+$/.test(word)) return rpc.once("ringfence.zone.jointoken", Number(word));
  const servers = allAt(parseXml(await rpc.read("one.zone.info", 0)), "SERVER_POOL", "SERVER");
  const named = servers.find((server) => textAt(server, "NAME") === word);
  if (named === undefined) throw new CommandFailure(`SERVER named ${word} not found.`);
  return rpc.once("ringfence.zone.jointoken", numberAt(named, "ID"));
}
