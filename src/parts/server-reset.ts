import type { Member } from "../raft/types.ts";

export interface ResetPorts {
  readonly self: string;
  members(): readonly Member[];
  /** Raft ids of the boxes that we can send to now. */
  reachable(): Promise<readonly string[]>;
  /** Sends the box a new snapshot that it takes in any case. */
  send(raftId: string): void;
}

/**
 * `server-reset`: the server starts anew from the leader's state as it is now. Its log, its votes and its place in the
 * cluster stay. Undefined once it is on its way, else why not.
 */
export async function resetMember(ports: ResetPorts, serverId: number): Promise<string | undefined> {
  const member = ports.members().find((one) => one.serverId === serverId);
  if (member === undefined) return "SERVER not found in zone";
  if (member.raftId === ports.self)
    return `Server ${serverId} leads: the others have their state from it. Move leadership first (ringfence leader move)`;
  if (!(await ports.reachable()).includes(member.raftId))
    return `Server ${serverId} does not answer: it gets what it needs by itself when it is back`;
  ports.send(member.raftId);
  return undefined;
}
