import { BoundedQueue } from "../base/bounded-queue.ts";
import type { HookSetting } from "../config/config.ts";

/** What hooks need of the world. */
export interface HookPorts {
  /** Runs a program to its end; killed, with all that it started, at the time limit. Never rejects. */
  run(command: string, words: readonly string[], timeoutMs: number): Promise<HookResult>;
  /** One line for the hook log. */
  log(text: string): void;
  /** For a person: a hook failed. */
  alert(text: string): void;
}

export interface HookResult {
  /** 127 when the program could not be started. */
  readonly code: number;
  readonly timedOut: boolean;
  /** Both outputs, cut to {@link OUTPUT_CHARACTERS_MAX}. */
  readonly output: string;
}

/** A hook that takes longer hangs: the stock vip.sh needs 10 s an interface. */
export const HOOK_TIMEOUT_MS = 30_000;
/** Enough to see why it failed; the log is bounded anyway. */
export const OUTPUT_CHARACTERS_MAX = 4096;
/** Flaps that may wait for slow hooks; older ones than these say nothing any more. */
const WAITING_MAX = 32;

/**
 * RAFT_LEADER_HOOK and RAFT_FOLLOWER_HOOK: run in the order of the changes, one at a time, so that the last one to run is
 * the one that is true. The VIP is not among them: it is built in and never waits for a script (vip.md section 4).
 */
export class RaftHooks {
  readonly #hooks: { readonly leader: readonly HookSetting[]; readonly follower: readonly HookSetting[] };
  readonly #ports: HookPorts;
  readonly #waiting = new BoundedQueue<readonly HookSetting[]>(WAITING_MAX);
  #isLeader: boolean | undefined;
  #running: Promise<void> | undefined;

  constructor(
    hooks: { readonly leader: readonly HookSetting[]; readonly follower: readonly HookSetting[] },
    ports: HookPorts,
  ) {
    this.#hooks = hooks;
    this.#ports = ports;
  }

  /** Called on every change of role; only a change between leading and not leading runs hooks. */
  roleChanged(isLeader: boolean): void {
    if (isLeader === this.#isLeader) return;
    this.#isLeader = isLeader;
    const hooks = isLeader ? this.#hooks.leader : this.#hooks.follower;
    if (hooks.length === 0) return;
    if (!this.#waiting.push(hooks)) {
      this.#ports.alert(`${WAITING_MAX} role changes wait for hooks already: this one's are not run`);
      return;
    }
    this.#running ??= this.#run();
  }

  /** Resolves when no hook runs or waits. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let hooks = this.#waiting.shift(); hooks !== undefined; hooks = this.#waiting.shift())
      for (const hook of hooks) await this.#runOne(hook);
    this.#running = undefined;
  }

  async #runOne(hook: HookSetting): Promise<void> {
    const words = hook.arguments.split(/\s+/).filter((word) => word !== "");
    const result = await this.#ports.run(hook.command, words, HOOK_TIMEOUT_MS);
    const how = result.timedOut ? `ended after ${HOOK_TIMEOUT_MS / 1000} s` : `exit code ${result.code}`;
    this.#ports.log(
      `${hook.name}: ${[hook.command, ...words].join(" ")}: ${how}${result.output === "" ? "" : `\n${result.output}`}`,
    );
    if (result.code !== 0) this.#ports.alert(`hook "${hook.name}" (${hook.command}) failed: ${how}; see the hook log`);
  }
}
