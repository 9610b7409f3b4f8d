import type { Change } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import { notBeingFenced } from "../fence/record.ts";
import type { Fact } from "../hypervisor/ports.ts";
import { hostById } from "../one/host/row.ts";
import { HOST_STATE } from "../one/host/states.ts";
import { hostFacts, hostMonitored } from "../one/host/transitions.ts";
import type { Query } from "../one/query.ts";
import { vmById } from "../one/vm/row.ts";
import type { Cluster } from "./cluster.ts";
import { factsOf, stepFor, type Told } from "./host-facts.ts";

/** What a leader puts on the record of what its hosts tell: the steps of VMs, and hosts that are put to use. */
export class HostRecord {
  readonly #cluster: Pick<Cluster, "propose" | "state">;
  readonly #log: (text: string) => void;

  constructor(cluster: Pick<Cluster, "propose" | "state">, log: (text: string) => void) {
    this.#cluster = cluster;
    this.#log = log;
  }

  /**
   * A fact of the hypervisor becomes the VM's next step, if the record still speaks of that start on that host. True: the record
   * took up that the VM ended there. Throws CodedError "unknown" when nobody can tell whether it did.
   */
  async fact(fact: Fact): Promise<boolean> {
    if (fact.kind === "stray-destroyed") {
      this.#log(`host ${fact.hostId}: VM ${fact.vmId} must not run there and was destroyed: ${fact.reason}`);
      return false;
    }
    const vm = await this.#one(vmById(fact.vmId));
    if (vm === undefined || vm.host_id !== fact.hostId || vm.seq !== fact.epoch) return false;
    const step = stepFor(fact, vm, Math.floor(Date.now() / 1000));
    if (step === undefined) return false;
    if (!step.ok) {
      this.#log(`VM ${vm.id}: ${step.why}`);
      return false;
    }
    const outcome = await this.#cluster.propose(`vm.${fact.kind}`, step.change);
    // Rejected: the row changed meanwhile, and the same fact will be said again against the new row.
    if (outcome.kind !== "done" && outcome.kind !== "rejected")
      throw new CodedError("unknown", `The step of VM ${vm.id} is ${outcome.kind}`);
    return outcome.kind === "done" && fact.kind !== "running";
  }

  /** Puts a host to use that is heard and has shown its domains, unless it is being fenced. */
  async admit(hostId: number, told: Told): Promise<boolean> {
    const row = await this.#one(hostById(hostId));
    const facts = factsOf(told);
    if (row === undefined || facts === undefined) return false;
    if (row.state !== HOST_STATE.init && row.state !== HOST_STATE.error) {
      // Its boot is among the facts: it is put to use only when every later leader will know under which boot.
      const hasNews = row.total_cpu !== facts.totalCpu || row.facts !== facts.facts;
      if (hasNews && !(await this.#propose("host.facts", hostFacts(row, facts)))) return false;
      return row.state === HOST_STATE.monitored || row.state === HOST_STATE.disabled;
    }
    const step = hostMonitored(row, facts);
    if (!step.ok) return false;
    return this.#propose("host.monitored", { ...step.change, guards: [...step.change.guards, notBeingFenced(hostId)] });
  }

  async #propose(kind: string, change: Change): Promise<boolean> {
    return (await this.#cluster.propose(kind, change)).kind === "done";
  }

  async #one<R>({ sql, values }: Query<R>): Promise<R | undefined> {
    return ((await this.#cluster.state.readRows(sql, values)) as readonly unknown[] as readonly R[])[0];
  }
}
