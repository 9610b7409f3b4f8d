// time-limit: 120 s
/** The product's interface under bad input and without a leader: every call has its answer, and the boxes go on. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint } from "../support/demo/bootstrap.ts";
import { VIP_URL } from "../support/demo/client.ts";
import { monotonicMs } from "../support/rack/command.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { isWhole, leaderOf, level, logOf, openStage, type Stage } from "./product-stage.ts";

/** A write is held this long for a leader (api/execute.ts), and a loaded machine takes its time to say so. */
const HELD_MS = 5000;
const LATE_MS = 3000;

let stage: Stage;
let follower: RackNode;

test.before(async () => {
  stage = await openStage({ name: "tpif", boxes: 3, hosts: 0 });
  const leader = await leaderOf(stage);
  follower = stage.rack.boxes.find((box) => box !== leader) ?? leader;
});
test.after(async () => {
  await stage?.down();
});

interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** Of an XML-RPC fault or of OpenNebula's array; undefined when it is a success or no XML-RPC. */
  readonly code: number | undefined;
}

/** One POST as it is, by a client that is not ours. */
async function post(url: string, body: string | Uint8Array): Promise<HttpAnswer> {
  const words = ["curl", "-s", "-m", "20", "-H", "Expect:", "-H", "content-type: text/xml", "--data-binary", "@-"];
  const result = await stage.rack.client.exec([...words, "-w", "\n%{http_code}", url], { stdin: body });
  const at = result.stdout.lastIndexOf("\n");
  const text = result.stdout.slice(0, at);
  const isFailure = text.includes("<fault>") || /<value><boolean>0<\/boolean><\/value>/.test(text);
  const numbers = [...text.matchAll(/<(?:i4|int)>(-?\d+)</g)].map((match) => Number(match[1]));
  const code = text.includes("<fault>") ? numbers[0] : numbers.at(text.includes("<array>") ? -2 : -1);
  return { status: Number(result.stdout.slice(at + 1)), body: text, code: isFailure ? code : undefined };
}

const callText = (method: string, ...params: readonly string[]): string =>
  `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${params
    .map((param) => `<param><value>${param}</value></param>`)
    .join("")}</params></methodCall>`;
const text = (value: string): string => `<string>${value}</string>`;
const session = (): string => text(stage.client.session);

const everyUrl = (): readonly string[] => [VIP_URL, ...stage.rack.boxes.map(endpoint)];

let writes = 0;
const writesWork = async (box?: RackNode): Promise<void> => {
  const options = box === undefined ? { withinMs: 20_000 } : { url: endpoint(box), withinMs: 20_000 };
  await stage.client.must("one.template.allocate", [`NAME = "after-${writes++}"`], options);
};

test("what cannot be understood is a fault that says why, at every box", async () => {
  const bad: readonly (readonly [body: string | Uint8Array, code: number, about: RegExp])[] = [
    ["", -503, /XML/],
    ["not XML at all", -503, /XML/],
    ["<methodCall><methodName>system.version</methodName>", -503, /XML/],
    ["<?xml version='1.0'?><other/>", -503, /methodCall/],
    ['<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>&a;</methodName></methodCall>', -503, /XML/],
    [new Uint8Array([0x3c, 0xff, 0xfe, 0x00]), -503, /UTF-8|XML/],
    [callText("one.vm.fly", session()), -506, /one\.vm\.fly/],
    [callText("one.vm.info", session()), -501, /./],
    [callText("one.vm.info", session(), text("seven")), -501, /./],
    [callText("one.vm.info", session(), "<struct></struct>"), -501, /./],
    [callText("one.vm.info", session(), "<i4>99999999999999999999</i4>"), -503, /./],
  ];
  for (const url of everyUrl())
    for (const [body, code, about] of bad) {
      const answer = await post(url, body);
      assert.equal([answer.status, answer.code], [200, code], `${url} ${String(body)}: ${answer.body}`);
      assert.match(answer.body, about);
    }
  await writesWork();
});

test("a body over the limit is refused at every box, and the next call is served", async () => {
  for (const url of everyUrl()) {
    const answer = await post(url, callText("one.template.allocate", session(), text("x".repeat(5 * 1024 * 1024))));
    assert.is(answer.status, 413, url);
  }
  await writesWork();
});

test("a wrong password, an unknown user and an unknown object have OpenNebula's codes", async () => {
  const refused: readonly (readonly [body: string, code: number])[] = [
    [callText("one.zone.info", text("oneadmin:wrong"), "<i4>0</i4>"), 256],
    [callText("one.zone.info", text("nobody:x"), "<i4>0</i4>"), 256],
    [callText("one.zone.info", text(""), "<i4>0</i4>"), 256],
    [callText("one.template.allocate", text("oneadmin:wrong"), text('NAME="x"')), 256],
    [callText("one.vm.info", session(), "<i4>4711</i4>"), 1024],
    [callText("one.host.info", session(), "<i4>4711</i4>"), 1024],
    [callText("one.template.delete", session(), "<i4>4711</i4>"), 1024],
    [callText("one.host.delete", session(), "<i4>-1</i4>"), 1024],
    [callText("one.vm.action", session(), text("fly"), "<i4>4711</i4>"), 1024],
  ];
  for (const url of everyUrl())
    for (const [body, code] of refused) {
      const answer = await post(url, body);
      assert.equal([answer.status, answer.code], [200, code], `${url} ${body}: ${answer.body}`);
    }
  await writesWork();
});

test("garbage and silence on both ports stop nobody", async () => {
  // 300 connections that say nothing, and random bytes, to the interface and to the peers' port.
  const script = `
for port in 2633 2636; do
  for i in $(seq 150); do exec {fd}<>/dev/tcp/$1/$port && held=$((held + 1)); done
  for i in 1 2 3; do head -c 100000 /dev/urandom >/dev/tcp/$1/$port; done
done 2>/dev/null
echo held $held; sleep 4`;
  const attacks = stage.rack.boxes.map((box) =>
    stage.rack.client.exec(["bash", "-c", script, "sh", box.address], { timeoutMs: 30_000 }),
  );
  const startedAt = monotonicMs();
  while (monotonicMs() - startedAt < 3000) await writesWork();
  for (const result of await Promise.all(attacks)) assert.is(result.stdout, "held 300\n");
  await isWhole(stage, stage.rack.boxes);
});

test("a box without a leader answers reads, and refuses a write within its bound", async () => {
  const others = stage.rack.boxes.filter((box) => box !== follower);
  await writesWork();
  for (const box of others) await box.cut();
  await level(stage, "the box knows of no leader", 20_000, async () => {
    const status = await stage.client.call("ringfence.status", [], { url: endpoint(follower), timeoutMs: 2000 });
    if (status.kind !== "ok") return JSON.stringify(status);
    const leader = (JSON.parse(status.value) as { cluster: { leader: string } }).cluster.leader;
    return leader === "" ? undefined : leader;
  });
  const url = endpoint(follower);
  const pool = await post(
    url,
    callText("one.templatepool.info", session(), "<i4>-2</i4>", "<i4>-1</i4>", "<i4>-1</i4>"),
  );
  assert.match(pool.body, /after-0/);
  const startedAt = monotonicMs();
  const write = await post(url, callText("one.template.allocate", session(), text('NAME="lonely"')));
  const tookMs = monotonicMs() - startedAt;
  // OpenNebula's two texts: without a leader a box is a follower or, mostly, a candidate.
  assert.match(write.body, /Cannot process request, (no leader found|oned cluster in election mode)/);
  assert.is(write.code, 8192);
  assert.ok(tookMs < HELD_MS + LATE_MS, `${tookMs} ms`);
  // A wrong password is no reason to wait, and nobody holds the address.
  const deniedAt = monotonicMs();
  assert.is((await post(url, callText("one.template.allocate", text("oneadmin:no"), text('NAME="x"')))).code, 256);
  assert.ok(monotonicMs() - deniedAt < LATE_MS);
  assert.is((await stage.client.call("system.version", [], { timeoutMs: 1500 })).kind, "unreachable");
  for (const box of others) await box.heal();
  await isWhole(stage, stage.rack.boxes);
  await writesWork(follower);
  const after = await post(
    url,
    callText("one.templatepool.info", session(), "<i4>-2</i4>", "<i4>-1</i4>", "<i4>-1</i4>"),
  );
  assert.not.match(after.body, /lonely/);
});

test("nobody died of it, and the logs tell of no failure inside", () => {
  for (const box of stage.rack.boxes) {
    assert.is([...logOf(stage.rack, box).matchAll(/ starts$/gm)].length, 1, `${box.name} was started once`);
    const wrong = logOf(stage.rack, box)
      .split("\n")
      .filter((line) => /TypeError|is not a function|internal error|Cannot read/.test(line));
    assert.equal(wrong, [], box.name);
  }
});

test.run();
