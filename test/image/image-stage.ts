import * as assert from "uvu/assert";
import type { BootFacts, BoxStatus } from "../../src/cli/ringfence/answers.ts";
import { type Stage, wrongWrites } from "../rack/product-stage.ts";
import { endpoint, setPace, statusOf } from "../support/demo/bootstrap.ts";
import { must } from "../support/rack/command.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { inNamespace } from "../support/rack/switch.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";

/** An update is sent, written and read back: half a minute on a quiet machine. */
const COMMAND_MS = 600_000;
/** As many as a machine in an emulator applies beside its boot. */
const WRITE_EVERY_MS = 500;

setPace("emulated");

/** A command of ours from the operator's machine, against a box. What fails says what a box that is a machine has logged. */
export async function ours(
  stage: Stage,
  box: RackNode,
  words: readonly string[],
  timeoutMs = COMMAND_MS,
): Promise<string> {
  const bun = [process.execPath, `${stage.rack.state.repository}/src/cli/main.ts`];
  const [user = "", password = ""] = stage.client.session.split(/:(.*)/s);
  const way = ["--endpoint", endpoint(box), "--user", user, "--password", password];
  try {
    return await must([...inNamespace(stage.rack.place, "client"), ...bun, ...words, ...way], { timeoutMs });
  } catch (error) {
    const tails = "uptime; tail -n 12 /var/log/one/ringfence.log /var/log/one/supervisor.log";
    const logs = await Promise.all(
      stage.rack.boxes.filter((one) => one.isOn()).map((one) => one.exec(["sh", "-c", `hostname; ${tails}`])),
    );
    throw new Error(`${String(error)}\n${logs.map(({ stdout, stderr }) => stdout + stderr).join("\n")}`);
  }
}

/** Which image a box runs; undefined while it does not answer. */
export async function bootOf(stage: Stage, box: RackNode): Promise<BootFacts | undefined> {
  const status = (await statusOf(stage.client, endpoint(box))) as Pick<BoxStatus, "boot"> | undefined;
  return status?.boot ?? undefined;
}

/** Writes go on meanwhile, by the VIP: none is refused, lost or done twice, and at no instant two boxes hold it. */
export async function whileWriting(stage: Stage, prefix: string, happens: () => Promise<void>): Promise<void> {
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(1, prefix, { pauseMs: WRITE_EVERY_MS });
  await happens();
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 0);
  assert.equal(await wrongWrites(stage, stage.rack.boxes, written), []);
  assert.is(judgeHolders(await holders.settled()).max, 1);
}
