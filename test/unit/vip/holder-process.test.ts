import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import type { HolderConfig } from "../../../src/vip/config.ts";
import { openArpProber } from "../../support/vip/arp-prober.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

// Two holders in processes that are stopped at random moments and right before their calls into the kernel, and one
// voter: it promises E to the leader at each round that it receives and lets the other lead only when that is over.
const seconds = Number(process.env["RFVIP_SECONDS"] ?? 12);
const seed = Number(process.env["RFVIP_SEED"] ?? Date.now() % 1e6);
const VIP = "10.99.0.100";
const PROMISE_MS = 300;
/** 1 % of clock rate error, and two jiffies with a late tick. */
const LEASE_MS = PROMISE_MS * 0.99 - 12;

const config: HolderConfig = {
  vips: [{ interface: "eth0", address: VIP, prefix: 16 }],
  powerInterfaces: [],
  conflict: "release",
  announceIntervalMs: 1000,
  apiFreshMs: 1000,
  // A stop of up to 2 s is the lease's story; that it also makes a box unfit is another one's.
  apiDeadMs: 10_000,
};

interface Box {
  readonly mac: string;
  readonly child: ReturnType<typeof spawn>;
  readonly receivedAt: number[];
  resumeAt: number | undefined;
  stopAt: number;
}

test(`a stopped holder answers nothing after its lease, and two never answer at once (RFVIP_SEED=${seed})`, async () => {
  const prng = createPrng(seed);
  const net = createTestNet({ a: "10.99.0.1/16", b: "10.99.0.2/16", client: "10.99.0.9/16" });
  const program = fileURLToPath(new URL("../../support/vip/holder-process.ts", import.meta.url));
  const boxes = new Map<string, Box>();
  let leader = "";
  let promisedUntil = 0;
  let term = 0;
  let stops = 0;
  const alarms: string[] = [];
  const changes: { readonly name: string; readonly at: number }[] = [];

  const receive = (name: string, box: Box, line: string): void => {
    if (!line.startsWith("round ")) return;
    // The former leader is not told: as if cut off, it goes on sending rounds that nobody answers.
    if (name !== leader) return;
    const now = performance.now();
    box.receivedAt.push(now);
    promisedUntil = now + PROMISE_MS;
    box.child.stdin?.write(`ok ${line.slice(6)}\n`);
  };
  for (const name of ["a", "b"]) {
    const mac = net.inside(name, () => openNetlink().findLink("eth0")?.mac ?? "");
    const words = [
      "netns",
      "exec",
      net.name(name),
      process.execPath,
      program,
      JSON.stringify({ ...config, leaseMs: LEASE_MS }),
      `${seed}${name}`,
    ];
    words[words.length - 1] = String(prng.uint32());
    const child = spawn("ip", words, { stdio: ["pipe", "pipe", "pipe"] });
    const box: Box = { mac, child, receivedAt: [], resumeAt: undefined, stopAt: 0 };
    const isReady = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === "ready") resolve(undefined);
        receive(name, box, line);
      });
    });
    child.stderr.on("data", (text) => alarms.push(String(text)));
    await isReady;
    boxes.set(name, box);
    process.once("exit", () => child.kill("SIGKILL"));
  }
  const prober = net.inside("client", () => openArpProber(VIP));

  const startedAt = performance.now();
  for (let now = startedAt; now < startedAt + seconds * 1000; now = performance.now()) {
    prober.ask();
    if (now > promisedUntil) {
      leader = leader === "a" ? "b" : "a";
      changes.push({ name: leader, at: now });
      promisedUntil = now + PROMISE_MS;
      boxes.get(leader)?.child.stdin?.write(`lost\nlead ${++term}\n`);
    }
    for (const [name, box] of boxes) {
      const pid = box.child.pid ?? 0;
      const isStopped = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("T") === true;
      if (isStopped && box.resumeAt === undefined) {
        stops++;
        box.resumeAt = now + prng.range(100, 2000);
      }
      if (box.resumeAt !== undefined && now >= box.resumeAt) {
        box.resumeAt = undefined;
        box.stopAt = now + prng.range(700, 2500);
        process.kill(pid, "SIGCONT");
      } else if (box.resumeAt === undefined && name === leader && now > startedAt + 1500 && now > box.stopAt) {
        process.kill(pid, "SIGSTOP");
      }
    }
    await Bun.sleep(5);
  }
  prober.close();
  for (const { child } of boxes.values()) child.kill("SIGKILL");

  for (const [name, box] of boxes) {
    const answers = prober.answers.filter((answer) => answer.mac === box.mac);
    assert.ok(answers.length > 20, `${name} answered ${answers.length} times: the story is empty`);
    for (const answer of answers) {
      const heard = box.receivedAt.findLast((at) => at <= answer.readAt) ?? Number.NEGATIVE_INFINITY;
      const late = answer.askedAt - (heard + PROMISE_MS);
      assert.ok(late < 0, `${name} answered a question asked ${late.toFixed(1)} ms after the promise to it had ended`);
      const other = changes.findLast((change) => change.at <= answer.askedAt);
      assert.is(other?.name, name, `${name} answered a question asked while the other one led`);
    }
  }
  assert.equal(alarms, [], "neither takes the other for a foreign device");
  assert.ok(stops >= seconds / 3, `only ${stops} stops`);
  assert.ok(changes.length >= seconds / 4, `only ${changes.length} changes of the leader`);
  console.log(`${prober.answers.length} answers, ${stops} stops, ${changes.length} leaders`);
});

test.run();
