/** An idle cluster leaves its log and its state alone. */
import { readFileSync } from "node:fs";
import { endpoint } from "../support/demo/bootstrap.ts";
import { waitFor } from "../support/rack/command.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { type BenchCluster, createObjects, mainOf, waitForLevel, withCluster } from "./bench-cluster.ts";
import { installPeers } from "./packages.ts";
import type { BenchRow } from "./row.ts";

const IDLE_SECONDS = 60;
/** As strace -y tells it: `fsync(20</var/lib/one/disk-probe>)`. */
const PROBE = /<[^>]*\/disk-probe>/;
/** What a write leaves to be done is not idleness: the burst's closing group, and one checkpoint at the next look of 30 s. */
const SETTLE_MS = 40_000;
const ATTACH_TIMEOUT_MS = 15_000;
const CONTROL_TIMEOUT_MS = 10_000;
/** Every call that asks a file system to write something down now. */
const CALLS = ["fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "msync"];

/**
 * Calls of fsync and its kin by the three mains, all threads, in a minute without a client. A write before it and one
 * after it must be seen by the same eyes, at every box: a tracer that sees nothing would count 0, too.
 */
export async function bench(options: {
  readonly log: (line: string) => void;
  readonly seconds?: number;
}): Promise<BenchRow[]> {
  const { log, seconds = IDLE_SECONDS } = options;
  await installPeers(["strace"], ["/usr/bin/strace"]);
  return withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
    const [template = 0] = await createObjects(cluster, 1);
    const tracers = cluster.rack.boxes.map((box) => new Tracer(cluster, box));
    try {
      for (const tracer of tracers) await tracer.attached();
      await control(cluster, tracers, template);
      const atWrite = tracers.map((tracer) => tracer.calls().length);
      await Bun.sleep(SETTLE_MS);
      const term = await termOf(cluster);
      const before = tracers.map((tracer) => tracer.calls().length);
      const after = before.reduce((sum, count, at) => sum + count - (atWrite[at] ?? 0), 0);
      log(`idle: ${after} calls in the ${SETTLE_MS / 1000} s after a write`);
      await Bun.sleep(seconds * 1000);
      const idle = tracers.flatMap((tracer, at) => tracer.calls().slice(before[at]));
      if ((await termOf(cluster)) !== term) log("idle: the leader changed meanwhile, so the cluster was not idle");
      await control(cluster, tracers, template);
      for (const call of idle.slice(0, 10)) log(`idle: ${call}`);
      log(`idle: ${tracers.reduce((sum, tracer) => sum + tracer.probes(), 0)} probes of the watchdog, not counted`);
      log(`idle: ${idle.length} calls of ${CALLS.join(", ")} in ${seconds} s at ${tracers.length} boxes`);
      const alone = { peer: null, peerValue: null, ratio: null };
      return [{ key: "idle.fsyncs", value: idle.length, unit: `calls in ${seconds} s`, n: tracers.length, ...alone }];
    } finally {
      await Promise.all(tracers.map((tracer) => tracer.stop()));
    }
  });
}

async function termOf(cluster: BenchCluster): Promise<number> {
  const status = await cluster.client.must("ringfence.status", [], { url: endpoint(cluster.rack.box(0)) });
  return (JSON.parse(status) as { cluster: { term: number } }).cluster.term;
}

/** One write, and what every tracer has to see of it. */
async function control(cluster: BenchCluster, tracers: readonly Tracer[], template: number): Promise<void> {
  const before = tracers.map((tracer) => tracer.calls().length);
  const url = endpoint(await waitForLevel(cluster));
  await cluster.client.must("one.template.update", [template, `CONTROL = "${Math.random()}"`, 0], { url });
  await waitFor("every tracer to see a write", CONTROL_TIMEOUT_MS, () =>
    tracers.every((tracer, at) => tracer.calls().length > (before[at] ?? 0)),
  );
}

/** strace beside one box's main. */
class Tracer {
  readonly #child;
  readonly #file: string;

  constructor({ rack }: BenchCluster, box: RackNode) {
    this.#file = `${rack.place.runDirectory}/strace-${box.name}`;
    const what = ["-f", "-y", "-e", `trace=${CALLS.join(",")}`, "-e", "signal=none", "-o", this.#file];
    this.#child = Bun.spawn(["strace", ...what, "-p", String(mainOf(box).pid)], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
  }

  /** strace tells of every thread that it has got hold of. Throws with its complaint. */
  async attached(): Promise<void> {
    const reader = this.#child.stderr.getReader();
    const timer = setTimeout(() => this.#child.kill("SIGTERM"), ATTACH_TIMEOUT_MS);
    const first = await reader.read();
    clearTimeout(timer);
    const text = new TextDecoder().decode(first.value);
    if (!/attached/.test(text)) throw new Error(`Cannot trace a main: strace says "${text.trim()}"`);
    // What it says later is dropped, but must not fill the pipe.
    void (async () => {
      while (!(await reader.read()).done);
    })();
  }

  /**
   * One line a call, with the file's path; not the second half of a call that was told in two. The watchdog's probe of
   * the disk is what it is and counted apart: it syncs a file of its own, never log or state.
   */
  calls(): readonly string[] {
    return this.#lines().filter((line) => !PROBE.test(line));
  }

  probes(): number {
    return this.#lines().filter((line) => PROBE.test(line)).length;
  }

  #lines(): readonly string[] {
    const lines = readFileSync(this.#file, "utf8").split("\n");
    return lines.filter((line) => new RegExp(`^\\d+ +(${CALLS.join("|")})\\(`).test(line));
  }

  async stop(): Promise<void> {
    // It lets go of what it has attached to.
    this.#child.kill("SIGTERM");
    await this.#child.exited;
  }
}
