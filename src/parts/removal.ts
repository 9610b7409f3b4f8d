import type { Member, MembershipChange } from "../raft/types.ts";

/** A new leader is there within some tens of ms; an election that goes wrong takes a few tries, ms. */
const HAND_OVER_TIMEOUT_MS = 3000;
const LOOK_EVERY_MS = 10;

export interface RemovalPorts {
  readonly self: string;
  members(): readonly Member[];
  leads(): boolean;
  change(change: MembershipChange): Promise<string | undefined>;
  transfer(): Promise<string | undefined>;
}

/**
 * Takes a server's box out of the group of consensus; undefined when nothing speaks against going on, else why not. A
 * leader that is to go itself hands leadership on first: then the entry that follows is refused here, and the same
 * request is done by the next leader. Removed while it leads, it could neither commit that entry nor ask anybody.
 */
export async function removeMember(ports: RemovalPorts, serverId: number): Promise<string | undefined> {
  const member = ports.members().find((one) => one.serverId === serverId);
  if (member === undefined) return undefined;
  if (member.raftId !== ports.self)
    return ports.change({ kind: "simple", steps: [{ kind: "remove", raftId: member.raftId }] });
  const why = await ports.transfer();
  if (why !== undefined) return `This server leads and cannot hand leadership on: ${why}`;
  for (const end = performance.now() + HAND_OVER_TIMEOUT_MS; performance.now() < end; await Bun.sleep(LOOK_EVERY_MS))
    if (!ports.leads()) return undefined;
  return "This server leads and nobody has taken over; try again";
}
