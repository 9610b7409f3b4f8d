import { CodedError, errorChain } from "../base/error.ts";
import { type Announced, levelObstacles, wantedTimings } from "../cluster/announcement.ts";
import { describeTimings, timingsFromText } from "../config/timings.ts";
import type { BoxRole, Cluster } from "./cluster.ts";
import { FEATURE_LEVEL, migrationTo } from "./feature-level.ts";
import { readTimings, storeTimings } from "./timings.ts";

/** How often the leader looks what the members announce, ms: they do so when they start. */
const LOOK_EVERY_MS = 1000;
/**
 * For so long every member must have announced a higher level before it is raised without a person: a day in which an
 * update that turns out badly can still be taken back.
 */
const RAISE_AFTER_MS = 24 * 3600 * 1000;

export interface AgreementPorts {
  readonly cluster: Pick<Cluster, "core" | "state" | "membership" | "role" | "propose">;
  /** The largest level that this build knows. */
  readonly known?: number;
  readonly raiseAfterMs?: number;
  readonly lookEveryMs?: number;
  /** Monotonic ms. */
  now(): number;
  log(text: string): void;
}

/** What the boxes agree on by announcing it: feature level and timings. The leader puts into the log what they announce. */
export class Agreement {
  readonly #ports: AgreementPorts;
  readonly #known: number;
  #looking: ReturnType<typeof setInterval> | undefined;
  #isBusy = false;
  /** Since when, in this leadership, nothing has stood in the way of the next level. */
  #freeSince: { readonly level: number; readonly at: number } | undefined;

  constructor(ports: AgreementPorts) {
    this.#ports = ports;
    this.#known = ports.known ?? FEATURE_LEVEL;
  }

  /** Looks while this box leads. */
  roleChanged(role: BoxRole): void {
    if (role.isReady === (this.#looking !== undefined)) return;
    clearInterval(this.#looking);
    this.#freeSince = undefined;
    this.#looking = role.isReady
      ? setInterval(() => {
          this.#look().catch((error: unknown) => this.#ports.log(`agreement of the boxes: ${errorChain(error)}`));
        }, this.#ports.lookEveryMs ?? LOOK_EVERY_MS)
      : undefined;
  }

  stop(): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  /** By a person's word. Returns the level that is in force then. Throws "feature-level" with what stands in its way. */
  async raiseLevel(): Promise<number> {
    const level = this.#ports.cluster.state.level + 1;
    if (level > this.#known)
      throw new CodedError("feature-level", `level ${level - 1} is the highest that the build of this box knows`);
    const { announced } = await this.#ports.cluster.core.status();
    const obstacles = levelObstacles(level, this.#ports.cluster.membership(), announced);
    if (obstacles.length > 0)
      throw new CodedError("feature-level", obstacles.map(({ name, why }) => `${name} ${why}`).join("; "));
    await this.#raise(level);
    return level;
  }

  async #look(): Promise<void> {
    // A look that waits for an entry is not overtaken by the next one.
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const { announced } = await this.#ports.cluster.core.status();
      await this.#lookAtTimings(announced);
      await this.#lookAtLevel(announced);
    } finally {
      this.#isBusy = false;
    }
  }

  async #lookAtTimings(announced: Announced): Promise<void> {
    const { cluster, log } = this.#ports;
    const wanted = wantedTimings(cluster.membership(), announced);
    const timings = wanted === undefined ? undefined : timingsFromText(wanted);
    if (wanted === undefined || timings === undefined) return;
    const inForce = await readTimings(cluster.state);
    if (inForce.kind === "no-table" || inForce.text === wanted) return;
    const outcome = await cluster.propose("cluster.timings", storeTimings(wanted));
    if (outcome.kind === "done") log(`timings of the cluster, as most boxes ask for: ${describeTimings(timings)}`);
  }

  async #lookAtLevel(announced: Announced): Promise<void> {
    const { cluster, raiseAfterMs = RAISE_AFTER_MS, now, log } = this.#ports;
    const level = cluster.state.level + 1;
    const isFree = level <= this.#known && levelObstacles(level, cluster.membership(), announced).length === 0;
    if (!isFree) {
      this.#freeSince = undefined;
      return;
    }
    if (this.#freeSince?.level !== level) {
      this.#freeSince = { level, at: now() };
      log(
        `every box knows feature level ${level}: it is raised in ${raiseAfterMs / 3_600_000} h, or by ringfence level raise; then no older build can come back`,
      );
    }
    if (now() - this.#freeSince.at >= raiseAfterMs) await this.#raise(level);
  }

  async #raise(level: number): Promise<void> {
    const { cluster, log } = this.#ports;
    const change = { guards: [], statements: migrationTo(level), tags: [] };
    const outcome = await cluster.propose("feature.level", change, level);
    if (outcome.kind !== "done") throw new CodedError("feature-level", `raising it to ${level} is ${outcome.kind}`);
    log(`feature level ${level} is in force`);
  }
}
