/**
 * The box's daemon, the *work* thread: configuration → parts → start order → signals → stop in reverse. The *core* thread
 * (raft, log, peers, VIP) is started by parts/cluster.ts. Read `main` aloud: it is the list of parts.
 */
import { mkdirSync } from "node:fs";
import { CodedError, errorChain } from "./base/error.ts";
import { EXIT_NEEDS_PERSON, EXIT_RESTART } from "./base/exit-codes.ts";
import { RaftHooks } from "./hooks/raft-hooks.ts";
import { dieWithParent, lockFile } from "./linux/process.ts";
import { Agreement } from "./parts/agreement.ts";
import { Api } from "./parts/api.ts";
import { ringfenceMethods } from "./parts/box-methods.ts";
import { openCheckIn } from "./parts/check-in.ts";
import { startCluster } from "./parts/cluster.ts";
import { consoleRecords, ownEndpoint } from "./parts/console-ports.ts";
import { deliverConsoleRecords } from "./parts/console-records.ts";
import { databaseMethods } from "./parts/database-methods.ts";
import { startDiskProbe } from "./parts/disk-probe.ts";
import { Fencing } from "./parts/fencing.ts";
import { Hosts } from "./parts/hosts.ts";
import { LeaderParts } from "./parts/leader.ts";
import { loadConfig } from "./parts/load-config.ts";
import { openLogFile } from "./parts/log-file.ts";
import { readCredentials } from "./parts/one-auth.ts";
import { createOwnSession } from "./parts/own-status.ts";
import { paths } from "./parts/paths.ts";
import { recoveryMethods } from "./parts/recovery-methods.ts";
import { roleLine } from "./parts/role-line.ts";
import { runCommand } from "./parts/run-command.ts";
import { createSamples } from "./parts/samples.ts";
import { createSeal } from "./parts/seal.ts";
import { waitForSshKey } from "./parts/secrets.ts";
import { decodeSideReport } from "./parts/side-report.ts";
import { startSlots } from "./parts/slot-methods.ts";
import type { Freezable } from "./watchdog/clients.ts";

/** libuv's pool serves SQLite, files and names; with fewer threads a few slow reads stop all others (consensus.md section 3). */
const THREADS_MIN = 16;
/** A stop that takes longer is not waited for: the kernel's lease has ended by then anyway. */
const STOP_TIMEOUT_MS = 5000;
/** Errors that neither a restart nor a reset mends. */
const NEEDS_PERSON: ReadonlySet<string> = new Set([
  ...["config", "environment", "locked", "identity-unreadable"],
  // This box must not vote with what it has, or its cluster has gone on without it: it is wiped and joins again.
  ...["log-damaged", "log-lost", "stood-down"],
  // Its build is too old for what the cluster uses.
  "feature-level",
]);
/** The address is not there (yet): a cable, a DHCP server. The box waits for its network and is not reset for it. */
const NO_ADDRESS = /\bEADDRNOTAVAIL\b/;
/** The kernel's and SQLite's words. A box with a full disk is tried again every few seconds, and is back when there is room. */
const DISK_FULL = /\bENOSPC\b|disk is full/;

async function main(): Promise<void> {
  const parentId = process.env["RINGFENCE_PARENT"];
  if (parentId !== undefined && !dieWithParent(Number(parentId))) process.exit(0);
  if (Number(process.env["UV_THREADPOOL_SIZE"] ?? 0) < THREADS_MIN)
    throw new CodedError("environment", `Cannot start: UV_THREADPOOL_SIZE must be ${THREADS_MIN} or more`);
  for (const directory of [paths.data, paths.run, paths.log]) mkdirSync(directory, { recursive: true });
  const logFile = openLogFile(`${paths.log}/ringfence.log`);
  const log = (text: string): void => logFile.write(text);
  say = (text) => {
    log(text);
    console.error(text);
  };
  const config = loadConfig();
  if (lockFile(paths.lock) === undefined)
    throw new CodedError("locked", `Cannot start: another process uses ${paths.data}`);

  const checkIn = openCheckIn(paths.supervisorSocket, (client) => freeze(client));
  log("starts");
  // Before the cluster: a box that waits for its token proves its slot, too.
  const slots = startSlots(log);
  let part = "";
  const cluster = await startCluster(config, {
    forwarded: (_from, body) => api.frontEnd.forwarded(body),
    roleChanged: (role) => {
      const line = roleLine(role, part);
      if (line !== undefined) log(line);
      part = line ?? part;
      ready.then(
        (parts) => {
          parts.api.roleChanged();
          parts.leader.roleChanged(cluster.role());
          parts.agreement.roleChanged(cluster.role());
          parts.hooks.roleChanged(cluster.role().role === "leader");
        },
        () => undefined,
      );
    },
    verdicts: (from, payload, ageMs) => {
      const serverId = cluster.membership().members.find((member) => member.raftId === from)?.serverId;
      const report = decodeSideReport(payload);
      if (serverId === undefined || report === undefined) return;
      if (!report.fitness.hasState) {
        // It knows no host.
        cluster.fitness.take(from, report.fitness, performance.now() - ageMs);
        return;
      }
      cluster.stateWatch.take(from, report.checks);
      cluster.fitness.take(from, report.fitness, performance.now() - ageMs);
      hosts?.monitor.take(serverId, report.verdicts, performance.now() - ageMs);
      fencing.take(from, report.bmcs, performance.now() - ageMs);
    },
    returned: (client, token) => checkIn.returned(client, token),
    token: () => checkIn.token(),
    waiting: (isWaiting) => checkIn.phase(isWaiting ? "waiting" : "starting"),
    progressed: () => checkIn.progressed(),
    fatal: end,
    restart: () => leave(EXIT_RESTART),
    log,
  });
  checkIn.progressed();
  const probe = startDiskProbe({
    ...{ path: paths.diskProbe, token: () => checkIn.token(), log },
    returned: (token) => checkIn.returned("disk", token),
  });
  freeze = (client) => {
    log(`stands still in part (${client}): a test of the watchdog`);
    if (client === "raft" || client === "apply") cluster.freeze(client);
    else if (client === "disk") probe.stop();
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  const seal = createSeal(cluster.clusterKey);
  const fencing = new Fencing({ cluster, config, seal, log });
  let hosts: Hosts | undefined;
  const hostsReady = waitForSshKey(cluster.state, seal).then(async (privateKey) => {
    hosts = new Hosts({
      ...{ cluster, config, privateKey, log },
      clusterId: cluster.identity.cluster?.lineage ?? "",
      bmcPower: (hostId) => fencing.bmcPower(hostId),
      bmcs: () => fencing.bmcs(),
      onLevel: (level) => fencing.onLevel(level),
    });
    await hosts.start();
    fencing.start();
    return hosts;
  });
  const agreement = new Agreement({ cluster, log, now: () => performance.now() });
  const api = new Api({
    ...{ config, cluster, seal, log, upload: slots.upload },
    ...{ samples: createSamples(() => hosts), ownSession: createOwnSession() },
    methods: [
      ...ringfenceMethods({ cluster, config, fencing, agreement, hosts: () => hosts }),
      ...recoveryMethods({ cluster, end: (why) => end(why, "") }),
      ...slots.methods,
      ...databaseMethods({ cluster, data: paths.data, restart: () => leave(EXIT_RESTART) }),
    ],
  });
  const leader = new LeaderParts({ ...{ cluster, seal, fencing, log }, hosts: () => hostsReady });
  const hookLog = openLogFile(`${paths.log}/hooks.log`);
  const hooks = new RaftHooks(
    { leader: config.cluster.leaderHooks, follower: config.cluster.followerHooks },
    { run: runCommand, log: (text) => hookLog.write(text), alert: (text) => log(`ALERT ${text}`) },
  );
  started({ api, leader, agreement, hooks });
  leader.roleChanged(cluster.role());
  agreement.roleChanged(cluster.role());

  const deliveries = deliverConsoleRecords({
    ...{ records: consoleRecords(), endpoint: ownEndpoint(), log },
    session: readCredentials,
  });

  const stop = async (): Promise<void> => {
    log("stops");
    probe.stop();
    slots.stop();
    // VIP first, and leadership to another box; then nobody else needs us.
    await cluster.core.stop();
    agreement.stop();
    await leader.stop();
    deliveries.stop();
    await api.stop();
    await fencing.stop();
    await hosts?.stop();
    await cluster.stop();
  };
  leave = (code) => {
    setTimeout(() => process.exit(code === 0 ? 1 : code), STOP_TIMEOUT_MS);
    stop().then(
      () => process.exit(code),
      (error: unknown) => end(errorChain(error), ""),
    );
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => leave(0));
  checkIn.phase("started");
  slots.started();
}

/** What hears of roles; the cluster may speak before they are built. */
interface Listening {
  readonly api: Api;
  readonly leader: LeaderParts;
  readonly agreement: Agreement;
  readonly hooks: RaftHooks;
}
const { promise: ready, resolve: started } = Promise.withResolvers<Listening>();

/** A test of the watchdog; before the start is over there is little to freeze. */
let freeze: (client: Freezable) => void = () => undefined;

/** Stops all parts in order and ends with this code. */
let leave: (code: number) => void = (code) => process.exit(code);

/** Where the reason of an end is written: the log too, once it is open. */
let say: (text: string) => void = (text) => console.error(text);

/** Says why, and ends the process: what it held of VIP and lease, the kernel takes away. `code` as in CodedError. */
function end(why: string, code: string): never {
  say(`ends: ${why}`);
  process.exit(NEEDS_PERSON.has(code) || DISK_FULL.test(why) || NO_ADDRESS.test(why) ? EXIT_NEEDS_PERSON : 1);
}

/** A programmer's error anywhere: it ends this process in any case, but not without a word. */
function endByError(error: unknown): never {
  const stack = error instanceof Error ? `\n${error.stack ?? ""}` : "";
  end(`${errorChain(error)}${stack}`, "");
}
process.on("uncaughtException", endByError);
process.on("unhandledRejection", endByError);

main().catch((error: unknown) => end(errorChain(error), error instanceof CodedError ? error.code : ""));
