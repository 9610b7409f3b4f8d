import type { PurgeSettings } from "../config/purge.ts";
import type { State } from "../store/state/types.ts";
import type { Core } from "./core.ts";

/** A log over this is purged whoever still needs it: recovery takes a second a GiB, and small flash has few. */
const LOG_BYTES_MAX = 1024 * 1024 * 1024;
/** Between two looks at the log's size, ms: at 50 MB/s it grows by a tenth of what is allowed more. */
const LOOK_EVERY_MS = 30_000;

export interface LogPurgePorts {
  readonly state: Pick<State, "appliedIndex" | "checkpoint">;
  readonly core: Pick<Core, "purge">;
  readonly settings: PurgeSettings;
  onFailure(error: unknown): void;
}

/**
 * Lets the log forget, each LOG_PURGE_TIMEOUT, what it need not keep. Only what the state database holds durably may go,
 * and a checkpoint says what that is; a box on which nothing was applied since the last time does nothing, no sync either.
 */
export class LogPurge {
  readonly #ports: LogPurgePorts;
  readonly #timer: ReturnType<typeof setInterval>;
  #appliedThen = -1;
  #purgedAt = performance.now();
  #isBusy = false;

  constructor(ports: LogPurgePorts) {
    this.#ports = ports;
    this.#timer = setInterval(() => this.#look(), Math.min(LOOK_EVERY_MS, ports.settings.everyMs));
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { state, onFailure } = this.#ports;
    if (this.#isBusy || state.appliedIndex === this.#appliedThen) return;
    this.#isBusy = true;
    this.#purge()
      .catch(onFailure)
      .finally(() => {
        this.#isBusy = false;
      });
  }

  async #purge(): Promise<void> {
    const { state, core, settings } = this.#ports;
    const appliedIndex = state.appliedIndex;
    const { durableAppliedIndex, complete } = await state.checkpoint();
    // A checkpoint is not complete while somebody reads: tried again at the next look.
    if (complete) this.#appliedThen = appliedIndex;
    const { retention, limit, everyMs } = settings;
    const isDue = performance.now() - this.#purgedAt >= everyMs - 1;
    if (isDue) this.#purgedAt = performance.now();
    core.purge({
      ...{ durableApplied: durableAppliedIndex, retention, limit: isDue ? limit : 0 },
      ...{ patienceMs: everyMs, bytesMax: LOG_BYTES_MAX },
    });
  }
}
