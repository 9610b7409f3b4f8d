/** Writers that go on while a box dies, seen from the bench. */
import { inCgroup } from "../support/rack/cgroup.ts";
import { waitFor } from "../support/rack/command.ts";
import type { Place } from "../support/rack/place.ts";
import { inNamespace } from "../support/rack/switch.ts";
import type { KeepWritingJob, Outcome } from "./keep-writing-main.ts";

/** The generator's process loads and opens its connections in less. */
const START_TIMEOUT_MS = 15_000;
/** Beyond the limit of a write, until the process has told everything. */
const STOP_TIMEOUT_MS = 10_000;

export class KeptWriting {
  readonly #child;
  readonly #outcomes: Outcome[] = [];
  readonly #read: Promise<void>;

  constructor(place: Place, job: KeepWritingJob) {
    this.#child = Bun.spawn(
      [
        ...inCgroup(place, "watchers"),
        ...inNamespace(place, "client"),
        ...[process.execPath, `${import.meta.dirname}/keep-writing-main.ts`],
      ],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    this.#child.stdin.flush();
    this.#read = this.#collect();
  }

  /** In the order in which they ended; tells of the last 20 ms may still be on their way. */
  get outcomes(): readonly Outcome[] {
    return this.#outcomes;
  }

  /** Acknowledged writes that were sent and acknowledged at or after `atMs`. */
  since(atMs: number): readonly Outcome[] {
    return this.#outcomes.filter((one) => one.why === undefined && one.sentAtMs >= atMs);
  }

  /** Waits for `count` acknowledged writes that were sent at or after `atMs`. */
  async acknowledged(count: number, atMs: number, withinMs = START_TIMEOUT_MS): Promise<void> {
    await waitFor(
      `${count} acknowledged writes`,
      withinMs,
      () => {
        if (this.#child.exitCode !== null) throw new Error(`The writers ended with ${this.#child.exitCode}`);
        return this.since(atMs).length >= count;
      },
      10,
    );
  }

  /** No new writes. All outcomes. */
  async stop(): Promise<readonly Outcome[]> {
    await this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#read;
    await this.#child.exited;
    clearTimeout(timer);
    return this.#outcomes;
  }

  async #collect(): Promise<void> {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) this.#outcomes.push(...(JSON.parse(line) as Outcome[]));
    }
  }
}
