import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CommandFailure } from "../../../src/cli/failure.ts";
import { ask, snoozeSeconds, statusText } from "../../../src/cli/ringfence/watchdog.ts";

test("a snooze is a time up to a quarter of an hour, and nothing else", () => {
  assert.is(snoozeSeconds("15m"), 900);
  assert.is(snoozeSeconds("90s"), 90);
  for (const word of ["16m", "901s", "0m", "15", "1h", "", "-5m", "9999999m"])
    assert.throws(
      () => snoozeSeconds(word),
      (error: unknown) => error instanceof CommandFailure,
      word,
    );
});

test("status tells the device, each client, and what is not as it should be", () => {
  const text = statusText({
    device: { name: "i6300ESB timer", timeoutMs: 20_000, pettedAgoMs: 1234 },
    main: { state: "started", pid: 7, sinceMs: 61_000, clients: [{ client: "raft", ageMs: 900, limitMs: 10_000 }] },
    ...{ failures: 0, hangs: 1, snoozeMs: 0, doomMs: null, rest: null, lastEnd: "controlled stop" },
  });
  assert.is(
    text,
    `watchdog  i6300ESB timer, resets after 20.0 s, petted 1.2 s ago
last end  controlled stop
program   started, process 7, for 61.0 s
  raft    heard 0.9 s ago of 10.0 s
hangs     1 lately
`,
  );
});

test("a supervisor that is not there, or answers nonsense, is a failure with its reason", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ask-"));
  const path = `${directory}/socket`;
  const failsWith = async (pattern: RegExp): Promise<void> => {
    try {
      await ask({ ask: "status" }, path);
      assert.unreachable();
    } catch (error) {
      assert.ok(error instanceof CommandFailure);
      assert.match((error as Error).message, pattern);
    }
  };
  await failsWith(/does not answer on/);
  for (const [reply, pattern] of [
    ["nonsense\n", /no answer/],
    ["x".repeat(20_000), /no end/],
  ] as const) {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write(reply);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await failsWith(pattern);
    server.close();
    rmSync(path, { force: true });
  }
  rmSync(directory, { recursive: true });
});

test.run();
