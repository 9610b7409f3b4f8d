import { existsSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { listDomains } from "../../../src/hypervisor/commands.ts";
import type { LoopLine } from "../../../src/hypervisor/loop-line.ts";
import { bedMissing, startBed, until } from "../../support/hypervisor-bed/bed.ts";
import { connectTo, stopAll } from "../../support/hypervisor-bed/connect.ts";

const missing = bedMissing() ?? (existsSync("/usr/bin/busybox") ? undefined : "busybox is not installed");
if (missing !== undefined) console.log(`skipped: ${missing}`);
const bed = missing === undefined ? await startBed({ busybox: true }) : undefined;

if (bed !== undefined) {
  test("the beacon and the commands work on a host whose shell and tools are busybox", async () => {
    const shell = await bed.run("/bin/sh", "-c", "readlink /proc/$$/exe; sh --help 2>&1 | head -1");
    assert.match(shell.stdout, "BusyBox");
    const { connection, signals, reaches } = connectTo(bed);
    connection.follow(true);
    await reaches("ready");
    const lines = (): LoopLine[] => signals.flatMap((signal) => (signal.kind === "line" ? [signal.line] : []));
    const complete = (): boolean =>
      lines().some((line) => line.kind === "tick" && line.libvirtUptimeMs !== null && line.diskUptimeMs !== null);
    await until(complete, 15_000, "a tick with all three ages");
    for (const kind of ["hello", "uuid", "sample", "domains-end", "events-started"]) {
      assert.ok(
        lines().some((line) => line.kind === kind),
        kind,
      );
    }
    assert.not(lines().some((line) => line.kind === "complaint"));
    assert.equal(await listDomains(connection), { domains: [] });
    await connection.stop();
  });
}

test("this file ran as far as the machine allows", () => assert.ok(bed !== undefined || missing !== undefined));
test.after(async () => {
  await stopAll();
  await bed?.stop();
});
test.run();
