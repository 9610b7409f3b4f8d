import { createReadStream, existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { CodedError } from "../../base/error.ts";
import { describeBundle } from "../../box/bundle.ts";
import type { Rpc } from "../client/rpc.ts";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { type BoxStatus, readAnswer, type SlotStatus, UPLOAD_LOST } from "./answers.ts";
import { endpointsOf } from "./look.ts";
import { typed } from "./typed.ts";

/** Of a bundle, in one call. */
const PIECE_BYTES = 1024 * 1024;
const PIECE_PAUSE_MS = 50;
const POLL_MS = 1000;
const PROBE_MS = 2000;
const SENDS_MAX = 3;
/** A box has ten minutes to prove itself, and three boots before and after it. */
const TRIAL_MS_MAX = 20 * 60_000;
/** After a box came back, until all boxes hear each other and have all entries. */
const WHOLE_MS_MAX = 120_000;
/** A box that is so far behind still catches up while the next one restarts, entries. */
const LAG_MAX = 1000;

interface UploadAnswer {
  readonly kind: string;
  readonly bytes: number;
  readonly why: string;
  readonly slot: string;
  readonly version: string;
}

interface Bundle {
  readonly file: string;
  readonly version: string;
  readonly build: string;
}

/** One box of the cluster, for an update. */
interface Box {
  readonly name: string;
  readonly serverId: number;
  readonly rpc: Rpc;
  readonly endpoint: string;
  /** When the update began. */
  readonly led: boolean;
  /** This command runs on it. */
  readonly isOwn: boolean;
}

export async function applyUpdate(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const bundle = await readBundle(words[0] ?? "");
  if (options.has("cluster")) return rollOver(context, bundle);
  const { slot, seconds } = await send(rpc, bundle, options.has("downgrade"));
  terminal.out(`Version ${bundle.version} is in slot ${slot}, written and read back in ${seconds} s.\n`);
  if (!options.has("restart")) {
    terminal.out("The next boot of this box tries it: ringfence box restart.\n");
    return;
  }
  await rpc.once("ringfence.box.restart");
  terminal.out("The box restarts; ringfence slot status says what comes of it.\n");
}

export async function restartBox({ rpc, terminal, options }: Context): Promise<void> {
  const question = "The machine restarts; VIP and leadership go first. Type yes: ";
  await typed({ terminal, options }, "yes", question, "Nothing was done.");
  await rpc.once("ringfence.box.restart");
  terminal.out("The box restarts.\n");
}

async function readBundle(file: string): Promise<Bundle> {
  if (!existsSync(file)) throw new CommandFailure(`There is no file "${file}"`);
  try {
    const { version, build } = await describeBundle(createReadStream(file));
    return { file, version, build };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new CommandFailure(`${file}: ${error.message}`);
  }
}

/**
 * Brings the bundle to one box, which writes it into its other slot while it comes; anew when the box lost what it had,
 * which harms nothing. Throws CommandFailure with its word.
 */
export async function send(
  rpc: Rpc,
  bundle: Pick<Bundle, "file">,
  allowsDowngrade: boolean,
): Promise<{ slot: string; seconds: string }> {
  for (let sends = 1; ; sends++) {
    try {
      return await sendOnce(rpc, bundle, allowsDowngrade);
    } catch (error) {
      const isLost = error instanceof CommandFailure && error.message.includes(UPLOAD_LOST);
      if (!isLost || sends === SENDS_MAX) throw error;
    }
  }
}

async function sendOnce(
  rpc: Rpc,
  { file }: Pick<Bundle, "file">,
  allowsDowngrade: boolean,
): Promise<{ slot: string; seconds: string }> {
  const began = performance.now();
  const id = await rpc.transfer("ringfence.update.begin", allowsDowngrade);
  const answer = (text: string): UploadAnswer => readAnswer<UploadAnswer>(text, "kind");
  const handle = await open(file);
  let state: UploadAnswer | undefined;
  try {
    const buffer = Buffer.alloc(PIECE_BYTES);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, PIECE_BYTES, at);
      if (bytesRead === 0) break;
      // A piece that comes twice is passed over, so a call without an answer may be repeated.
      state = answer(await rpc.upload(id, at, buffer.subarray(0, bytesRead)));
      if (state.kind === "failed") throw new CommandFailure(state.why);
      // The one before is not written yet: the slot's disk is slower than the way to it.
      if (state.bytes === at) await Bun.sleep(PIECE_PAUSE_MS);
      at = state.bytes;
    }
  } finally {
    await handle.close();
  }
  state = answer(await rpc.transfer("ringfence.update.end", id));
  while (state.kind === "installing") {
    await Bun.sleep(POLL_MS / 2);
    state = answer(await rpc.transfer("ringfence.update.state", id));
  }
  if (state.kind !== "installed") throw new CommandFailure(state.why);
  return { slot: state.slot, seconds: ((performance.now() - began) / 1000).toFixed(1) };
}

/**
 * One box after the other, the leader last and after a transfer, so that the VIP never waits for an election; the box
 * that this command runs on is the very last. Stops at the first that does not come back healthy, and says which is how.
 */
async function rollOver({ rpc, terminal, options }: Context, bundle: Bundle): Promise<void> {
  const all = await boxesOf(rpc);
  for (const box of all) await mayBegin(box);
  await untilWhole(rpc, all, "before the update");
  const rank = ({ isOwn, led }: Box): number => (isOwn ? 2 : led ? 1 : 0);
  for (const box of [...all].sort((a, b) => rank(a) - rank(b) || a.serverId - b.serverId)) {
    const { running, slots } = await slotsOf(box.rpc);
    if (slots[running].build === bundle.build && slots[running].version === bundle.version) {
      terminal.out(`${box.name}: runs ${bundle.version} already\n`);
      continue;
    }
    const { slot, seconds } = await send(box.rpc, bundle, options.has("downgrade"));
    terminal.out(`${box.name}: ${bundle.version} is in slot ${slot}, after ${seconds} s\n`);
    await untilWhole(rpc, all, `before the restart of ${box.name}`);
    await giveLeadershipUp(box, terminal.out);
    await box.rpc.once("ringfence.box.restart");
    if (box.isOwn) {
      terminal.out(`${box.name}: this box restarts now; ringfence slot status says what comes of it\n`);
      return;
    }
    const began = performance.now();
    await untilProven(box, bundle);
    terminal.out(`${box.name}: healthy on ${bundle.version}, ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
    await untilWhole(rpc, all, `after the update of ${box.name}`);
  }
  terminal.out(`All boxes run ${bundle.version}.\n`);
}

async function boxesOf(rpc: Rpc): Promise<readonly Box[]> {
  const { box: asked, cluster } = await statusOf(rpc);
  const isLocal = /^https?:\/\/(localhost|127\.)/.test(rpc.endpoint);
  const endpoints = await endpointsOf(rpc);
  return cluster.members.map(({ name, serverId, raftId }) => {
    const endpoint = serverId < 0 ? rpc.endpoint : endpoints.get(serverId);
    if (endpoint === undefined) throw new CommandFailure(`${name}: the zone has no endpoint of server ${serverId}`);
    const place = { led: raftId === cluster.leader, isOwn: isLocal && serverId === asked.serverId };
    return { name, serverId, endpoint, rpc: rpc.at(endpoint), ...place };
  });
}

async function mayBegin({ name, rpc }: Box): Promise<void> {
  const { running, slots } = await slotsOf(rpc).catch((error: unknown) => {
    if (error instanceof CommandFailure) throw new CommandFailure(`${name}: ${error.message}`);
    throw error;
  });
  if (!slots[running].isGood)
    throw new CommandFailure(`${name}: version ${slots[running].version} runs on trial; wait until it is marked good`);
}

/** Until every box is heard and caught up: one more may be taken away then. */
async function untilWhole(rpc: Rpc, boxes: readonly Box[], when: string): Promise<void> {
  let why = "";
  for (const end = performance.now() + WHOLE_MS_MAX; performance.now() < end; await Bun.sleep(POLL_MS)) {
    why = await obstacle(rpc, boxes).catch((error: unknown) => {
      if (error instanceof CommandFailure) return error.message;
      throw error;
    });
    if (why === "") return;
  }
  throw new CommandFailure(`The update stops ${when}: ${why}`);
}

async function obstacle(rpc: Rpc, boxes: readonly Box[]): Promise<string> {
  for (const { rpc: one } of boxes) {
    const { cluster } = await statusOf(one);
    if (cluster.role !== "leader") continue;
    const away = cluster.members.find(
      ({ isReachable, match }) => !isReachable || (match !== null && cluster.lastIndex - match > LAG_MAX),
    );
    if (away === undefined) return "";
    return away.isReachable ? `${away.name} has not caught up` : `${away.name} is not heard by the leader`;
  }
  return `no box leads, says ${rpc.endpoint}`;
}

async function giveLeadershipUp({ name, rpc }: Box, out: (text: string) => void): Promise<void> {
  if ((await statusOf(rpc)).cluster.role !== "leader") return;
  await rpc.once("ringfence.leader.move", -1);
  out(`${name}: leadership and VIP have moved\n`);
}

/** Until the box runs the new version and has marked it good. Throws CommandFailure when it went back, or never came. */
async function untilProven({ name, rpc, endpoint }: Box, { version, build }: Bundle): Promise<void> {
  let last = "it was not heard again";
  for (const end = performance.now() + TRIAL_MS_MAX; performance.now() < end; await Bun.sleep(POLL_MS)) {
    const text = await rpc.probe(endpoint, PROBE_MS, "ringfence.slot.status");
    if (text === undefined) continue;
    const { running, slots, missing, update } = readAnswer<SlotStatus>(text, "slots");
    const isNew = slots[running].build === build && slots[running].version === version;
    if (isNew && slots[running].isGood) return;
    if (isNew) last = `it is not healthy: ${missing.join("; ")}`;
    else if (update?.outcome === "fallback")
      throw new CommandFailure(
        `${name} went back to ${slots[running].version}: ${update.why}. The other boxes were not touched after it`,
      );
  }
  throw new CommandFailure(`${name} did not come back on ${version} within ${TRIAL_MS_MAX / 60_000} minutes: ${last}`);
}

async function statusOf(rpc: Rpc): Promise<BoxStatus> {
  return readAnswer<BoxStatus>(await rpc.read("ringfence.status"), "cluster");
}

async function slotsOf(rpc: Rpc): Promise<SlotStatus> {
  return readAnswer<SlotStatus>(await rpc.read("ringfence.slot.status"), "slots");
}
