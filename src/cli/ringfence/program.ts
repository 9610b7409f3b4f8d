import type { Context, Program } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { resolveId } from "../objects.ts";
import type { Option } from "../options.ts";

const JSON_OPTION: Option = { name: "json", short: "j", text: "As JSON, for programs" };
const YES: Option = { name: "yes", text: "Ask nothing" };

async function status({ rpc, terminal, options }: Context): Promise<void> {
  const { whyWaiting } = await import("./join.ts");
  const waits = options.has("endpoint") ? undefined : whyWaiting();
  if (waits !== undefined) throw new CommandFailure(waits);
  const { look } = await import("./look.ts");
  const view = await look(rpc);
  if (options.has("json")) return terminal.out(`${JSON.stringify(view, null, 2)}\n`);
  (await import("./status.ts")).printStatus(terminal, view);
}

/** Between two looks, ms. */
const WATCH_INTERVAL_MS = 1_000;

/** Status again and again; what cannot be read is said, and looked at again. Ends with Ctrl-C, or after `--count` looks. */
async function watch({ rpc, terminal, options }: Context): Promise<void> {
  const count = options.get("count") ?? "0";
  if (!/^\d{1,9}$/.test(count)) throw new CommandFailure(`invalid argument: --count ${count}`);
  const [{ look }, { printStatus }] = await Promise.all([import("./look.ts"), import("./status.ts")]);
  for (let looked = 1; ; looked++) {
    const view = await look(rpc).catch((error: unknown) => {
      if (error instanceof CommandFailure) return error;
      throw error;
    });
    if (terminal.isTty) terminal.out("\u001b[H\u001b[2J");
    if (view instanceof CommandFailure) terminal.out(`${view.message}\n`);
    else printStatus(terminal, view);
    if (looked === Number(count)) return;
    await Bun.sleep(WATCH_INTERVAL_MS);
  }
}

async function moveLeader({ rpc, terminal, words }: Context): Promise<void> {
  const server = words[0] ?? "-1";
  if (!/^(-1|\d+)$/.test(server))
    throw new CommandFailure(`"${server}" is not the number of a server: onezone show 0 lists them`);
  await rpc.once("ringfence.leader.move", Number(server));
  terminal.out(`Leadership and the VIP ${server === "-1" ? "have moved" : `are with server ${server}`}.\n`);
}

async function trustHost(context: Context): Promise<void> {
  const id = await resolveId(context, { method: "host", element: "HOST", isOwned: false }, context.words[0] ?? "");
  await context.rpc.once("ringfence.host.trust", id);
  context.terminal.out(`The ssh key of host ${id} is forgotten: the next connection keeps the key that it meets.\n`);
}

export const RINGFENCE_PROGRAM: Program = {
  name: "ringfence",
  text: "What OpenNebula has no word for: the boxes, their VIP, and fencing.",
  commands: [
    {
      name: "status",
      words: "",
      text: "Shows boxes, leader, VIP, hosts and their BMCs",
      options: [JSON_OPTION],
      example: "ringfence status",
      run: status,
    },
    {
      name: "watch",
      words: "",
      text: "Shows the status anew every second",
      options: [{ name: "count", value: "n", text: "How many times; without it until Ctrl-C" }],
      example: "ringfence watch",
      run: watch,
    },
    {
      name: "join",
      words: "[<token>]",
      text: "On a new box: joins the cluster that made the token; without one it is read from standard input",
      example: "ringfence join rf1.eyJ…",
      run: async (context) => (await import("./join.ts")).join(context),
    },
    {
      name: "join-token",
      words: "<serverid>",
      text: "A new token for a server of the zone: once, within an hour",
      example: "ringfence join-token 2",
      run: async ({ rpc, terminal, words }) => {
        const { joinTokenOf } = await import("./join.ts");
        terminal.out(`${await joinTokenOf(rpc, words[0] ?? "")}\n`);
      },
    },
    {
      name: "ssh-key",
      words: "",
      text: "The cluster's public ssh key, for authorized_keys of the hypervisors",
      example: "ringfence ssh-key >> /root/.ssh/authorized_keys",
      run: async ({ rpc, terminal }) => terminal.out(`${(await rpc.read("ringfence.sshkey")).trim()}\n`),
    },
    {
      name: "fence status",
      words: "",
      text: "What fencing knows of every host, with evidence and proofs",
      options: [JSON_OPTION],
      example: "ringfence fence status",
      run: async (context) => (await import("./fence.ts")).fenceStatus(context),
    },
    {
      name: "fence arm",
      words: "",
      text: "Lets the cluster power hosts off",
      example: "ringfence fence arm",
      run: async (context) => (await import("./fence.ts")).arm(context),
    },
    {
      name: "fence disarm",
      words: "[<why>]",
      text: "Forbids the cluster to power hosts off, as for work on the network",
      example: 'ringfence fence disarm "switch is replaced"',
      run: async (context) => (await import("./fence.ts")).disarm(context),
    },
    {
      name: "fence confirm",
      words: "[<hostid>]",
      text: "A person who has looked says that a host is off; its name is asked for",
      options: [
        { name: "rack", value: "name", text: "All waiting hosts of this RACK" },
        { name: "switch", value: "name", text: "All waiting hosts behind this SWITCH" },
        { name: "pdu", value: "name", text: "All waiting hosts on this PDU" },
        YES,
      ],
      example: "ringfence fence confirm hv1",
      run: async (context) => (await import("./fence.ts")).confirm(context),
    },
    {
      name: "fence bind",
      words: "<hostid>",
      text: "Binds a host's BMC to its machine after showing both numbers; without that nothing is fenced by itself",
      options: [YES],
      example: "ringfence fence bind hv1",
      run: async (context) => (await import("./fence.ts")).bind(context),
    },
    {
      name: "fence set",
      words: "<hostid>",
      text: "Sets how a host is powered off; its password is read from standard input",
      options: [
        { name: "address", value: "address", text: "Address of the BMC" },
        { name: "bmc-user", value: "name", text: "User of the BMC" },
        { name: "method", value: "method", text: "ipmi unless said otherwise" },
        { name: "port", value: "port", text: "Port of the BMC" },
        { name: "level", value: "n", text: "Which FENCE section, where there are several" },
        { name: "privilege", value: "level", text: "OPERATOR, ADMINISTRATOR" },
        { name: "cipher", value: "suite", text: "auto, 3 or 17" },
      ],
      example: "ringfence fence set hv1 --address 10.0.1.21 --bmc-user fence < password",
      run: async (context) => (await import("./fence.ts")).setFence(context),
    },
    {
      name: "host trust",
      words: "<hostid>",
      text: "Takes the ssh key that a host shows next, after it was installed anew",
      example: "ringfence host trust hv1",
      run: trustHost,
    },
    {
      name: "leader move",
      words: "[<serverid>]",
      text: "Hands leadership and the VIP to another box",
      example: "ringfence leader move 1",
      run: moveLeader,
    },
    {
      name: "level raise",
      words: "",
      text: "Puts the next feature level in force, once every box knows it; no older build can come back then",
      options: [YES],
      example: "ringfence level raise",
      run: async (context) => (await import("./level.ts")).raiseLevel(context),
    },
    {
      name: "force-recover",
      words: "",
      text: "On a surviving box, when the quorum is lost for good: goes on alone, as a new generation.\nThe others must be off or cut off for good; its name is asked for",
      options: [{ name: "yes", value: "name", text: "This box's name: nothing is asked" }],
      example: "ringfence force-recover",
      run: async (context) => (await import("./recover.ts")).forceRecover(context),
    },
    {
      name: "identity accept",
      words: "",
      text: "On a box whose disk was moved to another board: says that it is the only one of its identity",
      options: [{ name: "yes", text: "Ask nothing" }],
      example: "ringfence identity accept",
      run: async (context) => (await import("./join.ts")).acceptMachine(context),
    },
    {
      name: "recovery acknowledge",
      words: "",
      text: "Ends the status line of a force-recover or restore; it stays on the record",
      example: "ringfence recovery acknowledge",
      run: async (context) => (await import("./recover.ts")).acknowledgeRecovery(context),
    },
    {
      name: "console exec",
      words: "<action> [<w1>] [<w2>] [<w3>] [<w4>] [<w5>] [<w6>] [<w7>] [<w8>]",
      text: "On a box: does one action of the recovery console, as on the serial line; help lists them. Questions, the console\npassword and the box's name are read from standard input, a line each. Works without quorum, and with the box's program dead",
      example: 'ringfence console exec disarm "work on the switch" < answers',
      run: async (context) => (await import("./console.ts")).execConsole(context),
    },
    {
      name: "console record",
      words: "",
      text: "What was done on the recovery consoles of all boxes, the newest first",
      example: "ringfence console record",
      run: async (context) => (await import("./console.ts")).printConsoleRecord(context),
    },
    {
      name: "watchdog status",
      words: "",
      text: "On a box: its watchdog, and when each part of its program was last heard. Works without quorum, and with the\nbox's program dead",
      options: [JSON_OPTION],
      example: "ringfence watchdog status",
      run: async (context) => (await import("./watchdog.ts")).watchdogStatus(context),
    },
    {
      name: "watchdog snooze",
      words: "[<time>]",
      text: "On a box: bears hangs of its program for a while, to look at them; 15m at most, and on the record. A hang of the\nkernel is a reset all the same",
      example: "ringfence watchdog snooze 15m",
      run: async (context) => (await import("./watchdog.ts")).snooze(context),
    },
    {
      name: "watchdog test",
      words: "",
      text: "On a box: lets the watchdog bite on purpose, on the record",
      options: [
        { name: "stop-petting", text: "The hardware resets this box" },
        {
          name: "freeze",
          value: "client",
          text: "This part hangs: raft, work, apply or disk; the program is started again",
        },
        YES,
      ],
      example: "ringfence watchdog test --freeze raft",
      run: async (context) => (await import("./watchdog.ts")).bite(context),
    },
    {
      name: "watchdog resume",
      words: "",
      text: "On a box in recovery after too many resets: starts its program now",
      example: "ringfence watchdog resume",
      run: async (context) => (await import("./watchdog.ts")).resume(context),
    },
    {
      name: "slot status",
      words: "",
      text: "The two system images of a box, which of them runs, how it was booted, and what came of its last update",
      options: [JSON_OPTION],
      example: "ringfence slot status",
      run: async (context) => (await import("./slot.ts")).printSlots(context),
    },
    {
      name: "slot switch",
      words: "",
      text: "Restarts a box with the image of its other slot, on trial: it comes back if that does not become healthy",
      options: [YES],
      example: "ringfence slot switch",
      run: async (context) => (await import("./slot.ts")).switchSlot(context),
    },
    {
      name: "update apply",
      words: "<bundle>",
      text: "Writes an update into the slot that does not run, while the box goes on; its next boot tries it. With --cluster all\nboxes, one after the other, the leader last; it stops at the first that does not come back healthy",
      options: [
        { name: "cluster", text: "All boxes, each restarted" },
        { name: "restart", text: "Restart the box when it is written" },
        { name: "downgrade", text: "Take an older version, too" },
      ],
      example: "ringfence update apply ringfence-0.2.0-x86_64.rfb --cluster",
      run: async (context) => (await import("./update.ts")).applyUpdate(context),
    },
    {
      name: "box restart",
      words: "",
      text: "Restarts a box's machine in order: VIP and leadership go first",
      options: [YES],
      example: "ringfence box restart",
      run: async (context) => (await import("./update.ts")).restartBox(context),
    },
    {
      name: "config check",
      words: "[<file>] [<boxfile>]",
      text: "Reads the configuration as a box would: every problem with its line, or the proof of its timings",
      example: "ringfence config check",
      run: async (context) => (await import("./config-check.ts")).checkConfig(context),
    },
    {
      name: "log verify",
      words: "[<dir>]",
      text: "Reads this box's log, running or not, and writes nothing: every segment, how far it was durable, the first bad\nrecord. Ends with 0 if a start would take it (a torn tail is cut), 1 if it would refuse, 2 if there is no log",
      options: [JSON_OPTION],
      example: "ringfence log verify /var/lib/one/log",
      run: async (context) => (await import("./log.ts")).verifyLog(context),
    },
    {
      name: "log dump",
      words: "[<dir>]",
      text: "Prints the entries of this box's log with their statements; secrets read ***. Ends as log verify does",
      options: [
        { name: "from", value: "index", text: "The first entry; without it all that the log has" },
        { name: "count", value: "n", text: "How many entries at most" },
        { ...JSON_OPTION, text: "As JSON, one entry a line" },
      ],
      example: "ringfence log dump --from 4711 --json",
      run: async (context) => (await import("./log.ts")).dumpLog(context),
    },
  ],
};
