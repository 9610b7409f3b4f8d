/** Debian's keepalived in the boxes of a bare rack, as a user of VRRP sets it up: one address, three routers. */
import { until } from "../support/demo/bootstrap.ts";
import { VIP } from "../support/rack/plan.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { installPeers } from "./packages.ts";

const LEVEL_TIMEOUT_MS = 30_000;

export function installKeepalived(): Promise<void> {
  return installPeers(["keepalived"], ["/usr/sbin/keepalived"]);
}

/** Starts keepalived on a box; the first box has the highest priority and is the master when all is well. */
export async function startKeepalived(box: RackNode, advertSeconds: number): Promise<void> {
  const configuration = `global_defs {
  router_id ${box.name}
  vrrp_version 3
}
vrrp_instance bench {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority ${200 - 10 * box.plan.number}
  advert_int ${advertSeconds}
  virtual_ipaddress {
    ${VIP}/24
  }
}
`;
  const words = ["--dont-fork", "--log-console", "--vrrp", "-f", "/etc/one/keepalived.conf", "-p", "/run/ka.pid"];
  const start = `setsid keepalived ${words.join(" ")} -r /run/ka-vrrp.pid </dev/null >/var/log/one/keepalived.log 2>&1 &`;
  await box.exec(["sh", "-c", `cat >/etc/one/keepalived.conf\n${start}`], { stdin: configuration });
}

/** Waits until the first box alone has the address: the state from which each run starts. */
export async function waitForMaster(rack: Rack): Promise<RackNode> {
  await until("keepalived's first router is the only master", LEVEL_TIMEOUT_MS, async () => {
    const holders = await Promise.all(rack.boxes.map((box) => hasAddress(box)));
    return holders.every((holds, number) => holds === (number === 0));
  });
  return rack.box(0);
}

async function hasAddress(box: RackNode): Promise<boolean> {
  const { stdout } = await box.exec(["ip", "-o", "address", "show", "dev", "eth0"]);
  return stdout.includes(` ${VIP}/`);
}
