/**
 * The core thread: raft, log, peers, lease and VIP. No turn of it may take more than 5 ms, so nothing slow lives here:
 * SQLite, the API, SSH and everything else run in the main thread (*work*) and talk to it by messages.
 */
import { CodedError, errorChain } from "../base/error.ts";
import { createPrng } from "../base/prng.ts";
import type { Announced } from "../cluster/announcement.ts";
import { ClockWatch } from "../cluster/clock-watch.ts";
import { DurableDelay } from "../cluster/fitness/durable-delay.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import { Peers } from "../cluster/peers.ts";
import { Pump } from "../cluster/pump.ts";
import type { StandDownOrder } from "../cluster/refusal.ts";
import { apiLimits, tickMs } from "../config/timings.ts";
import { createSteeringReader } from "../linux/adjtimex.ts";
import { createClock } from "../linux/clock.ts";
import { setThreadPriority } from "../linux/process.ts";
import { decodeMembership, encodeMembership } from "../raft/membership-codec.ts";
import { createNode } from "../raft/node.ts";
import { INITIAL_HARD_STATE, type LogEntry, type LogReader, type Timings } from "../raft/types.ts";
import { openLog } from "../store/log/log.ts";
import type { Log } from "../store/log/types.ts";
import type { HolderStatus } from "../vip/driver.ts";
import { beginLife } from "./boot-credit.ts";
import type { CoreConfig, FromCore, LogAt, ToCore } from "./core-messages.ts";
import { createGate } from "./gate.ts";
import { createSideAge } from "./side-age.ts";
import { aloneMembership, startMembership } from "./start-membership.ts";

declare const self: Worker & { onmessage: ((event: MessageEvent<ToCore>) => void) | null };

/** How long a stop waits for a successor, ms: it catches up and is elected in some tens of ms, or it is not well. */
const HAND_OVER_MS = 500;

function post(message: FromCore): void {
  self.postMessage(message);
}

const clock = createClock();
const clockWatch = new ClockWatch({
  ...{ steering: createSteeringReader(), steered: () => clock.monotonic(), raw: () => clock.monotonicRaw() },
});
/** How old this box's verdicts are: when its work thread stands still, they are not said any more. */
const side = createSideAge(() => clock.monotonicRaw());
let pump: Pump | undefined;
let logAt: ((index: number) => LogAt) | undefined;
let stopAll: (() => Promise<void>) | undefined;
let releaseAll: (() => void) | undefined;
const joins = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
let nextJoin = 1;
let isStoodDown = false;
/** The watchdog's newest acknowledgement, and the newest that a tick and an answer of the API have seen. */
let token = 0;
let tickedWith = 0;
let answeredWith = 0;

self.onmessage = (event) => {
  const message = event.data;
  try {
    if (message.kind === "start") start(message.config).catch(fatal);
    else if (message.kind === "token") ({ token } = message);
    else if (message.kind === "freeze") standStill();
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

/**
 * VIP and lease go at once and for good. Who belongs to another generation is silent from here on; who was removed counts
 * for nothing any more, and still hears the answer to the call that removed it. Several members say the same.
 */
function standDown(order: StandDownOrder): void {
  releaseAll?.();
  if (order.kind === "generation") pump?.halt();
  if (!isStoodDown) post({ kind: "stand-down", order });
  isStoodDown = true;
}

function handle(running: Pump, message: Exclude<ToCore, { kind: "start" | "stop" | "token" | "freeze" }>): void {
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
    case "takes-entries":
      running.setTakesEntries(message.takes);
      return;
    case "change-membership":
      post({ kind: "answer", id: message.id, value: running.proposeMembership(message.change) });
      return;
    case "transfer":
      post({ kind: "answer", id: message.id, value: running.transfer(message.to) });
      return;
    case "status":
      post({ kind: "status", id: message.id, cluster: running.status(), vip: vipStatus?.(), announced: announced() });
      return;
    case "level":
      setLevel(message.level);
      return;
    case "timings":
      setTimings(message.timings);
      return;
    case "snapshot-frame":
      // What does not leave is asked for again.
      running.sendSnapshot(message.to, message.payload, message.isChunk);
      return;
    case "report-snapshot":
      running.reportSnapshot(message.to, message.ok);
      return;
    case "purge":
      running.purge(message.limits);
      return;
    case "log-at":
      if (logAt !== undefined) post({ kind: "log-at", id: message.id, at: logAt(message.index) });
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
let announced: () => Announced = () => new Map();
let setLevel: (level: number) => void = () => undefined;
let setTimings: (timings: Timings) => void = () => undefined;

async function start(config: CoreConfig): Promise<void> {
  // Ahead of the work thread when both want the processor: a heartbeat must not wait for a page of HTML.
  setThreadPriority(-10);
  const now = (): number => clock.monotonicRaw();
  const until = new Float64Array(config.lease);
  const { log, recovered } = await openLog(`${config.dataDirectory}/log`, {
    onPoison: (error) => fatal(error),
  });
  if (recovered.damage.kind === "corrupt")
    throw new CodedError(
      "log-damaged",
      `The log is damaged (${recovered.damage.reason}, segment ${recovered.damage.segment}, offset ${recovered.damage.offset}): this box must not vote`,
    );
  if (recovered.lastIndex < config.applied)
    throw new CodedError(
      "log-lost",
      `The log ends at ${recovered.lastIndex}, but ${config.applied} is applied: the log was lost or replaced`,
    );
  // The log is whole, so this box votes and acknowledges by it; its state comes from the leader's snapshot.
  const applied = Math.max(config.applied, recovered.firstIndex - 1);
  if (applied > config.applied) post({ kind: "state-lost", firstIndex: recovered.firstIndex });

  const former = startMembership(recovered, config.bootstrap);
  const membership = config.isAlone ? aloneMembership(former, config.identity.raftId, recovered.lastIndex) : former;
  // All that a box has which goes on alone is committed: it is the quorum of its membership.
  const commit = config.isAlone ? recovered.lastIndex : recovered.commit;
  if (recovered.membership === undefined || config.isAlone) {
    const record = { index: membership.index, bytes: encodeMembership(membership.value) };
    await log.append({ entries: [], membership: record, commit });
  }
  const hardState = recovered.hardState ?? INITIAL_HARD_STATE;
  let offered = "";
  const gate = createGate(config.vip, {
    apiLimits: apiLimits(config.timings),
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
      announcement: config.announcement,
      level: config.level,
      listen: config.listen,
      localAddress: config.localAddress,
    },
    {
      frame: (from, type, payload) => pump?.receive(from, type, payload),
      drained: () => pump?.drain(),
      unreachable: (raftId) => pump?.unreachable(raftId),
      standDown,
      join,
      log: (text) => post({ kind: "log", text }),
    },
  );
  announced = () => peers.announced();
  setLevel = (level) => peers.setLevel(level);
  await peers.listen();
  const node = createNode({
    id: config.identity.raftId,
    membership: membership.value,
    membershipIndex: membership.index,
    log: readerOf(log),
    hardState: { ...hardState, commit: Math.max(hardState.commit, commit) },
    applied,
    random: createPrng(crypto.getRandomValues(new Uint32Array(1))[0] ?? 1),
    startupPromiseMs: beginLife(config.dataDirectory, hardState.promiseMs, clock),
    options: { timings: config.timings },
  });
  const delay = new DurableDelay();
  const running = new Pump(
    {
      self: config.identity.raftId,
      node,
      log: {
        append: (record, done) => {
          delay.begun(now());
          log.append(record).then(() => {
            delay.ended(now());
            done();
          }, done);
        },
        purgeTo: (index) => log.purgeTo(index),
        firstIndex: () => log.firstIndex(),
        sizeBytes: () => log.sizeBytes(),
      },
      peers,
      gate,
      now,
      promiseMs: config.timings.promiseMs,
      clockObstacle: () => clockWatch.obstacle(),
      publishLease: (instant) => {
        until[0] = instant;
      },
      fatal,
      work: {
        committed: (entries) => post({ kind: "committed", entries: entries.map(withOwnBytes) }),
        role: (news) => post({ kind: "role", news }),
        refused: (requestIds, why) => post({ kind: "refused", requestIds, why }),
        membership: (value) => post({ kind: "membership", membership: value }),
        removed: (index) => standDown({ kind: "removed", index }),
        side: (from, payload) => post({ kind: "side", from, payload, at: now() }),
        request: (from, id, body) => post({ kind: "request", from, id, body }),
        response: (from, id, ok, body) => post({ kind: "response", from, id, ok, body }),
        snapshotNeeded: (to) => post({ kind: "snapshot-needed", to }),
        snapshot: (from, payload) => post({ kind: "snapshot-frame", from, payload }),
        log: (text) => post({ kind: "log", text }),
      },
    },
    { membership, commit, applied },
  );
  pump = running;
  logAt = (index) => ({ firstIndex: log.firstIndex(), membership: log.membershipAt(index) });
  let ticker: ReturnType<typeof setInterval> | undefined;
  let prober: ReturnType<typeof setInterval> | undefined;
  const keepPace = (timings: Timings): void => {
    clearInterval(ticker);
    clearInterval(prober);
    ticker = setInterval(() => {
      if (side.isOver()) running.setSide(new Uint8Array(0));
      until[1] = delay.read(now());
      running.tick();
      tickedWith = token;
    }, tickMs(timings));
    prober = setInterval(() => {
      const asked = token;
      probeApi(config.apiUrl).then((isAnswered) => {
        if (!isAnswered) return;
        gate.apiAnswered();
        answeredWith = asked;
      }, fatal);
    }, apiLimits(timings).apiProbeMs);
  };
  keepPace(config.timings);
  setTimings = (timings) => {
    if (isLeaving) return;
    keepPace(timings);
    gate.setApiLimits(apiLimits(timings));
    running.setTimings(timings);
  };
  let isLeaving = false;
  const alive = setInterval(() => post({ kind: "alive", raft: tickedWith, api: answeredWith }), 500);
  stopAll = async () => {
    isLeaving = true;
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

/** The core's part of `ringfence watchdog test --freeze raft`: the kernel takes VIP and lease away, the supervisor the rest. */
function standStill(): void {
  post({ kind: "log", text: "the core thread stands still: a test of the watchdog" });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
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
