import { parseAddress, parseCidr } from "../config/network.ts";
import type { Facts } from "./types.ts";

/** One thing that an action has to know. */
export interface Question {
  readonly text: string;
  /** Not shown while it is typed, and not on the record. */
  readonly isSecret?: boolean;
  /** Undefined when the answer will do, else why not. */
  readonly check?: (answer: string, facts: Facts, before: readonly string[]) => string | undefined;
  /** What nothing typed means; without it something must be typed. */
  readonly otherwise?: string;
}

/** One action of the console. */
export interface Action {
  readonly name: string;
  readonly text: string;
  /** `dangerous`: after the password and the box's name, and on the record. `look`: anyone at the rack. */
  readonly kind: "look" | "dangerous";
  /** Said before the questions of a dangerous one: what it does, and what it cannot undo. */
  readonly warning?: string;
  readonly questions: readonly Question[];
}

const host: Question = { text: "Host (name or number): " };

/** All actions, in the order in which `help` lists them. */
export const ACTIONS: readonly Action[] = [
  look("status", "this screen again (so does Enter)"),
  look("help", "what can be done here"),
  look("boxes", "boxes, hosts and their BMCs in full, as ringfence status"),
  look("evidence", "what fencing knows of every host, with evidence and proofs"),
  {
    ...look("logs", "the last lines of a log: ringfence, supervisor, network, hooks or recovery"),
    questions: [{ text: "Which log [ringfence]: ", otherwise: "ringfence", check: isLogName }],
  },
  look("verify", "reads this box's log of the cluster and says whether it is whole"),
  look("sticks", "what is plugged in by USB, and which backups are on it"),
  look("config", "reads this box's configuration and says what is wrong with it"),
  look("record", "what was done on the consoles of all boxes"),
  {
    ...look("join", "hands this box a join token; only on a box that belongs to no cluster"),
    questions: [{ text: "Join token: ", check: isToken }],
  },
  dangerous("leave", "takes this box out of its cluster", [], "This box stops and waits to be joined again."),
  dangerous(
    "confirm",
    "says that a host is off: its VMs are started elsewhere",
    [host, { text: "Its name once more: " }],
    "If that host still runs, the disks of its VMs are destroyed. Go and look that it is off.",
  ),
  dangerous("arm", "lets the cluster power hosts off", []),
  dangerous("disarm", "forbids the cluster to power hosts off", [{ text: "Why: " }]),
  dangerous(
    "release",
    "gives up leadership and the VIP to whichever box is best",
    [],
    "There is no way to claim the VIP: the boxes elect who has it.",
  ),
  dangerous("transfer", "hands leadership and the VIP to one box", [{ text: "Server number: ", check: isNumber }]),
  dangerous(
    "force",
    "goes on alone, when the other boxes are lost for good",
    [{ text: "Names of all other voters, each of which you have seen powered off: ", check: areOtherVoters }],
    `This box becomes a cluster of its own, a new generation, with what it has. What the others
acknowledged beyond that is lost. If they still run where this box does not hear them, two
clusters start the same VMs on the same disks. Fencing is disarmed until a person arms it.`,
  ),
  dangerous(
    "restart",
    "ends this box's program; the supervisor starts it again",
    [],
    "It gives up leadership and VIP.",
  ),
  dangerous("password", "sets this box's console password", [
    { text: "New password: ", isSecret: true, check: isPassword },
    { text: "Once more: ", isSecret: true, check: isSame },
  ]),
  dangerous("shell", "a root shell on this line", [], "Everything can be broken from there. exit comes back."),
  dangerous(
    "network",
    "sets this box's address, gateway, VLAN and host name",
    [
      { text: "Link [eth0]: ", otherwise: "eth0", check: isLink },
      { text: "Address, as 10.0.0.2/24, or dhcp: ", check: isAddress },
      { text: "Gateway [none]: ", otherwise: "none", check: isGateway },
      { text: "VLAN [none]: ", otherwise: "none", check: isVlan },
      { text: "Host name [as it is]: ", otherwise: "-", check: isHostName },
    ],
    "It takes itself back after two minutes, unless you say keep.",
  ),
  look("keep", "keeps the change that network made last"),
  dangerous("backup", "writes the state, its key and oneadmin's password to a USB stick", [
    { text: "Name of the file [by the entry]: ", otherwise: "-", check: isFileName },
  ]),
  dangerous(
    "restore",
    "makes this box the first of a new generation, from a backup on a USB stick",
    [
      { text: "Name of the file (sticks lists them): ", check: isFileName },
      { text: "Which server this box was [as it knows]: ", otherwise: "-", check: isServerOrNone },
    ],
    `What the cluster did after the backup is lost, and the other boxes must be joined again.
Boxes that still run and do not hear this one go on: they must be off.`,
  ),
  look("slots", "both system images, how this box was booted, and what came of its last update"),
  dangerous(
    "slot",
    "restarts with the other system image",
    [],
    "It is on trial: if this box does not become healthy on it, what runs now comes back.",
  ),
  dangerous(
    "update",
    "takes an update from a USB stick, and restarts with it",
    [{ text: "Name of the file (sticks lists them): ", check: isFileName }],
    "The new version is on trial: if this box does not become healthy on it, what runs now comes back.",
  ),
  dangerous(
    "snooze",
    "15 minutes in which hangs of this box's program are borne, to look at them",
    [],
    "A program that hangs is not started again meanwhile. A hang of the kernel is a reset all the same.",
  ),
  dangerous(
    "reset",
    "back to what the factory made",
    [{ text: "Type erase: ", check: isErase }],
    `Erased: state, log, keys, passwords, network, logs, and that this box was a member of anything.
Kept: both system images, and what lies on the ESP or on a stick for a new box to take.
Remove it from its cluster first: leave here, or onezone server-del on another box.`,
  ),
  dangerous("reboot", "restarts the machine", [], "It gives up leadership and VIP first."),
];

/** By its name or an unmistakable beginning of it; of a dangerous one the whole name. */
export function findAction(word: string): Action | undefined {
  const exact = ACTIONS.find((action) => action.name === word);
  if (exact !== undefined || word === "") return exact;
  const [first, ...more] = ACTIONS.filter((action) => action.name.startsWith(word));
  return more.length === 0 && first?.kind !== "dangerous" ? first : undefined;
}

function look(name: string, text: string): Action {
  return { name, text, kind: "look", questions: [] };
}

function dangerous(name: string, text: string, questions: readonly Question[], warning?: string): Action {
  return { name, text, kind: "dangerous", questions, ...(warning === undefined ? {} : { warning }) };
}

function isLink(answer: string): string | undefined {
  return /^[A-Za-z0-9_.-]{1,15}$/.test(answer) && answer !== "lo" ? undefined : `"${answer}" is not the name of a link`;
}

function isAddress(answer: string): string | undefined {
  if (answer === "dhcp" || parseCidr(answer) !== undefined) return undefined;
  return `"${answer}" is neither dhcp nor an address with its prefix, as 10.0.0.2/24`;
}

function isGateway(answer: string): string | undefined {
  return answer === "none" || parseAddress(answer) !== undefined ? undefined : `"${answer}" is no IPv4 address`;
}

function isVlan(answer: string): string | undefined {
  if (answer === "none" || (/^\d{1,4}$/.test(answer) && Number(answer) >= 1 && Number(answer) <= 4094))
    return undefined;
  return `"${answer}" is not a VLAN, 1 to 4094`;
}

function isHostName(answer: string): string | undefined {
  if (answer === "-" || /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(answer)) return undefined;
  return `"${answer}" is not a host name`;
}

/** No path: it is on the stick, and nowhere else. */
function isFileName(answer: string): string | undefined {
  return /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}$/.test(answer) ? undefined : `"${answer}" is not the name of a file`;
}

function isServerOrNone(answer: string): string | undefined {
  return answer === "-" ? undefined : isNumber(answer);
}

function isErase(answer: string): string | undefined {
  return answer === "erase" ? undefined : "nothing is erased without that word";
}

function isLogName(answer: string): string | undefined {
  return ["ringfence", "supervisor", "network", "hooks", "recovery"].includes(answer)
    ? undefined
    : `there is no log "${answer}"`;
}

function isToken(answer: string): string | undefined {
  return answer.length >= 16 ? undefined : "that is no join token: onezone server-add on a member makes one";
}

function isNumber(answer: string): string | undefined {
  return /^\d{1,4}$/.test(answer) ? undefined : `"${answer}" is not a server's number: boxes lists them`;
}

/** Short ones are guessed in spite of the waits; what is longer than a line cannot be typed. */
function isPassword(answer: string): string | undefined {
  return answer.length >= 8 && answer.length <= 200 ? undefined : "it must have 8 to 200 characters";
}

function isSame(answer: string, _facts: Facts, before: readonly string[]): string | undefined {
  return answer === before[0] ? undefined : "the two differ";
}

function areOtherVoters(answer: string, facts: Facts): string | undefined {
  if (facts.cluster === undefined) return "the box's program does not answer: restart comes first";
  const others = facts.cluster.members.filter((one) => one.isVoter && !one.isSelf).map((one) => one.name);
  const typed = answer.split(/[\s,]+/).filter((name) => name !== "");
  const isWhole = typed.length === others.length && others.every((name) => typed.includes(name));
  return isWhole ? undefined : `the other voters are not "${typed.join(" ")}": each of them must be named`;
}
