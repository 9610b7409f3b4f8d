/**
 * The core thread: raft, log, peers, lease and VIP. No turn of it may take more than 5 ms, so nothing slow lives here:
 * SQLite, the API, SSH and everything else run in the main thread (*work*) and talk to it by messages.
 */
import { CodedError, errorChain } from "../base/error.ts";
import { createPrng } from "../base/prng.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import { leaseDurationMs } from "../cluster/lease.ts";
import { Peers } from "../cluster/peers.ts";
import { Pump } from "../cluster/pump.ts";
import { createClock } from "../linux/clock.ts";
import { setThreadPriority } from "../linux/process.ts";
import { decodeMembership, encodeMembership } from "../raft/membership-codec.ts";
import { createNode } from "../raft/node.ts";
import { INITIAL_HARD_STATE, type LogEntry, type LogReader } from "../raft/types.ts";
import { openLog } from "../store/log/log.ts";
import type { Log } from "../store/log/types.ts";
import type { HolderStatus } from "../vip/driver.ts";
import type { CoreConfig, FromCore, ToCore } from "./core-messages.ts";
import { createGate } from "./gate.ts";
import { createSideAge } from "./side-age.ts";
import { startMembership } from "./start-membership.ts";

declare const self: Worker & { onmessage: ((event: MessageEvent<ToCore>) => void) | null };

/** Below E/2 by far, so that a late tick is seen as a pause; consensus.md asks for ≤ 10 ms (fast ≤ 2 ms). */
const TICK_MS = { default: 5, fast: 2 };
/** How often the API is asked whether it answers, ms: several times within the freshness that the VIP demands. */
const API_PROBE_MS = { default: 250, fast: 75 };
/** How long a stop waits for a successor, ms: it catches up and is elected in some tens of ms, or it is not well. */
const HAND_OVER_MS = 500;

function post(message: FromCore): void {
  self.postMessage(message);
}

const clock = createClock();
/** How old this box's verdicts are: when its work thread stands still, they are not said any more. */
const side = createSideAge(() => clock.monotonicRaw());
let pump: Pump | undefined;
let stopAll: (() => Promise<void>) | undefined;
let releaseAll: (() => void) | undefined;
const joins = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
let nextJoin = 1;

self.onmessage = (event) => {
  const message = event.data;
  try {
    if (message.kind === "start") start(message.config).catch(fatal);
    else if (message.kind === "stop") stopAll?.().then(() => post({ kind: "stopped" }), fatal);
    else if (pump !== undefined) handle(pump, message);
  } catch (error) {
    fatal(error);
  }
};

/** VIP and lease go at once; the work thread ends the process when it reads this. */
function fatal(error: unknown): void {
  releaseAll?.();
  post({ kind: "fatal", message: errorChain(error), code: error instanceof CodedError ? error.code : "" });
}

function handle(running: Pump, message: Exclude<ToCore, { kind: "start" | "stop" }>): void {
  switch (message.kind) {
    case "propose":
      running.propose(message.proposals);
      return;
    case "applied":
      running.applied(message.index);
      return;
    case "request":
      if (!running.request(message.to, message.id, message.body)) post({ kind: "unsent", id: message.id });
      return;
    case "response":
      running.response(message.to, message.id, message.ok, message.body);
      return;
    case "side":
      side.renewed();
      running.setSide(message.payload);
      return;
    case "change-membership":
      post({ kind: "answer", id: message.id, value: running.proposeMembership(message.change) });
      return;
    case "transfer":
      post({ kind: "answer", id: message.id, value: running.transfer(message.to) });
      return;
    case "status":
      post({ kind: "status", id: message.id, cluster: running.status(), vip: vipStatus?.() });
      return;
    case "join-answer": {
      const join = joins.get(message.id);
      joins.delete(message.id);
      if (message.refusal === undefined) join?.resolve(message.answer);
      else join?.reject(new Error(message.refusal));
      return;
    }
  }
}

let vipStatus: (() => HolderStatus) | undefined;

async function start(config: CoreConfig): Promise<void> {
  // Ahead of the work thread when both want the processor: a heartbeat must not wait for a page of HTML.
  setThreadPriority(-10);
  const now = (): number => clock.monotonicRaw();
  const profile = config.vip.isFast ? "fast" : "default";
  const until = new Float64Array(config.lease);
  const { log, recovered } = await openLog(`${config.dataDirectory}/log`, {
    onPoison: (error) => fatal(error),
  });
  if (recovered.damage.kind === "corrupt")
    throw new CodedError(
      "log-damaged",
      `The log is damaged (${recovered.damage.reason}, segment ${recovered.damage.segment}, offset ${recovered.damage.offset}): this box must not vote. Wipe /var/lib/one and join again with a new token`,
    );
  if (recovered.lastIndex < config.applied)
    throw new CodedError(
      "log-lost",
      `The log ends at ${recovered.lastIndex}, but ${config.applied} is applied: the log was lost or replaced`,
    );

  const membership = startMembership(recovered, config.bootstrap);
  if (recovered.membership === undefined) {
    const record = { index: membership.index, bytes: encodeMembership(membership.value) };
    await log.append({ entries: [], membership: record, commit: 0 });
  }
  const hardState = recovered.hardState ?? INITIAL_HARD_STATE;
  let offered = "";
  const gate = createGate(config.vip, {
    leaseMs: leaseDurationMs(config.timings.promiseMs),
    transferLeadership: (why) => {
      const obstacle = pump?.transfer();
      const text =
        obstacle === undefined
          ? `leadership is offered to another box: ${why}`
          : `leadership stays here although ${why}: ${obstacle}`;
      // It is tried again and again: the same news is said once.
      if (text !== offered) post({ kind: "log", text });
      offered = text;
    },
    log: (text) => post({ kind: "log", text }),
  });
  releaseAll = () => {
    until[0] = 0;
    gate.release();
  };
  vipStatus = () => gate.status();
  const peers = new Peers(
    {
      identity: config.identity,
      cluster: config.cluster,
      nonce: config.nonce,
      featureLevel: 1,
      listen: config.listen,
      localAddress: config.localAddress,
    },
    {
      frame: (from, type, payload) => pump?.receive(from, type, payload),
      drained: () => pump?.drain(),
      unreachable: (raftId) => pump?.unreachable(raftId),
      higherGeneration: (cluster) =>
        fatal(
          new CodedError(
            "stood-down",
            `Generation ${cluster.generation} of this cluster is in force: this box stands down and must join again`,
          ),
        ),
      join,
      log: (text) => post({ kind: "log", text }),
    },
  );
  await peers.listen();
  const node = createNode({
    id: config.identity.raftId,
    membership: membership.value,
    membershipIndex: membership.index,
    log: readerOf(log),
    hardState: { ...hardState, commit: Math.max(hardState.commit, recovered.commit) },
    applied: config.applied,
    random: createPrng(crypto.getRandomValues(new Uint32Array(1))[0] ?? 1),
    options: { timings: config.timings },
  });
  const running = new Pump(
    {
      self: config.identity.raftId,
      node,
      log: { append: (record, done) => void log.append(record).then(() => done(), done) },
      peers,
      gate,
      now,
      promiseMs: config.timings.promiseMs,
      publishLease: (instant) => {
        until[0] = instant;
      },
      fatal,
      work: {
        committed: (entries) => post({ kind: "committed", entries: entries.map(withOwnBytes) }),
        role: (news) => post({ kind: "role", news }),
        refused: (requestIds, why) => post({ kind: "refused", requestIds, why }),
        membership: (value) => post({ kind: "membership", membership: value }),
        side: (from, payload) => post({ kind: "side", from, payload, at: now() }),
        request: (from, id, body) => post({ kind: "request", from, id, body }),
        response: (from, id, ok, body) => post({ kind: "response", from, id, ok, body }),
        log: (text) => post({ kind: "log", text }),
      },
    },
    { membership, commit: recovered.commit, applied: config.applied },
  );
  pump = running;
  const ticker = setInterval(() => {
    if (side.isOver()) running.setSide(new Uint8Array(0));
    running.tick();
  }, TICK_MS[profile]);
  const prober = setInterval(() => {
    probeApi(config.apiUrl).then((isAnswered) => {
      if (isAnswered) gate.apiAnswered();
    }, fatal);
  }, API_PROBE_MS[profile]);
  const alive = setInterval(() => post({ kind: "alive" }), 500);
  stopAll = async () => {
    clearInterval(prober);
    clearInterval(alive);
    running.leave();
    for (const end = now() + HAND_OVER_MS; running.isHandingOn && now() < end; ) await Bun.sleep(2);
    running.stop();
    clearInterval(ticker);
    gate.stop();
    // A moment for the hand-over message to leave.
    await new Promise((resolve) => setTimeout(resolve, 20));
    peers.stop();
    await log.close();
  };
  post({ kind: "started" });
}

/** A real call over the listening socket; what counts is that it is answered, not what. */
async function probeApi(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      method: "POST",
      body: "<?xml version='1.0'?><methodCall><methodName>system.version</methodName><params><param><value><string></string></value></param></params></methodCall>",
      headers: { "content-type": "text/xml" },
      signal: AbortSignal.timeout(1000),
    });
    await response.arrayBuffer();
    return true;
  } catch {
    // No answer is the finding, not a failure: the gate sees the silence.
    return false;
  }
}

/** Bytes that are a view of a received chunk would take the whole chunk along to the other thread (64 KiB: 23 us more). */
function withOwnBytes(entry: LogEntry): LogEntry {
  const { data } = entry;
  return data.byteLength === data.buffer.byteLength ? entry : { ...entry, data: new Uint8Array(data) };
}

/** A box with a token asks through us; the work thread knows the tokens. */
function join(request: JoinRequest): Promise<unknown> {
  const id = nextJoin++;
  return new Promise((resolve, reject) => {
    joins.set(id, { resolve, reject });
    post({ kind: "join", id, request });
  });
}

/** The log as raft reads it: the snapshot's membership is opaque to the store. */
function readerOf(log: Log): LogReader {
  return {
    firstIndex: () => log.firstIndex(),
    lastIndex: () => log.lastIndex(),
    term: (index) => (index === 0 ? 0 : log.term(index)),
    entries: (lo, hi, maxBytes) => log.entries(lo, hi, maxBytes),
    snapshotMeta: () => {
      const meta = log.snapshotMeta();
      if (meta?.membership === undefined) return undefined;
      return { index: meta.index, term: meta.term, membership: decodeMembership(meta.membership.bytes) };
    },
  };
}
