// time-limit: 300 s
/** The recovery console in a cluster: on a box's line, with a quorum, without one, and after it. */
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { isWhole, leaderOf, level, openStage, type Stage } from "./product-stage.ts";

const LINE = "/run/console-tty";
const DIALOGUE = resolve(import.meta.dir, "../support/rack/dialogue-main.ts");

let stage: Stage;

test.before(async () => {
  stage = await openStage({
    ...{ name: "cons", boxes: 3, hosts: 0 },
    boxConf: ({ number, wires: [mgmt, bmc] }) => `SERVER_ID = ${number === 0 ? -1 : number}
NETWORK = [ MGMT = "${mgmt?.address}", BMC = "${bmc?.address}", BMC_INTERFACE = "${bmc?.device}" ]
CONSOLE = [ DEVICE = "${LINE}", BAUD = 9600 ]
`,
  });
});
test.after(async () => {
  await stage?.down();
});

/** What a person reads who types each first word and waits for each second one; the first screen comes by itself. */
async function atConsole(
  box: RackNode,
  ...steps: readonly (readonly [type: string, expect: string])[]
): Promise<string> {
  const all = [["", `${box.name}> $`] as const, ...steps].map(([type, expect]) => ({ type, expect }));
  const said = await box.exec([process.execPath, DIALOGUE, LINE], { stdin: JSON.stringify(all), timeoutMs: 120_000 });
  assert.is(said.code, 0, `${said.stderr}\n${said.stdout}`);
  return said.stdout;
}

/** A dangerous action as a person types it. */
function dangerous(box: RackNode, words: string, answer: string): readonly (readonly [string, string])[] {
  return [
    [`${words}\r`, "Password: $"],
    ["PASSWORD\r", "type this box's name: $"],
    [`${box.name}\r`, `${answer}.*${box.name}> $`],
  ];
}

test("a follower's line shows the cluster, and what is done there is on the cluster's record", async () => {
  const leader = await leaderOf(stage, stage.rack.boxes);
  const box = stage.rack.boxes.find((one) => one !== leader) ?? leader;
  const said = await atConsole(
    box,
    ["boxes\r", `BOXES.*${box.name}> $`],
    ...dangerous(box, "disarm work on the line", ""),
  );
  assert.match(said, new RegExp(`box ${box.name} .*role +follower, term \\d+, leader ${leader.name}`, "s"));
  assert.match(said, /VIP +\S+ on eth0, not here/);
  await level(stage, "the leader has the record", 20_000, async () => {
    const record = (await leader.exec(["ringfence", "console", "record"])).stdout;
    const line = new RegExp(`${box.name} console-tty: disarm work on the line: done`);
    return line.test(record) ? undefined : record;
  });
  assert.match(await command(leader, ["ringfence", "fence", "status"]), /ARMED +: no/);
});

test("credentials that the cluster does not take are said, and the console needs none", async () => {
  const box = stage.rack.box(1);
  const file = "/var/lib/one/.one/one_auth";
  const right = (await box.exec(["cat", file])).stdout;
  const write = (text: string) => box.exec(["sh", "-c", `cat >${file}`], { stdin: text });
  const screen = async (): Promise<string> => (await box.exec(["ringfence", "console", "exec", "status"])).stdout;
  assert.not.match(await screen(), /one_auth/);
  await write("oneadmin:what it was before\n");
  assert.match((await box.exec(["onezone", "show", "0"])).stderr, /couldn't be authenticated/);
  assert.match(await screen(), /! one_auth is refused/);
  assert.match((await box.exec(["ringfence", "console", "exec", "record"])).stdout, /disarm work on the line: done/);
  await write(right);
  assert.not.match(await screen(), /one_auth/);
});

test("the console outlives main, and starts it anew", async () => {
  const box = stage.rack.box(1);
  const before = box
    .processes()
    .filter((one) => one.name === "main")
    .map((one) => one.pid);
  await atConsole(box, ...dangerous(box, "restart", "was told to end"));
  await level(stage, "another main runs", 20_000, async () => {
    const now = box
      .processes()
      .filter((one) => one.name === "main")
      .map((one) => one.pid);
    return now.length > 0 && !now.some((pid) => before.includes(pid)) ? undefined : now.join(" ");
  });
  await isWhole(stage, stage.rack.boxes);
});

test("without a quorum it says so, an action fails with the reason, and force goes on alone; all is on the record", async () => {
  const box = stage.rack.box(0);
  for (const other of [stage.rack.box(1), stage.rack.box(2)]) await other.powerCut();
  await level(stage, "the box knows that it is alone", 20_000, async () => {
    const screen = (await box.exec(["ringfence", "console", "exec", "status"])).stdout;
    return /NO QUORUM/.test(screen) ? undefined : screen;
  });
  const alone = await atConsole(box, ...dangerous(box, "disarm alone here", ""));
  assert.match(alone, /! NO QUORUM: 1 of 3 boxes answer/);
  const steps = dangerous(box, "force", "This box leads generation 2");
  const forced = await atConsole(
    box,
    ["force\r", "each of which you have seen powered off: $"],
    ["box1\r", `each of them must be named.*${box.name}> $`],
    ["force\r", "each of which you have seen powered off: $"],
    ["box1 box2\r", "Password: $"],
    ...steps.slice(1),
  );
  assert.match(forced, /Fencing is disarmed/);
  await level(stage, "the new generation has the record", 20_000, async () => {
    const record = (await box.exec(["ringfence", "console", "record"])).stdout;
    return /disarm alone here: failed/.test(record) && /force box1 box2: done/.test(record) ? undefined : record;
  });
});

test.run();
