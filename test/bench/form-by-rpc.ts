import { existsSync, readFileSync } from "node:fs";
import { endpoint, statusOf, until } from "../support/demo/bootstrap.ts";
import type { RackClient } from "../support/demo/client.ts";
import { nodeDataDirectory } from "../support/rack/place.ts";
import type { Rack } from "../support/rack/rack.ts";

export async function formCluster(rack: Rack, client: RackClient, say: (text: string) => void): Promise<void> {
  const first = rack.box(0);
  const url = endpoint(first);
  const authFile = `${nodeDataDirectory(rack.place, first.name)}/lib/.one/one_auth`;
  await until("box0 founds a cluster", 20_000, async () => {
    if (!existsSync(authFile)) return false;
    client.session = readFileSync(authFile, "utf8").trim();
    return (await statusOf(client, url))?.cluster.role === "leader";
  });
  for (const box of rack.boxes)
    await client.must("one.zone.addserver", [0, `SERVER=[NAME="${box.name}",ENDPOINT="${endpoint(box)}"]`], { url });
  for (const [id, box] of rack.boxes.entries()) {
    if (box === first) continue;
    const token = await client.must("ringfence.zone.jointoken", [id], { url });
    await box.exec(["sh", "-c", "cat >/etc/one/join-token"], { stdin: token });
  }
  await until("all boxes are voters", 30_000, async () => {
    const members = (await statusOf(client, url))?.cluster.members ?? [];
    return members.length === rack.boxes.length && members.every((member) => member.isVoter);
  });
  say("three boxes, one cluster");
}

export async function addHosts(rack: Rack, client: RackClient, say: (text: string) => void): Promise<void> {
  const url = endpoint(rack.box(0));
  const key = await client.must("ringfence.sshkey", [], { url });
  const password = readFileSync(rack.bmcPasswordFile, "utf8").trim();
  for (const host of rack.hosts) {
    host.authorize(key);
    const id = Number(await client.must("one.host.allocate", [host.name, "kvm", "kvm", -1], { url }));
    const fence = `FENCE=[ METHOD="ipmi", ADDRESS="${host.bmc.address}", USER="${rack.bmcUser}", PASSWORD="${password}" ]`;
    await client.must("one.host.update", [id, fence, 1], { url });
    await client.must("ringfence.fence.bind", [id, host.uuid.replaceAll("-", ""), host.uuid], { url });
  }
  say(`${rack.hosts.length} hypervisors`);
}
