import { errorChain } from "../base/error.ts";
import type { BoxRole, Cluster } from "./cluster.ts";
import type { Fencing } from "./fencing.ts";
import { found } from "./founding.ts";
import { recordGeneration } from "./generation.ts";
import type { Hosts } from "./hosts.ts";
import { paths } from "./paths.ts";
import type { Seal } from "./seal.ts";

/** After a start that failed (a read, a founding entry of unknown outcome), the parts are started again after this, ms. */
const START_AGAIN_MS = 500;

export interface LeaderPorts {
  readonly cluster: Cluster;
  readonly seal: Seal;
  readonly fencing: Pick<Fencing, "lead" | "unlead">;
  /** Resolves once the cluster is founded and this box has the ssh key. */
  readonly hosts: () => Promise<Pick<Hosts, "lead" | "unlead"> & Parameters<Fencing["lead"]>[0]>;
  log(text: string): void;
}

/**
 * What only a leader runs: founding, the boxes' names, domains, fencing, recovery. Started after the own term's entry is
 * applied, stopped when leadership ends; one change after the other, so that a quick flap never runs two at once.
 */
export class LeaderParts {
  readonly #ports: LeaderPorts;
  /** The term for which the parts run, or are to run; 0 for none. */
  #wantedTerm = 0;
  #runningTerm = 0;
  #turn: Promise<void> = Promise.resolve();
  #removeListener: (() => void) | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #nameAgain: ReturnType<typeof setTimeout> | undefined;

  constructor(ports: LeaderPorts) {
    this.#ports = ports;
  }

  roleChanged(role: BoxRole): void {
    this.#wantedTerm = role.isReady ? role.term : 0;
    this.#settleInTurn();
  }

  async stop(): Promise<void> {
    this.#wantedTerm = 0;
    this.#settleInTurn();
    await this.#turn;
  }

  #settleInTurn(): void {
    clearTimeout(this.#again);
    this.#turn = this.#turn
      .then(() => this.#settle())
      .catch((error: unknown) => {
        this.#ports.log(`leader parts: ${errorChain(error)}`);
        // A leader without its parts would leave every begun recovery where it is, for as long as it leads.
        if (this.#wantedTerm !== 0) this.#again = setTimeout(() => this.#settleInTurn(), START_AGAIN_MS);
      });
  }

  async #settle(): Promise<void> {
    if (this.#runningTerm !== 0 && this.#runningTerm !== this.#wantedTerm) await this.#end();
    if (this.#wantedTerm === 0 || this.#runningTerm === this.#wantedTerm) return;
    const term = this.#wantedTerm;
    const { cluster, seal, fencing, log } = this.#ports;
    await found(cluster, seal, log);
    const begun = await recordGeneration(paths.data, cluster.propose);
    if (begun !== undefined)
      log(`generation ${begun.generation} is on the record (${begun.reason} by ${begun.by}); fencing is disarmed`);
    const hosts = await this.#ports.hosts();
    if (this.#wantedTerm !== term) return;
    this.#runningTerm = term;
    try {
      this.#removeListener = cluster.state.onApplied((tags) => {
        if (tags.includes("zone:0")) this.#nameBoxes();
      });
      this.#nameBoxes();
      await hosts.lead(() => voters(cluster));
      await fencing.lead(hosts, term);
    } catch (error) {
      await this.#end();
      throw error;
    }
    log(`leads in term ${term}`);
  }

  async #end(): Promise<void> {
    this.#runningTerm = 0;
    clearTimeout(this.#nameAgain);
    this.#removeListener?.();
    const hosts = await this.#ports.hosts();
    hosts.unlead();
    await this.#ports.fencing.unlead();
  }

  /**
   * The group's members carry the ids and names of the zone's servers. The founder gets its own with the first
   * `server-add`, which names the box itself.
   */
  #nameBoxes(): void {
    clearTimeout(this.#nameAgain);
    this.#nameFounder().catch((error: unknown) => this.#ports.log(`Cannot name this server: ${errorChain(error)}`));
  }

  async #nameFounder(): Promise<void> {
    const { cluster, log } = this.#ports;
    const self = cluster.self();
    if (self === undefined || self.serverId >= 0) return;
    const [row] = await cluster.state.read("SELECT id,name FROM server ORDER BY id LIMIT 1");
    if (row === undefined) return;
    const member = { ...self, serverId: Number(row[0]), name: String(row[1]) };
    const why = await cluster.core.changeMembership({ kind: "simple", steps: [{ kind: "update", member }] });
    if (why === undefined) log(`this box is server ${member.serverId}, "${member.name}"`);
    // One change of the membership at a time; without its id this box could be neither shown nor removed.
    else if (this.#runningTerm !== 0) this.#nameAgain = setTimeout(() => this.#nameBoxes(), START_AGAIN_MS);
  }
}

function voters(cluster: Cluster): readonly number[] {
  const membership = cluster.membership();
  return membership.members
    .filter((member) => membership.voters.includes(member.raftId) || membership.votersOutgoing.includes(member.raftId))
    .map((member) => member.serverId);
}
