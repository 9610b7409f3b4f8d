import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Change, Entry, Outcome, SqlValue } from "../base/entry.ts";
import { CodedError, errorChain } from "../base/error.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import { createIdentity, type Identity, loadIdentity, saveIdentity, writeFileDurably } from "../cluster/identity.ts";
import type { MembershipAt, RoleNews } from "../cluster/ports.ts";
import type { Config } from "../config/config.ts";
import { EMPTY_MEMBERSHIP, soloMembership } from "../raft/membership.ts";
import type { Member, Membership } from "../raft/types.ts";
import { openState } from "../store/state/state.ts";
import type { State } from "../store/state/types.ts";
import { Core } from "./core.ts";
import { forgetJoining, JoinHost, joinCluster } from "./joining.ts";
import { readCredentials } from "./one-auth.ts";
import { PEER_PORT, paths } from "./paths.ts";
import { powerInterfaces } from "./power-interfaces.ts";
import type { Bootstrap } from "./start-membership.ts";
import { StateFeed } from "./state-feed.ts";

/** Marks a call between boxes: an API call for the leader, or a box that wants to join. */
const CALL = { api: 0, join: 1 } as const;
const JOIN_FORWARD_TIMEOUT_MS = 8000;

export interface ClusterEvents {
  /** A call that another box forwards to us as the leader. */
  forwarded(from: string, body: Uint8Array): Promise<Uint8Array>;
  /** This box's part in the cluster has changed, or its own term's entry was applied. */
  roleChanged(role: BoxRole): void;
  /** `ageMs`: how long ago it came to this box. */
  verdicts(from: string, payload: Uint8Array, ageMs: number): void;
  coreAlive(): void;
  /** `code` as in CodedError, "" for other errors. */
  fatal(why: string, code: string): void;
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
  /** Seals secrets of the state. */
  readonly clusterKey: Uint8Array;
  membership(): Membership;
  self(): Member | undefined;
  role(): BoxRole;
  /** Resolves true when the role allows writes here, or a leader is known; false at the deadline. */
  propose(kind: string, change: Change): Promise<Outcome>;
  proposeEntry(entry: Entry): Promise<Outcome>;
  forward(to: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array>;
  stop(): Promise<void>;
}

/** Opens or makes this box's identity, opens the state, starts the core. Waits for a token on a box that must join. */
export async function startCluster(config: Config, events: ClusterEvents): Promise<Cluster> {
  mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  mkdirSync(`${paths.data}/log`, { recursive: true, mode: 0o700 });
  const address = config.box.managementAddress;
  const { identity, bootstrap } = await becomeSomebody(config, events);
  if (identity.cluster === null)
    throw new CodedError("identity-unreadable", "Cannot start: this box's identity belongs to no cluster");
  const clusterKey = readClusterKey();
  const state = await openState(paths.state, { featureLevel: 1 });

  let membership: MembershipAt = bootstrap ?? { value: EMPTY_MEMBERSHIP, index: 0 };
  let role: BoxRole = {
    ...{ role: "follower", term: 0, leader: "", ownTermCommitted: false, ownTermIndex: 0 },
    isReady: false,
  };
  const setRole = (news: RoleNews): void => {
    const wasLeader = role.role === "leader";
    const isReady = news.ownTermCommitted && state.appliedIndex >= news.ownTermIndex;
    const isSameTerm = news.term === role.term;
    role = { ...news, isReady };
    // What was under way in a term that is over may or may not survive: its callers are told so.
    if (wasLeader && (news.role !== "leader" || !isSameTerm)) core.proposals.leadershipLost();
    core.calls.abandon(news.leader);
    events.roleChanged(role);
  };
  const core = new Core(state, {
    committed: (entries) => feed.push(entries),
    role: setRole,
    membership: (value) => {
      if (has(membership, identity.raftId) && !has(value, identity.raftId))
        events.log("this box was removed from its cluster: it is no member any more until it is wiped and joins again");
      membership = value;
    },
    side: events.verdicts,
    request: async (from, body) => {
      if (body[0] === CALL.join) return Buffer.from(JSON.stringify(await joinHost.admit(JSON.parse(text(body)))));
      return events.forwarded(from, body.subarray(1));
    },
    join: async (request) => {
      if (role.isReady) return joinHost.admit(request);
      if (role.leader === "" || role.leader === identity.raftId) throw new Error("there is no leader now; try again");
      const call = Buffer.concat([Buffer.of(CALL.join), Buffer.from(JSON.stringify(request satisfies JoinRequest))]);
      return JSON.parse(text(await core.calls.call(role.leader, call, JOIN_FORWARD_TIMEOUT_MS), 0));
    },
    alive: events.coreAlive,
    fatal: events.fatal,
    log: events.log,
  });
  const feed = new StateFeed(
    state,
    (results) => {
      for (const result of results) core.proposals.applied(result.requestId, result.outcome);
      core.applied(state.appliedIndex);
      if (role.ownTermCommitted && !role.isReady && state.appliedIndex >= role.ownTermIndex) setRole(role);
    },
    (error) => {
      const why = `The state cannot go on: ${errorChain(error)}`;
      events.log(why);
      // The others go on: VIP and leadership first, and only then the end.
      const end = (): void => events.fatal(why, "state-failed");
      core.stop().then(end, end);
    },
  );

  // Own entries of this process: one client of the session table, a new one at each start.
  const nonce = randomBytes(8).toString("hex");
  let sequence = 0;
  const proposeEntry = (entry: Entry): Promise<Outcome> => core.proposals.propose(entry);
  const propose = (kind: string, change: Change): Promise<Outcome> =>
    proposeEntry({ version: 1, requestId: `${nonce}:${++sequence}`, kind, at: Date.now(), ...change });

  const joinHost = new JoinHost({
    isLeader: () => role.isReady,
    membership: () => membership,
    cluster: () => identity.cluster,
    read: (sql, values) => state.read(sql, values as SqlValue[]),
    propose,
    change: (change) => core.changeMembership(change),
    clusterKey: () => clusterKey,
    oneAuth: readCredentials,
    nowMs: () => Date.now(),
    isAlive: async (raftId) => raftId === identity.raftId || (await core.status()).cluster.reachable.includes(raftId),
  });

  await core.start({
    dataDirectory: paths.data,
    identity,
    cluster: identity.cluster,
    nonce,
    timings: config.cluster.timings,
    listen: { host: address ?? "0.0.0.0", port: PEER_PORT },
    localAddress: address,
    bootstrap,
    applied: state.appliedIndex,
    vip: {
      vips: config.cluster.vips,
      powerInterfaces: powerInterfaces(config, networkInterfaces()),
      conflict: config.cluster.vipConflict,
      isFast: config.cluster.timings.promiseMs < 400,
    },
    apiUrl: apiUrl(config),
  });
  // The log has it now: should the log ever be empty again, it was lost.
  if (bootstrap !== undefined && bootstrap.isInLog !== true) saveBootstrap({ ...bootstrap, isInLog: true });
  return {
    core,
    state,
    identity,
    joinHost,
    clusterKey,
    membership: () => membership.value,
    self: () => membership.value.members.find((member) => member.raftId === identity.raftId),
    role: () => role,
    propose,
    proposeEntry,
    forward: (to, body, deadlineMs) => core.calls.call(to, Buffer.concat([Buffer.of(CALL.api), body]), deadlineMs),
    stop: async () => {
      await core.stop();
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
  const known = loadIdentity(paths.data);
  if (known !== undefined) {
    forgetJoining(paths);
    return { identity: known, bootstrap: readBootstrap() };
  }
  const peerAddress = `${address ?? "127.0.0.1"}:${PEER_PORT}`;
  if (existsSync(paths.joinToken) || config.box.serverId >= 0) {
    const joined = await joinCluster({ localAddress: address, peerAddress, saveBootstrap, log: events.log });
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

function has(membership: MembershipAt, raftId: string): boolean {
  return membership.value.members.some((member) => member.raftId === raftId);
}

function text(body: Uint8Array, from = 1): string {
  return Buffer.from(body.subarray(from)).toString("utf8");
}
