import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { type Arguments, STEPS } from "./arguments.ts";
import { PLANTS } from "./plants.ts";
import { type Failure, runStretch } from "./pool.ts";
import type { Suite } from "./suite.ts";

/** Failing seeds that are told in full; one is enough to work on. */
const FAILURES_TOLD_MAX = 5;
/** How often a long run says how far it is. */
const PROGRESS_MS = 60_000;
/** New seeds start anywhere here: nobody has run them before. */
const SEED_MAX = 2 ** 40;

/** What a component showed so far. */
class Tally {
  seeds = 0;
  failed = 0;
  steps = 0;
  cpuSeconds = 0;
  readonly counters = new Map<string, number>();
}

/** Many seeds on all cores; counts, and tells how to replay what failed. */
export class Campaign {
  readonly #given: Arguments;
  readonly #tallies = new Map<Suite, Tally>();
  #told = 0;

  constructor(given: Arguments) {
    this.#given = given;
    for (const suite of given.suites) this.#tallies.set(suite, new Tally());
  }

  /** Runs the seeds of each component that the arguments name. */
  async fixed(from: number, seedsWanted: number | undefined): Promise<void> {
    for (const suite of this.#given.suites) {
      const end = from + (seedsWanted ?? suite.seeds);
      let next = from;
      await onAllCores(async () => {
        while (next < end) {
          const seeds = Math.min(end - next, suite.stretchSeeds);
          const start = next;
          next += seeds;
          await this.#stretch(suite, start, seeds, Number.MAX_SAFE_INTEGER);
        }
      });
    }
  }

  /** Runs seeds that nobody has run before until the time is over; each component gets its share. */
  async random(durationMs: number): Promise<void> {
    const endAt = performance.now() + durationMs;
    const next = new Map(this.#given.suites.map((suite) => [suite, randomInt(SEED_MAX)]));
    const spent = new Map(this.#given.suites.map((suite) => [suite, 0]));
    for (const [suite, from] of next) console.log(`${suite.name}: new seeds from ${from}`);
    const progress = setInterval(() => console.log(this.#progress(endAt)), PROGRESS_MS);
    await onAllCores(async () => {
      while (performance.now() < endAt) {
        const suite = this.#neediest(spent);
        const from = next.get(suite) ?? 0;
        next.set(suite, from + suite.stretchSeeds);
        const before = spent.get(suite) ?? 0;
        const startedAt = performance.now();
        // Counted before it has happened: the other cores choose now.
        const expected = Math.min((endAt - startedAt) / 1000, 10);
        spent.set(suite, before + expected);
        await this.#stretch(suite, from, suite.stretchSeeds, (endAt - startedAt) / 1000);
        spent.set(suite, (spent.get(suite) ?? 0) - expected + (performance.now() - startedAt) / 1000);
      }
    });
    clearInterval(progress);
  }

  /** The tables at the end. Returns how much passed and failed. */
  close(): { readonly passed: number; readonly failed: number } {
    let passed = 0;
    let failed = 0;
    for (const [suite, tally] of this.#tallies) {
      tellCounters(tally.counters);
      for (const name of this.#given.isLong ? suite.rare : []) {
        if ((tally.counters.get(name) ?? 0) > 0) continue;
        failed++;
        console.log(`${suite.name}: never met: ${name}`);
      }
      const rate = tally.steps === 0 ? "" : `, ${(tally.steps / tally.cpuSeconds / 1e6).toFixed(2)} M steps/s a core`;
      const perMinute = tally.cpuSeconds === 0 ? 0 : Math.round((tally.seeds / tally.cpuSeconds) * 60);
      console.log(`${suite.name}: ${tally.seeds} seeds, ${perMinute} a core-minute${rate}`);
      passed += tally.seeds - tally.failed;
      failed += tally.failed;
    }
    return { passed, failed };
  }

  #neediest(spent: ReadonlyMap<Suite, number>): Suite {
    const need = (suite: Suite): number => (spent.get(suite) ?? 0) / suite.share;
    return this.#given.suites.reduce((a, b) => (need(b) < need(a) ? b : a));
  }

  async #stretch(suite: Suite, from: number, seeds: number, secondsMax: number): Promise<void> {
    const { mutants, steps } = this.#given;
    const plant = PLANTS.find(({ name }) => mutants.has(name))?.name;
    const planted = plant === undefined ? [...mutants] : [];
    const stretch = { suite: suite.name, from, seeds, steps, mutants: planted, secondsMax, stopsAtFailure: false };
    const result = await runStretch(stretch, plant);
    const tally = this.#tallies.get(suite) ?? new Tally();
    tally.seeds += result.seeds;
    tally.steps += result.steps;
    tally.failed += result.failures.length;
    tally.cpuSeconds += result.cpuSeconds;
    for (const [name, count] of result.counters) tally.counters.set(name, (tally.counters.get(name) ?? 0) + count);
    for (const failure of result.failures) this.#tell(suite, failure);
  }

  #tell(suite: Suite, { seed, why }: Failure): void {
    if (++this.#told > FAILURES_TOLD_MAX) return;
    const mutant = [...this.#given.mutants].map((name) => ` --mutant ${name}`).join("");
    const scale = this.#given.steps === STEPS ? "" : ` --steps ${this.#given.steps}`;
    console.log(`${suite.name}, seed ${seed}: ${why}`);
    console.log(`  replay: ./scripts/test sim --component ${suite.name} --seed ${seed}${scale}${mutant}`);
    if (suite.name === "core") console.log("  the same with --shrink leaves out what the failure does not need");
  }

  #progress(endAt: number): string {
    const parts = [...this.#tallies].map(([suite, { seeds, failed }]) => `${suite.name} ${seeds} (${failed} failed)`);
    return `${Math.ceil((endAt - performance.now()) / 60_000)} min left: ${parts.join(", ")}`;
  }
}

/** What was counted, in the order of the names. */
export function tellCounters(counters: ReadonlyMap<string, number>): void {
  for (const [name, count] of [...counters].sort()) console.log(`  ${String(count).padStart(8)} ${name}`);
}

async function onAllCores(work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}
