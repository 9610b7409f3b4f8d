import { describeTimings, timingsFromText } from "../../config/timings.ts";
import { Page } from "../objects.ts";
import { coloured, type Terminal } from "../terminal.ts";
import type { BoxStatus, FencedHost, FenceStatus, Member, Recovery, Vip } from "./answers.ts";
import type { View } from "./look.ts";
import { imageText } from "./slot.ts";

/** Prints the cluster for people: who leads, who holds the VIP, how each box and each host is. */
export function printStatus(terminal: Terminal, { here, leader, fencing }: View): void {
  const page = new Page(terminal, 14, 0);
  const { cluster } = here;
  page.title(`BOX ${here.box.name}${here.box.serverId < 0 ? "" : ` (server ${here.box.serverId})`}`);
  if (here.boot) page.field("SLOT", imageText(here.boot));
  page.field("ROLE", `${cluster.role}, term ${cluster.term}`);
  page.field("LEADER", leaderText(here, leader));
  page.field("LOG", `${cluster.lastIndex}, committed ${cluster.commit}, applied ${cluster.applied}`);
  page.field("LEVEL", levelText(leader ?? here));
  page.field("TIMINGS", timingsText(here.cluster.timings));
  const clockObstacle = here.cluster.clockObstacle ?? "";
  if (clockObstacle !== "") page.field("CLOCK", clockObstacle);
  page.field("VIP", vipText(here.vip, leader));
  if (here.generation > 1) page.field("GENERATION", String(here.generation));
  for (const one of here.recoveries) page.field("RECOVERED", recoveryText(one));
  for (const [name, count] of Object.entries(here.vip?.incidents ?? {})) {
    if (count > 0) page.field("  INCIDENTS", `${name} ${count}`);
  }
  page.line();
  printMembers(terminal, page, leader ?? here);
  page.line();
  printHosts(terminal, page, leader, here, fencing);
}

/** A line for a generation that nobody has acknowledged. */
function recoveryText(one: Recovery): string {
  const left = one.former.map((server) => server.name).join(", ");
  const what = one.reason === "restore" ? "restored from a backup" : `${one.name} went on alone`;
  return `generation ${one.generation}: ${what}, by ${one.by} at ${new Date(one.at).toISOString()}; entries after ${one.lastIndex} of the former generation are lost${left === "" ? "" : `; left behind: ${left}`}. ringfence recovery acknowledge ends this line`;
}

function leaderText(here: BoxStatus, leader: BoxStatus | undefined): string {
  const member = here.cluster.members.find((one) => one.raftId === here.cluster.leader);
  if (member === undefined) return "none is known: writes wait";
  if (leader === undefined) return `${member.name}, which does not answer`;
  const { leaseMs, longestRoundMs } = leader.cluster;
  return `${member.name}, lease ${Math.round(leaseMs)} ms, heartbeats answered within ${Math.ceil(longestRoundMs)} ms`;
}

/** The feature level in force, and what the boxes could do. */
function levelText({ cluster }: BoxStatus): string {
  const levels = cluster.members.map(({ level }) => level);
  const lowest = levels.reduce((one, level) => (one === null || level === null ? null : Math.min(one, level)));
  if (lowest !== null && lowest > cluster.level)
    return `${cluster.level}; every box knows ${lowest}: ringfence level raise`;
  return String(cluster.level);
}

function timingsText(text: string): string {
  if (text === "") return "none agreed on yet: each box goes by its own oned.conf";
  const timings = timingsFromText(text);
  return timings === undefined ? text : describeTimings(timings);
}

function vipText(own: Vip | null, leader: BoxStatus | undefined): string {
  const vip = leader?.vip ?? own;
  if (vip === null) return "-";
  const addresses = vip.addresses.map((one) => `${one.address}/${one.prefix} on ${one.interface}`).join(", ");
  if (addresses === "") return "none is configured";
  const holder = vip.holding
    ? `held by ${leader?.vip?.holding ? leader.box.name : "this box"}`
    : `held by nobody that answers (${vip.claim})`;
  return `${addresses}, ${holder}${vip.isTableSound ? "" : "; the packet gate is damaged"}`;
}

function printMembers(terminal: Terminal, page: Page, view: BoxStatus): void {
  page.section("BOXES");
  page.tableHead(
    `${"ID".padStart(3)} ${"NAME".padEnd(15)} ${"ROLE".padEnd(10)} ${"ADDRESS".padEnd(22)} ${"LAG".padStart(8)} ${"BUILD".padEnd(10)} ${"LEVEL".padStart(5)} STAT`,
  );
  for (const member of [...view.cluster.members].sort((a, b) => a.serverId - b.serverId)) {
    const id = member.serverId < 0 ? "-" : String(member.serverId);
    const stat = member.isReachable ? coloured(terminal, "green", "on") : coloured(terminal, "red", "err");
    page.line(
      `${id.padStart(3)} ${member.name.slice(0, 15).padEnd(15)} ${roleOf(member, view).padEnd(10)} ${member.peerAddress.padEnd(22)} ${lagOf(member, view).padStart(8)} ${(member.build ?? "-").slice(0, 10).padEnd(10)} ${String(member.level ?? "-").padStart(5)} ${stat}`,
    );
    const disk = diskText(member);
    if (disk !== "") page.line(`     ${coloured(terminal, "red", disk)}`);
    const asked = member.timings ?? "";
    if (asked !== "" && view.cluster.timings !== "" && asked !== view.cluster.timings)
      page.line(`     its oned.conf asks for ${timingsText(asked)}: in force when most boxes ask for it`);
  }
}

/** A sync that takes longer is worth a word, ms. */
const SLOW_DISK_MS = 50;

/** What is wrong with a box's disk; "" for nothing. */
function diskText({ disk }: Member): string {
  if (disk === undefined || disk === null) return "";
  const facts = [
    disk.hasState ? "" : "its state is lost: it waits for a snapshot of the leader",
    disk.room === "enough" ? "" : `its disk is ${disk.room}: ${Math.floor(disk.freeBytes / 1024 ** 2)} MiB left`,
    disk.durableMs < SLOW_DISK_MS ? "" : `its disk is slow: ${Math.round(disk.durableMs)} ms a sync`,
  ];
  return facts.filter((text) => text !== "").join("; ");
}

function roleOf(member: Member, view: BoxStatus): string {
  if (member.raftId === view.cluster.leader) return "leader";
  return member.isVoter ? "follower" : "learner";
}

/** Entries that it does not have yet; only the leader knows. */
function lagOf(member: Member, view: BoxStatus): string {
  if (member.raftId === view.cluster.leader && view.cluster.role === "leader") return "0";
  return member.match === null ? "-" : String(Math.max(0, view.cluster.lastIndex - member.match));
}

function printHosts(
  terminal: Terminal,
  page: Page,
  leader: BoxStatus | undefined,
  here: BoxStatus,
  fencing: FenceStatus,
): void {
  page.section(
    `HOSTS (fencing is ${fencing.armed ? "armed" : `disarmed by ${fencing.changedBy}${fencing.why === "" ? "" : `: ${fencing.why}`}`})`,
  );
  page.tableHead(
    `${"ID".padStart(4)} ${"NAME".padEnd(20)} ${"LEVEL".padEnd(10)} ${"ANSWER".padStart(8)} ${"FENCING".padEnd(12)} BMC`,
  );
  for (const host of fencing.hosts) {
    const level = leader?.levels.find((one) => one.hostId === host.id);
    const age = level?.inference.answerAgeMs;
    const kind = level === undefined ? "-" : level.inference.kind;
    const cells = [
      String(host.id).padStart(4),
      host.name.slice(0, 20).padEnd(20),
      coloured(
        terminal,
        kind === "up" ? "green" : kind === "down" || kind === "isolated" ? "red" : "yellow",
        kind.padEnd(10),
      ),
      (age === undefined ? "-" : `${Math.round(age)} ms`).padStart(8),
      host.state.padEnd(12),
      bmcText(host, leader ?? here),
    ];
    page.line(cells.join(" "));
    for (const reason of reasonsOf(host, leader ?? here)) page.line(`     ${reason}`);
  }
}

function bmcText(host: FencedHost, view: BoxStatus): string {
  const readiness = view.readiness.find((one) => one.hostId === host.id);
  if (readiness === undefined) return "not checked yet";
  if (host.binding === null)
    return `${readiness.isReady ? "ready" : "not ready"}, not bound: ringfence fence bind ${host.name}`;
  // The check is older than the binding: the next one, within seconds, knows of it.
  if (!readiness.isReady && readiness.reason.startsWith("not bound")) return "bound, not checked since";
  return readiness.isReady ? `ready, power ${readiness.power}` : `not ready: ${readiness.reason}`;
}

/** What a person should know beyond the columns. */
function reasonsOf(host: FencedHost, view: BoxStatus): readonly string[] {
  const level = view.levels.find((one) => one.hostId === host.id)?.inference;
  const connection = view.hosts.find((one) => one.hostId === host.id);
  const reasons = [
    host.reason === "" ? "" : `fencing: ${host.reason}`,
    level?.degraded === undefined ? "" : `degraded: ${level.degraded}`,
    level?.reason === undefined ? "" : `level: ${level.reason}`,
    connection === undefined || connection.reason === "" ? "" : `connection ${connection.state}: ${connection.reason}`,
  ];
  const findings = view.readiness.find((one) => one.hostId === host.id)?.findings ?? [];
  return [...reasons, ...findings.map((finding) => `BMC: ${finding}`)].filter((text) => text !== "");
}

/** Prints what fencing knows of every host, with evidence and proofs. */
export function printFenceStatus(terminal: Terminal, fencing: FenceStatus): void {
  const page = new Page(terminal, 14, 0);
  page.title("FENCING");
  page.field("ARMED", fencing.armed ? "yes" : "no");
  if (!fencing.armed) page.field("DISARMED BY", `${fencing.changedBy}${fencing.why === "" ? "" : `: ${fencing.why}`}`);
  for (const host of fencing.hosts) {
    page.line();
    page.section(`HOST ${host.id} ${host.name}`);
    page.field("STATE", host.state);
    if (host.reason !== "") page.field("REASON", host.reason);
    if (host.attempt > 0) page.field("ATTEMPT", String(host.attempt));
    if (host.confirmedBy !== "") page.field("CONFIRMED BY", host.confirmedBy);
    page.field(
      "BOUND",
      host.binding === null
        ? `no: ringfence fence bind ${host.name}`
        : `BMC ${host.binding.guid}, machine ${host.binding.uuid}, by ${host.binding.boundBy}`,
    );
    for (const one of host.evidence) page.field("EVIDENCE", asText(one));
    for (const one of host.proofs) page.field("PROOF", asText(one));
  }
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
