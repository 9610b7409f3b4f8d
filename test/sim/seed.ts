import type { SeedOptions, SeedResult, Suite } from "./suite.ts";

/** 1 of this many seeds runs twice, and both runs must see the same. */
const TWICE_ONE_IN = 100;

/** Runs a seed, some of them twice. */
export async function runSeed(suite: Suite, options: SeedOptions): Promise<SeedResult> {
  const result = await suite.run(options);
  if (options.seed % TWICE_ONE_IN !== 0 || result.failure !== undefined) return result;
  const again = await suite.run(options);
  if (again.hash === result.hash && again.steps === result.steps) return result;
  return { ...result, failure: new Error(`not deterministic: hash ${result.hash}, then ${again.hash}`) };
}
