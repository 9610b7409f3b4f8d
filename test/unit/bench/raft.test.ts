import { test } from "uvu";
import * as assert from "uvu/assert";
import { bench } from "../../bench/raft.ts";

/** The figures that one run gives. */
const KEYS = [
  ...["sim.stepsPerSecond", "sim.seedsPerMinute"],
  ...["log.c1", "log.c64", "log.deviceKib.c1", "log.deviceKib.c16", "log.deviceKib.c64"],
  ...["write.c1", "write.c8", "write.c64", "write.p99Ratio", "idle.fsyncs"],
  ...["gap.default.median", "gap.default.p99", "gap.fast.median", "gap.fast.p99"],
  ...["transfer.max", "transfer.failed", "coldStart.median", "memory.mainMb"],
];

test("every figure has a part that measures it, and a prefix that nothing begins with is refused", async () => {
  const refusal = await bench({ only: "nothing", log: () => undefined }).then(
    () => "",
    (error: Error) => error.message,
  );
  for (const key of KEYS) assert.ok(refusal.split(" ").includes(key), `${key} is not among: ${refusal}`);
});

test.run();
