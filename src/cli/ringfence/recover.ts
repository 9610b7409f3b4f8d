import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import type { Rpc } from "../client/rpc.ts";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { type BoxStatus, readAnswer } from "./answers.ts";
import { whyWaiting } from "./join.ts";

const IDENTITY_FILE = "/var/lib/one/identity.json";
/** What only root on the box can write: the box compares it with what the call brings. */
const WORD_FILE = "/run/one/force-recover";
/** The box ends its process, starts, elects itself and replays: some seconds, ms. */
const BACK_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 250;

/** What `ringfence.recovery.look` answers. */
interface Look {
  readonly obstacle: string;
  readonly generation: number;
  readonly commit: number;
  readonly lastIndex: number;
  readonly self?: Server;
  readonly members: readonly Server[];
  readonly voters: readonly string[];
  readonly answering: Readonly<Record<string, { readonly lastIndex: number }>>;
}

interface Server {
  readonly raftId: string;
  readonly serverId: number;
  readonly name: string;
  readonly peerAddress: string;
}

/** Makes the box that this runs on a cluster of its own, after saying exactly what the person answers for. */
export async function forceRecover({ rpc, terminal, options }: Context): Promise<void> {
  const waits = whyWaiting();
  if (waits !== undefined) throw new CommandFailure(waits);
  if (!existsSync(IDENTITY_FILE))
    throw new CommandFailure("This is done on the box that is to go on: this machine is none");
  const look = readAnswer<Look>(await rpc.read("ringfence.recovery.look"), "members");
  if (look.obstacle !== "") throw new CommandFailure(`Nothing was done: ${look.obstacle}.`);
  const name = look.self?.name ?? "";
  terminal.err(explain(look));
  const typed = options.get("yes") ?? terminal.ask(`To go on, type this box's name: `);
  if (typed !== name) throw new CommandFailure(`Nothing was done: this box is "${name}", not "${typed ?? ""}".`);
  const word = randomBytes(16).toString("hex");
  writeFileSync(WORD_FILE, word, { mode: 0o600 });
  let generation: number;
  try {
    generation = Number(await rpc.once("ringfence.recovery.force", name, word));
  } finally {
    rmSync(WORD_FILE, { force: true });
  }
  terminal.err(`Generation ${generation} begins; the box starts again.\n`);
  await waitFor(rpc, generation);
  terminal.out(`This box leads generation ${generation}. Fencing is disarmed: look, then ringfence fence arm.
The others stand down when they hear this box; join each again: ringfence join-token ID here, ringfence join TOKEN there.
ringfence status shows what was possibly lost until ringfence recovery acknowledge.
`);
}

function explain(look: Look): string {
  const others = look.members.filter((one) => one.raftId !== look.self?.raftId).sort((a, b) => a.serverId - b.serverId);
  const voters = look.voters.length;
  const answering = 1 + look.voters.filter((raftId) => raftId in look.answering).length;
  const lines = others.map((one) => {
    const view = look.answering[one.raftId];
    const how = view === undefined ? "silent" : `answers, its log ends at entry ${view.lastIndex}`;
    return `  server ${one.serverId} "${one.name}" at ${one.peerAddress}: ${how}`;
  });
  const names = others.map((one) => `"${one.name}"`).join(" and ");
  return `This box is server ${look.self?.serverId} "${look.self?.name}". ${answering} of ${voters} servers answer, which is no quorum:
${lines.join("\n")}
force-recover makes this box a cluster of its own, generation ${look.generation + 1}, with what it has: its log to entry ${look.lastIndex}, of which ${look.commit} was known
to be committed. What the others acknowledged beyond that is lost. It is on the record, with your name.

You answer for one thing that this box cannot see: that ${names} are switched off, or cut off for good.
If a majority of them still runs where this box does not hear it, it goes on: then two boxes answer for the VIP, and two
clusters start the same VMs on the same disks. Boxes that hear this one again stop by themselves, those that do not, do not.
`;
}

/** Until the box leads its generation; the connection is refused meanwhile. */
async function waitFor(rpc: Rpc, generation: number): Promise<void> {
  const end = performance.now() + BACK_WITHIN_MS;
  for (;;) {
    const text = await rpc.probe(rpc.endpoint, 1000, "ringfence.status");
    const status = text === undefined ? undefined : readAnswer<BoxStatus>(text, "cluster");
    if (status?.generation === generation && status.cluster.role === "leader" && status.recoveries.length > 0) return;
    if (performance.now() > end)
      throw new CommandFailure(
        `Generation ${generation} has begun, but the box does not lead yet: /var/log/one/ringfence.log says why`,
      );
    await Bun.sleep(LOOK_EVERY_MS);
  }
}

/** A person knows what was possibly lost; the record stays, the status shows it no more. */
export async function acknowledgeRecovery({ rpc, terminal }: Context): Promise<void> {
  const count = await rpc.write("ringfence.recovery.acknowledge");
  terminal.out(count === 0 ? "There was nothing to acknowledge.\n" : "It is acknowledged, and stays on the record.\n");
}
