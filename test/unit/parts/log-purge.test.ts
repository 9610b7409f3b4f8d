import { test } from "uvu";
import * as assert from "uvu/assert";
import type { PurgeLimits } from "../../../src/cluster/purge-policy.ts";
import { LogPurge } from "../../../src/parts/log-purge.ts";

const EVERY_MS = 20;

/** A state whose checkpoints are counted. */
function bed() {
  const seen = {
    applied: 10,
    durable: 10,
    isComplete: true,
    failure: undefined as Error | undefined,
    checkpoints: 0,
    purges: [] as PurgeLimits[],
    failures: [] as unknown[],
  };
  const purge = new LogPurge({
    state: {
      get appliedIndex() {
        return seen.applied;
      },
      checkpoint: async () => {
        seen.checkpoints++;
        if (seen.failure !== undefined) throw seen.failure;
        return { durableAppliedIndex: seen.durable, complete: seen.isComplete };
      },
    },
    core: { purge: (limits) => seen.purges.push(limits) },
    settings: { retention: 5, limit: 7, everyMs: EVERY_MS },
    onFailure: (error) => seen.failures.push(error),
  });
  return { purge, seen };
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(2);
  }
}

test("what a checkpoint found durable may go, with the settings' numbers", async () => {
  const { purge, seen } = bed();
  seen.durable = 8;
  await until("it purges", () => seen.purges.length > 0);
  purge.stop();
  const { durableApplied, retention, limit, patienceMs } = seen.purges[0] as PurgeLimits;
  assert.equal([durableApplied, retention, limit, patienceMs], [8, 5, 7, EVERY_MS]);
});

test("an idle box makes no checkpoint; after the next entry it makes one", async () => {
  const { purge, seen } = bed();
  await until("the first one", () => seen.checkpoints === 1);
  await Bun.sleep(10 * EVERY_MS);
  assert.is(seen.checkpoints, 1);
  seen.applied++;
  await until("the next one", () => seen.checkpoints === 2);
  purge.stop();
});

test("a checkpoint that was not complete, or failed, is made again at the next look", async () => {
  const { purge, seen } = bed();
  seen.isComplete = false;
  await until("tries", () => seen.checkpoints >= 3);
  seen.isComplete = true;
  seen.failure = new Error("closed");
  await until("the failure is told", () => seen.failures.length >= 2);
  purge.stop();
});

test.run();
