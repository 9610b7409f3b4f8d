import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Change, Entry, Outcome, SqlValue } from "../base/entry.ts";
import { CodedError, errorChain } from "../base/error.ts";
import type { Fitness } from "../cluster/fitness/policy.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import { createIdentity, type Identity, loadIdentity, saveIdentity } from "../cluster/identity.ts";
import type { MembershipAt, RoleNews } from "../cluster/ports.ts";
import type { Config } from "../config/config.ts";
import { type ClusterTimings, timingsFromText, timingsText } from "../config/timings.ts";
import { EMPTY_MEMBERSHIP, soloMembership } from "../raft/membership.ts";
import type { Member, Membership } from "../raft/types.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import type { RoomLevel } from "../store/room/policy.ts";
import { Room } from "../store/room/room.ts";
import { completeInstall } from "../store/snapshot/install.ts";
import type { State } from "../store/state/types.ts";
import { JoinHost } from "./admission.ts";
import { readContacts, saveContacts } from "./contacts.ts";
import { Core } from "./core.ts";
import { forgetDamage, isDamage, markDamaged, openSoundState } from "./damaged-state.ts";
import { BUILD, FEATURE_LEVEL } from "./feature-level.ts";
import { FitnessWatch } from "./fitness.ts";
import { CALL, ownView } from "./force-recover.ts";
import { enterGeneration, markInForce, readGeneration } from "./generation.ts";
import { isImage } from "./image.ts";
import { forgetJoining, joinCluster } from "./joining.ts";
import { LogPurge } from "./log-purge.ts";
import {
  acceptMachine,
  bindMachine,
  isAccepted,
  machineObstacle,
  movedStandDown,
  readMachine,
} from "./machine-binding.ts";
import { readCredentials, replaceCredentials } from "./one-auth.ts";
import { PEER_PORT, paths } from "./paths.ts";
import { powerInterfaces } from "./power-interfaces.ts";
import { completeRestore, isRestoreRequested } from "./restore.ts";
import { encodeSideReport, toldCheck } from "./side-report.ts";
import { otherSlotLevel } from "./slots.ts";
import { Snapshots } from "./snapshots.ts";
import { damagedStandDown, finishSetAside, readStandDown, recordStandDown, standDownOf } from "./stand-down.ts";
import type { Bootstrap } from "./start-membership.ts";
import { StateFeed } from "./state-feed.ts";
import { StateWatch } from "./state-watch.ts";
import { readTimings, TIMINGS_TAG } from "./timings.ts";

/** As often as the reports of a box that has its state, ms. */
const TELL_LOSS_EVERY_MS = 100;
const NOTHING = new Uint8Array(0);
const JOIN_FORWARD_TIMEOUT_MS = 8000;
/** How long a box that was removed gives out the answers to calls that came before, ms: as long as the others speak to it. */
const ANSWERS_MS = 1000;
/** Ends of the core after which this box must not run as who it was, and can be taken in again as somebody new. */
const DAMAGED: ReadonlySet<string> = new Set(["log-damaged", "log-lost"]);

export interface ClusterEvents {
  /** A call that another box forwards to us as the leader. */
  forwarded(from: string, body: Uint8Array): Promise<Uint8Array>;
  /** This box's part in the cluster has changed, or its own term's entry was applied. */
  roleChanged(role: BoxRole): void;
  /** `ageMs`: how long ago it came to this box. */
  verdicts(from: string, payload: Uint8Array, ageMs: number): void;
  /** Clients of the watchdog bring back what they were given. */
  returned(client: "raft" | "api" | "apply", token: number): void;
  /** The watchdog's newest acknowledgement. */
  token(): number;
  /** The start waits for a join token, or goes on. */
  waiting(isWaiting: boolean): void;
  /** The start has gone one step on. */
  progressed(): void;
  /** `code` as in CodedError, "" for other errors. */
  fatal(why: string, code: string): void;
  /** This process is to stop in order, and to be started again at once. */
  restart(): void;
  log(text: string): void;
}

/** What this box is to the rest of the program. */
export interface BoxRole extends RoleNews {
  /** Leads, its own term's entry is committed *and* applied: leader-only work may run. */
  readonly isReady: boolean;
}

/** The replicated state and this box's place in the group: state and core, tied together. */
export interface Cluster {
  readonly core: Core;
  readonly state: State;
  readonly identity: Identity;
  readonly joinHost: JoinHost;
  readonly snapshots: Snapshots;
  /** Who has room and a fast disk; what a client's write is told when nobody has. */
  readonly fitness: FitnessWatch;
  /** Whether the boxes' states agree; what a client's write is told when nobody is right. */
  readonly stateWatch: StateWatch;
  /** Seals secrets of the state. */
  readonly clusterKey: Uint8Array;
  membership(): Membership;
  self(): Member | undefined;
  role(): BoxRole;
  /** Resolves true when the role allows writes here, or a leader is known; false at the deadline. */
  propose(kind: string, change: Change, level?: number): Promise<Outcome>;
  proposeEntry(entry: Entry): Promise<Outcome>;
  /** For how long no leader was known here, ms; 0 while one is. */
  leaderlessMs(): number;
  forward(to: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array>;
  /** A test of the watchdog: that part stands still for good. */
  freeze(client: "raft" | "apply"): void;
  /** The rest, when the core and all who use the state have stopped. */
  stop(): Promise<void>;
}

/** Opens or makes this box's identity, opens the state, starts the core. Waits for a token on a box that must join. */
export async function startCluster(config: Config, events: ClusterEvents): Promise<Cluster> {
  const address = config.box.managementAddress;
  await completeRestore({
    ...{ data: paths.data, serverId: config.box.serverId, peerAddress: peerAddressOf(config), log: events.log },
    writeCredentials: replaceCredentials,
    step: () => events.progressed(),
  });
  events.progressed();
  const { identity: known, bootstrap } = await becomeSomebody(config, events);
  if (known.cluster === null)
    throw new CodedError("identity-unreadable", "Cannot start: this box's identity belongs to no cluster");
  mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  mkdirSync(`${paths.data}/log`, { recursive: true, mode: 0o700 });
  const clusterKey = readClusterKey();
  const room = new Room({
    directory: paths.data,
    changed: (level, freeBytes) => {
      events.log(roomText(level, freeBytes));
      // A follower stops to acknowledge, a leader hands over, at once; before the start nobody listens yet.
      started?.();
    },
    log: events.log,
  });
  let started: (() => void) | undefined;
  await room.start();
  events.progressed();
  const installed = await completeInstall({
    ...{ logDirectory: `${paths.data}/log`, stateDirectory: paths.state, snapshotDirectory: paths.snapshots },
    ...{ cluster: known.cluster, log: events.log, step: () => events.progressed() },
  });
  events.progressed();
  if (installed !== undefined) forgetDamage(paths.data);
  // After the install: what was received is of the generation that this box was in.
  const begun = readGeneration(paths.data);
  const identity = bindMachine(paths.data, enterGeneration(paths.data, known), readMachine(paths.data));
  const cluster = begun?.cluster ?? known.cluster;
  const options = { featureLevel: FEATURE_LEVEL, whenFull: () => room.whenFull() };
  const state = await openSoundState(paths.data, options, events.log);
  events.progressed();

  /** As it was known last: also after this box was removed. */
  let member: Member | undefined;
  let { level } = state;
  let leaderLostAt = performance.now();
  let membership: MembershipAt = bootstrap ?? { value: EMPTY_MEMBERSHIP, index: 0 };
  let role: BoxRole = {
    ...{ role: "follower", term: 0, leader: "", ownTermCommitted: false, ownTermIndex: 0 },
    isReady: false,
  };
  const setRole = (news: RoleNews): void => {
    const wasLeader = role.role === "leader";
    const isReady = news.ownTermCommitted && state.appliedIndex >= news.ownTermIndex;
    const isSameTerm = news.term === role.term;
    if (role.leader !== "" && news.leader === "") leaderLostAt = performance.now();
    role = { ...news, isReady };
    // What was under way in a term that is over may or may not survive: its callers are told so.
    if (wasLeader && (news.role !== "leader" || !isSameTerm)) {
      core.proposals.leadershipLost();
      snapshots.leadershipLost();
    }
    core.calls.abandon(news.leader);
    events.roleChanged(role);
  };
  let isStateLost = false;
  let tellsLoss: ReturnType<typeof setInterval> | undefined;
  const ownFitness = (): Fitness => ({
    ...{ room: room.level, freeBytes: room.freeBytes },
    ...{ durableMs: core.durableDelayMs(), hasState: !isStateLost },
  });
  const core = new Core(state, {
    // Without its state this box applies nothing: what follows the gap waits in the log.
    committed: (entries) => (isStateLost ? undefined : feed.push(entries)),
    role: setRole,
    membership: (value) => {
      membership = value;
      member = value.value.members.find((one) => one.raftId === identity.raftId) ?? member;
      saveContacts(paths.data, value.value);
    },
    standDown: (order) => {
      const standDown = standDownOf(order, { cluster, member }, new Date().toISOString());
      recordStandDown(paths.data, standDown);
      // `server-del` may have been asked for here: its answer is on its way from the leader, and then to the caller.
      const waitMs = order.kind === "removed" ? ANSWERS_MS : 0;
      setTimeout(() => events.fatal(standDown.text, "stood-down"), waitMs);
    },
    side: events.verdicts,
    request: async (from, body) => {
      if (body[0] === CALL.view) return Buffer.from(JSON.stringify(await ownView(core)));
      if (body[0] === CALL.join) return Buffer.from(JSON.stringify(await joinHost.admit(JSON.parse(text(body)))));
      return events.forwarded(from, body.subarray(1));
    },
    join: async (request) => {
      if (role.isReady) return joinHost.admit(request);
      if (role.leader === "" || role.leader === identity.raftId) throw new Error("there is no leader now; try again");
      const call = Buffer.concat([Buffer.of(CALL.join), Buffer.from(JSON.stringify(request satisfies JoinRequest))]);
      return JSON.parse(text(await core.calls.call(role.leader, call, JOIN_FORWARD_TIMEOUT_MS), 0));
    },
    snapshotNeeded: (to) => snapshots.needed(to),
    snapshotFrame: (from, payload) => snapshots.frame(from, payload),
    stateLost: (firstIndex) => {
      isStateLost = true;
      events.log(
        `ALERT the state is lost: it has applied ${state.appliedIndex}, and the log begins at ${firstIndex}. This box waits for a snapshot of the leader; where no other has the state, onedb restore brings a backup back`,
      );
      // What else tells needs the state.
      const payload = (): void =>
        core.setSide(encodeSideReport({ ...{ verdicts: NOTHING, bmcs: [], checks: [] }, fitness: ownFitness() }));
      tellsLoss = setInterval(payload, TELL_LOSS_EVERY_MS);
    },
    alive: ({ raft, api }) => {
      events.returned("raft", raft);
      events.returned("api", api);
      const token = events.token();
      feed.ask(() => events.returned("apply", token));
      return token;
    },
    fatal: (why, code) => {
      // With nobody to ask, the message is all there is: what a person mends by hand must start again.
      if (DAMAGED.has(code) && readContacts(paths.data).length > 1)
        recordStandDown(paths.data, damagedStandDown(paths.data, why, new Date().toISOString()));
      events.fatal(why, code);
    },
    log: events.log,
  });
  const snapshots = new Snapshots({
    ...{ state, core, cluster, featureLevel: FEATURE_LEVEL, directory: paths.snapshots },
    ...{ log: events.log, restart: events.restart },
  });
  // One reading after the other: of two changes in a row the later one must not be overtaken by the earlier.
  let takingTimings: Promise<void> = Promise.resolve();
  state.onApplied((tags) => {
    if (!tags.includes(TIMINGS_TAG)) return;
    takingTimings = takingTimings.then(async () => {
      const timings = await timingsOf(state);
      // A text that this build does not read is a newer build's: it goes on as it did, which is safe.
      if (timings === undefined) events.log("the cluster's timings cannot be read");
      else core.setTimings(timings);
    });
    takingTimings = takingTimings.catch((error: unknown) =>
      events.log(`Cannot read the cluster's timings: ${errorChain(error)}`),
    );
  });
  const feed = new StateFeed(
    state,
    (results) => {
      for (const result of results) core.proposals.applied(result.requestId, result.outcome);
      core.applied(state.appliedIndex);
      if (state.level !== level) core.setLevel(state.level);
      level = state.level;
      if (role.ownTermCommitted && !role.isReady && state.appliedIndex >= role.ownTermIndex) setRole(role);
    },
    (error) => {
      const why = `The state cannot go on: ${errorChain(error)}`;
      events.log(why);
      if (isDamage(error)) {
        markDamaged(paths.data, why);
        events.restart();
        return;
      }
      // The others go on: VIP and leadership first, and only then the end.
      const end = (): void => events.fatal(why, error instanceof CodedError ? error.code : "state-failed");
      core.stop().then(end, end);
    },
  );

  // Own entries of this process: one client of the session table, a new one at each start.
  const nonce = randomBytes(8).toString("hex");
  let sequence = 0;
  const proposeEntry = (entry: Entry): Promise<Outcome> => core.proposals.propose(entry);
  const propose = (kind: string, change: Change, level?: number): Promise<Outcome> => {
    const requestId = `${nonce}:${++sequence}`;
    const raise = level === undefined ? {} : { level };
    return proposeEntry({ version: 1, requestId, kind, at: Date.now(), ...change, ...raise });
  };

  const joinHost = new JoinHost({
    isLeader: () => role.isReady,
    membership: () => membership,
    cluster,
    read: (sql, values) => state.read(sql, values as SqlValue[]),
    propose,
    change: (change) => core.changeMembership(change),
    clusterKey: () => clusterKey,
    oneAuth: readCredentials,
    nowMs: () => Date.now(),
    isAlive: async (raftId) => raftId === identity.raftId || (await core.status()).cluster.reachable.includes(raftId),
  });

  const fallbackLevel = await otherSlotLevel();
  events.progressed();
  await core.start({
    dataDirectory: paths.data,
    identity,
    cluster,
    nonce,
    timings: (await timingsOf(state)) ?? config.cluster.timings,
    level: state.level,
    announcement: {
      ...{ featureLevel: FEATURE_LEVEL, build: BUILD, timings: timingsText(config.cluster.timings) },
      ...(fallbackLevel === undefined ? {} : { fallbackLevel }),
    },
    listen: { host: address ?? "0.0.0.0", port: PEER_PORT },
    localAddress: address,
    bootstrap,
    isAlone: begun !== undefined && begun.isInForce !== true,
    applied: state.appliedIndex,
    vip: {
      vips: config.cluster.vips,
      powerInterfaces: powerInterfaces(config, networkInterfaces()),
      conflict: config.cluster.vipConflict,
    },
    apiUrl: apiUrl(config),
  });
  events.progressed();
  const purge = new LogPurge({
    ...{ state, core, settings: config.cluster.purge },
    // The state has failed then, which its feed has said already, or is closed.
    onFailure: (error) => events.log(`the log is not purged: ${errorChain(error)}`),
  });
  markInForce(paths.data);
  const fitness = new FitnessWatch({
    self: identity.raftId,
    membership: () => membership.value,
    leads: () => role.role === "leader",
    own: ownFitness,
    transfer: (to) => core.transfer(to),
    now: () => performance.now(),
    log: events.log,
  });
  const stateWatch = new StateWatch({
    self: identity.raftId,
    voters: () => membership.value.voters,
    nameOf: (raftId) => membership.value.members.find((one) => one.raftId === raftId)?.name ?? raftId,
    leads: () => role.isReady,
    appliedIndex: () => state.appliedIndex,
    own: () => state.checks().map(toldCheck),
    isSilent: (raftId) => fitness.of(raftId) === undefined,
    lacksState: (raftId) => fitness.of(raftId)?.hasState === false,
    rebuild: (raftId) => snapshots.needed([raftId], true),
    transfer: (to) => core.transfer(to),
    now: () => performance.now(),
    log: events.log,
  });
  stateWatch.start();
  started = () => {
    core.setTakesEntries(room.level !== "full");
    fitness.look();
  };
  started();
  fitness.start();
  // The log has it now: should the log ever be empty again, it was lost.
  if (bootstrap !== undefined && bootstrap.isInLog !== true) saveBootstrap({ ...bootstrap, isInLog: true });
  return {
    core,
    state,
    identity,
    joinHost,
    snapshots,
    fitness,
    stateWatch,
    clusterKey,
    membership: () => membership.value,
    self: () => membership.value.members.find((member) => member.raftId === identity.raftId),
    role: () => role,
    propose,
    proposeEntry,
    leaderlessMs: () => (role.leader === "" ? performance.now() - leaderLostAt : 0),
    forward: (to, body, deadlineMs) => core.calls.call(to, Buffer.concat([Buffer.of(CALL.api), body]), deadlineMs),
    freeze: (client) => (client === "raft" ? core.freeze() : feed.freeze()),
    stop: async () => {
      purge.stop();
      snapshots.stop();
      fitness.stop();
      stateWatch.stop();
      clearInterval(tellsLoss);
      room.stop();
      await state.close();
    },
  };
}

/** Written before the identity: a box that has the one and not the other was tampered with, and no restart mends that. */
function readClusterKey(): Uint8Array {
  try {
    return readFileSync(paths.clusterKey);
  } catch (error) {
    throw new CodedError("identity-unreadable", "Cannot start: the cluster's key cannot be read", error);
  }
}

/** The stored identity; on an empty data directory a founder's or, with a token, a joiner's (consensus.md section 5). */
async function becomeSomebody(
  config: Config,
  events: ClusterEvents,
): Promise<{ identity: Identity; bootstrap: Bootstrap | undefined }> {
  const address = config.box.managementAddress;
  finishSetAside(paths.data);
  const known = loadIdentity(paths.data);
  if (known !== undefined) checkMachine(known);
  const standDown = readStandDown(paths.data);
  if (known !== undefined && standDown === undefined) {
    forgetJoining(paths);
    return { identity: known, bootstrap: readBootstrap() };
  }
  const peerAddress = peerAddressOf(config);
  // An image is in many boxes of which one founds: the one that was told to.
  const isMeantToFound = config.box.serverId < 0 && (config.box.isServerIdGiven || !isImage());
  if (standDown !== undefined || existsSync(paths.joinToken) || !isMeantToFound) {
    events.waiting(true);
    const joined = await joinCluster({
      ...{ localAddress: address, peerAddress, standDown, saveBootstrap, log: events.log },
      look: () => {
        if (isRestoreRequested(paths.data)) events.restart();
      },
    });
    events.waiting(false);
    return { identity: joined.identity, bootstrap: joined.membership };
  }
  const identity = await createIdentity({ lineage: randomBytes(8).toString("hex"), generation: 1 });
  const { raftId, certificateHash } = identity;
  const member = { raftId, serverId: -1, certificateHash, peerAddress, name: "server" };
  const bootstrap = { value: soloMembership(member), index: 0 };
  writeFileDurably(paths.clusterKey, randomBytes(32));
  saveBootstrap(bootstrap);
  // Last: from here on this directory belongs to a cluster.
  saveIdentity(paths.data, identity);
  events.log(`founded cluster ${identity.cluster?.lineage}`);
  return { identity, bootstrap };
}

/** Where other boxes find this one. */
function peerAddressOf({ box }: Config): string {
  return `${box.managementAddress ?? "127.0.0.1"}:${PEER_PORT}`;
}

/** What is in force, as far as this box has applied the log; undefined before there is anything, or if it is not understood. */
async function timingsOf(state: State): Promise<ClusterTimings | undefined> {
  const read = await readTimings(state);
  return read.kind === "no-table" || read.text === undefined ? undefined : timingsFromText(read.text);
}

/** Stands down on a machine that is not the one on which this identity was at home, until a person accepts it. */
function checkMachine(identity: Identity): void {
  const found = readMachine(paths.data);
  if (isAccepted(paths.data)) acceptMachine(paths.data, identity, found);
  const why = machineObstacle(loadIdentity(paths.data)?.machine, found);
  if (why !== undefined) recordStandDown(paths.data, movedStandDown(why, new Date().toISOString()));
}

/** Where this box's own API answers: a server that listens on one address does not hear calls to another. */
export function apiUrl({ cluster }: Pick<Config, "cluster">): string {
  const host = cluster.listenAddress === "0.0.0.0" ? "127.0.0.1" : cluster.listenAddress;
  return `http://${host}:${cluster.port}/RPC2`;
}

const bootstrapPath = `${paths.data}/bootstrap.json`;

/** Kept beside the identity until the log has its own record: a crash between the two must not leave a box alone. */
function saveBootstrap(bootstrap: Bootstrap): void {
  writeFileDurably(bootstrapPath, JSON.stringify(bootstrap));
}

function readBootstrap(): Bootstrap | undefined {
  return existsSync(bootstrapPath) ? (JSON.parse(readFileSync(bootstrapPath, "utf8")) as Bootstrap) : undefined;
}

function roomText(level: RoomLevel, freeBytes: number): string {
  const left = `${Math.floor(freeBytes / (1024 * 1024))} MiB left on the disk of ${paths.data}`;
  switch (level) {
    case "enough":
      return `there is room again: ${left}`;
    case "low":
      return `ALERT ${left}: this box does not lead any more. Free some room`;
    case "full":
      return `ALERT ${left}: this box acknowledges no more writes until there is room. Free some; it comes back by itself`;
  }
}

function text(body: Uint8Array, from = 1): string {
  return Buffer.from(body.subarray(from)).toString("utf8");
}
