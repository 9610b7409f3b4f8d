import { ACTIONS, type Action } from "./actions.ts";
import type { ClusterFacts, Facts, MemberFacts } from "./types.ts";

/** A character less than 80: some terminals wrap at the last column, others do not. The line's own size is never asked. */
export const COLUMNS = 79;
/** Of 24: the prompt needs one, and the line before it tells of more. */
export const ROWS = 22;
const LABEL_COLUMNS = 9;
/** What is wrong takes what the rest leaves of the screen. */
const WRONG_ROWS_MAX = 8;
const MEMBER_ROWS_MAX = 5;

/** The first screen: at most {@link ROWS} lines. */
export function firstScreen(facts: Facts): readonly string[] {
  const lines = [
    cut(`ringfence ${facts.version}   box ${facts.box}   up ${uptime(facts.uptimeSeconds)}`),
    field("slot", facts.slot),
    field("last end", facts.lastEnd),
    ...clusterLines(facts.cluster),
    "",
    ...wrongLines(facts.wrong),
    "",
    "help lists what can be done here; Enter shows this again",
  ];
  return lines.slice(0, ROWS);
}

function clusterLines(cluster: ClusterFacts | undefined): readonly string[] {
  if (cluster === undefined) return [field("role", "not known: the box's program does not answer")];
  const shown = cluster.members.slice(0, MEMBER_ROWS_MAX).map(memberText);
  const more = cluster.members.length - shown.length;
  return [
    field("role", `${cluster.role}, term ${cluster.term}, leader ${cluster.leader === "" ? "none" : cluster.leader}`),
    field("log", `${cluster.lastIndex}, committed ${cluster.commit}, applied ${cluster.applied}`),
    field("VIP", cluster.vip),
    ...shown.map((text, index) => field(index === 0 ? "boxes" : "", text)),
    ...(more > 0 ? [field("", `and ${more} more: boxes lists them`)] : []),
  ];
}

function memberText(member: MemberFacts): string {
  const what = [
    member.isSelf ? "this box" : member.isReachable ? "answers" : "SILENT",
    ...(member.isLeader ? ["leads"] : []),
    ...(member.isVoter ? [] : ["does not vote yet"]),
  ];
  return `${member.serverId < 0 ? "-" : member.serverId} ${member.name}: ${what.join(", ")}`;
}

function wrongLines(wrong: readonly string[]): readonly string[] {
  if (wrong.length === 0) return ["Nothing is known to be wrong."];
  const shown = wrong.slice(0, wrong.length > WRONG_ROWS_MAX ? WRONG_ROWS_MAX - 1 : WRONG_ROWS_MAX);
  const more = wrong.length - shown.length;
  return [
    "WRONG",
    ...shown.map((text) => cut(` ! ${plain(text)}`)),
    ...(more > 0 ? [` ! and ${more} more: boxes and logs tell`] : []),
  ];
}

/** What `help` prints; `missing` as in {@link Facts}. */
export function helpScreen(missing: Facts["missing"]): readonly string[] {
  const line = (action: Action): string => cut(`  ${action.name.padEnd(LABEL_COLUMNS)} ${action.text}`);
  const of = (kind: Action["kind"]): readonly Action[] =>
    ACTIONS.filter((action) => action.kind === kind && missing[action.name] === undefined);
  return [
    "For anyone at the rack:",
    ...of("look").map(line),
    "After the password and this box's name, and on the record:",
    ...of("dangerous").map(line),
    "Not on this box:",
    ...ACTIONS.flatMap((action) => {
      const why = missing[action.name];
      return why === undefined ? [] : [line(action), ...wrap(why, LABEL_COLUMNS + 5)];
    }),
    "exec ACTION WORDS does the same for programs. Ctrl-C ends a question.",
  ];
}

/** Any text as lines that a terminal without colours and of unknown encoding can show. */
export function linesOf(text: string): readonly string[] {
  return plain(text, true)
    .split("\n")
    .flatMap((line) => wrap(line));
}

/** Printable ASCII only: log lines may carry what a machine elsewhere said, and must not speak to this terminal. */
function plain(text: string, keepsLines = false): string {
  const ascii = text
    .replaceAll("…", "...")
    .replaceAll("→", "->")
    .replaceAll("\t", "    ")
    .replace(keepsLines ? /\r\n?/g : /[\r\n]+/g, keepsLines ? "\n" : " ");
  return [...ascii].map((letter) => (letter === "\n" || (letter >= " " && letter <= "~") ? letter : "?")).join("");
}

function wrap(line: string, indent = 0): readonly string[] {
  const room = COLUMNS - indent;
  const lines: string[] = [];
  let rest = line.trimEnd();
  while (rest.length > room) {
    const space = rest.lastIndexOf(" ", room);
    const at = space > room / 2 ? space : room;
    lines.push(" ".repeat(indent) + rest.slice(0, at));
    rest = rest.slice(at).trimStart();
  }
  return [...lines, rest === "" ? "" : " ".repeat(indent) + rest];
}

function field(label: string, text: string): string {
  return cut(`${label.padEnd(LABEL_COLUMNS)}${plain(text)}`);
}

function cut(line: string): string {
  return line.length <= COLUMNS ? line : `${line.slice(0, COLUMNS - 3)}...`;
}

function uptime(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  return `${days > 0 ? `${days} d ` : ""}${two((seconds % 86_400) / 3600)}:${two((seconds % 3600) / 60)}`;
}
