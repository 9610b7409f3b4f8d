import { test } from "uvu";
import * as assert from "uvu/assert";
import { type HookResult, RaftHooks } from "../../../src/hooks/raft-hooks.ts";
import { runCommand } from "../../../src/parts/run-command.ts";

const hook = (name: string, command = name) => ({ name, on: "", command, arguments: "leader eth0" });
const good: HookResult = { code: 0, timedOut: false, output: "" };

function setUp(run: (command: string) => Promise<HookResult>) {
  const ran: string[] = [];
  const alerts: string[] = [];
  const hooks = new RaftHooks(
    { leader: [hook("l1"), hook("l2")], follower: [hook("f1")] },
    {
      run: async (command) => {
        const result = await run(command);
        ran.push(command);
        return result;
      },
      log: () => undefined,
      alert: (text) => alerts.push(text),
    },
  );
  return { hooks, ran, alerts };
}

test("hooks of quick flaps run in the order of the changes, one at a time", async () => {
  let inside = 0;
  let most = 0;
  const { hooks, ran } = setUp(async () => {
    most = Math.max(most, ++inside);
    await Bun.sleep(2);
    inside--;
    return good;
  });
  for (const isLeader of [true, false, true, false]) hooks.roleChanged(isLeader);
  await hooks.settled();
  assert.equal(ran, ["l1", "l2", "f1", "l1", "l2", "f1"]);
  assert.is(most, 1);
});

test("a role that stays runs nothing", async () => {
  const { hooks, ran } = setUp(async () => good);
  hooks.roleChanged(true);
  hooks.roleChanged(true);
  await hooks.settled();
  assert.equal(ran, ["l1", "l2"]);
});

test("a failing hook is an alert and does not stop the next one", async () => {
  const { hooks, ran, alerts } = setUp(async (command) =>
    command === "l1" ? { code: 3, timedOut: false, output: "no" } : good,
  );
  hooks.roleChanged(true);
  await hooks.settled();
  assert.equal(ran, ["l1", "l2"]);
  assert.match(alerts[0] ?? "", 'hook "l1"');
});

test("a command that hangs ends at its time limit with all that it started", async () => {
  const result = await runCommand("sh", ["-c", "sleep 60 & sleep 60"], 100);
  assert.is(result.timedOut, true);
});

test("a command may carry words of its own; one that does not exist is exit code 127", async () => {
  assert.equal(await runCommand("/usr/bin/env echo a", ["b"], 2000), { code: 0, timedOut: false, output: "a b" });
  assert.is((await runCommand("/no/such/program", [], 2000)).code, 127);
});

test.run();
