// time-limit: 120 s
import { existsSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Bed, isAlive, isCgroupWritable, TIMEOUT_MS, withBed } from "../../support/watchdog/bed.ts";

/** A child that says its id, and what is in its environment, and waits. */
function attendants(bed: Bed, script = "sleep 60"): readonly object[] {
  const file = `${bed.directory}/attendant`;
  return [
    {
      name: `attendant test-${process.pid}`,
      command: ["/bin/sh", "-c", `echo "$$ $RINGFENCE_PARENT $RINGFENCE_LAST_END" >>${file}; ${script}`],
      environment: {},
    },
  ];
}

function lines(bed: Bed): readonly string[] {
  const path = `${bed.directory}/attendant`;
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
}

const pids = (bed: Bed): readonly number[] => lines(bed).map((line) => Number(line.split(" ")[0]));

test("a killed attendant is started again; main and the petting do not notice", () =>
  withBed("check-in", async (bed) => {
    const supervisor = bed.start({ attendants: attendants(bed) as never });
    const main = await bed.running();
    await bed.until("the attendant runs", () => lines(bed).length === 1);
    assert.match(lines(bed)[0] ?? "", new RegExp(`^\\d+ ${supervisor.pid} no record`));
    const since = performance.now();
    process.kill(pids(bed)[0] ?? 0, "SIGKILL");
    await bed.until("it runs again", () => lines(bed).length === 2);
    assert.ok(isAlive(main));
    assert.is(bed.starts.length, 1);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS);
    supervisor.kill("SIGTERM");
    await bed.until("the supervisor has ended", () => supervisor.exitCode === 0);
    await bed.until("and its attendant", () => pids(bed).every((pid) => !isAlive(pid)));
    await bed.until("the stop has disarmed the dog", () => bed.isDisarmed);
  }));

test("one that ends at once is tried less and less often, and said once", () =>
  withBed("check-in", async (bed) => {
    bed.start({ attendants: attendants(bed, "exit 3") as never });
    await bed.running();
    await bed.until("it was tried three times", () => lines(bed).length === 3);
    assert.is(bed.log.split("ended with exit code 3").length - 1, 1);
    assert.is(bed.starts.length, 1);
  }));

if (isCgroupWritable) {
  test("what a dead attendant left behind is gone before the next one starts", () =>
    withBed("check-in", async (bed) => {
      bed.start({
        attendants: attendants(bed, `setsid sleep 60 & echo "$!" >>${bed.directory}/children; sleep 60`) as never,
      });
      await bed.running();
      await bed.until("it has a child", () => bed.lines("children").length === 1);
      const child = Number(bed.lines("children")[0]);
      assert.ok(isAlive(child));
      process.kill(pids(bed)[0] ?? 0, "SIGKILL");
      await bed.until("it runs again", () => lines(bed).length === 2);
      assert.not.ok(isAlive(child));
    }));
}

test.run();
