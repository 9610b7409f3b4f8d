import { parseXml } from "../../one/xml.ts";
import type { Rpc } from "../client/rpc.ts";
import { allAt, numberAt, textAt } from "../document.ts";
import { type BoxStatus, type FenceStatus, readAnswer } from "./answers.ts";

/** What `ringfence status` shows, as it is printed with `--json`. */
export interface View {
  /** The box that was asked. */
  readonly here: BoxStatus;
  /** The leader's own view, which knows more; undefined when there is none or it does not answer. */
  readonly leader: BoxStatus | undefined;
  readonly fencing: FenceStatus;
}

/** How long the leader may take to say how it is, ms. */
const LEADER_TIMEOUT_MS = 1_000;

export async function look(rpc: Rpc): Promise<View> {
  const here = readAnswer<BoxStatus>(await rpc.read("ringfence.status"), "cluster");
  const fencing = readAnswer<FenceStatus>(await rpc.read("ringfence.fence.status"), "hosts");
  return { here, leader: await leaderView(rpc, here), fencing };
}

async function leaderView(rpc: Rpc, here: BoxStatus): Promise<BoxStatus | undefined> {
  if (here.cluster.role === "leader") return here;
  const leader = here.cluster.members.find((member) => member.raftId === here.cluster.leader);
  if (leader === undefined) return undefined;
  const endpoint = (await endpointsOf(rpc)).get(leader.serverId);
  if (endpoint === undefined) return undefined;
  const answer = await rpc.probe(endpoint, LEADER_TIMEOUT_MS, "ringfence.status");
  return answer === undefined ? undefined : readAnswer<BoxStatus>(answer, "cluster");
}

/** Where each server of the zone answers, by its number. */
export async function endpointsOf(rpc: Rpc): Promise<ReadonlyMap<number, string>> {
  const zone = parseXml(await rpc.read("one.zone.info", 0));
  return new Map(allAt(zone, "SERVER_POOL", "SERVER").map((one) => [numberAt(one, "ID"), textAt(one, "ENDPOINT")]));
}
