// Fencing and recovery under a simulator: the drivers as they ship, over real SQL in memory, with leaders that die or
// freeze at any entry and effect, and BMCs, hosts, guests and users that misbehave. A storm, then heal and demand
// progress. The same seed gives the same run.

import { Database, SQLiteError } from "bun:sqlite";
import type { Change, Guard, Outcome, SqlValue } from "../../src/base/entry.ts";
import { CodedError } from "../../src/base/error.ts";
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { createFenceDriver, type FenceDriver } from "../../src/fence/driver.ts";
import type { HostJudgement } from "../../src/fence/machine-types.ts";
import { type FenceMethod, METHOD_ERROR, OFF_DEADLINE_MS } from "../../src/fence/methods/types.ts";
import { FENCE_POLICY_DEFAULT } from "../../src/fence/policy.ts";
import { addRead, isProven, nextReadInMs, noReads, proofRule } from "../../src/fence/proof.ts";
import {
  allFenceRecords,
  type FenceRow,
  fenceSchema,
  notBeingFenced,
  recordGuard,
  stillRecovering,
} from "../../src/fence/record.ts";
import { closedChange, recoveringChange } from "../../src/fence/record-change.ts";
import type { Transition } from "../../src/one/change.ts";
import { allHosts, type HostRow, hostById } from "../../src/one/host/row.ts";
import { HOST_STATE } from "../../src/one/host/states.ts";
import { hostMonitored } from "../../src/one/host/transitions.ts";
import type { Query } from "../../src/one/query.ts";
import { SCHEMA_LEVEL_1 } from "../../src/one/schema.ts";
import { type VmRow, vmById, vmsOnHost } from "../../src/one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../../src/one/vm/states.ts";
import { adopted, bootFailed, failed, placed, requeued, running } from "../../src/one/vm/transitions.ts";
import { createVmhaDriver, type VmhaDriver } from "../../src/vmha/driver.ts";
import { RECOVERY_OPTIONS_DEFAULT } from "../../src/vmha/options.ts";
import type { LostHost } from "../../src/vmha/ports.ts";
import { type RecoveryRow, vmhaSchema } from "../../src/vmha/record.ts";
import { EventHeap } from "./event-heap.ts";
import { demand, Violation } from "./violation.ts";

/** Mistakes that this component can be given; the invariants must catch each. */
export const FENCING_MUTANTS = [
  "power-off-without-lease",
  "deploy-and-resubmit-both-admitted",
  "one-off-answer-is-proof",
  "closed-before-settled",
] as const;
export type FencingMutant = (typeof FENCING_MUTANTS)[number];

export interface FencingRun {
  readonly ok: boolean;
  readonly violation?: string;
  /** How often the rare things happened, to show that a run met them. */
  readonly counters: Readonly<Record<string, number>>;
}

const HOSTS = 4;
const VMS = 8;
const STORM_MS = 90_000;
const HEAL_MS = 500_000;
const LEASE_MS = 580;
const ELECTION_MS = 750;
/** A datagram may be on the wire this long: under C, which is 8 s. */
const WIRE_MS_MAX = 7_000;

/** From an entry's decision to its being applied. */
const SOON_MS_MAX = 40;
/** Longer than two reads of a proof are apart: what wrong answers a proof can stand says fencing.md section 2. */
const GLITCHES_APART_MS = 700;

/** Glitching firmware is the rarest to matter: twice as likely. */
const BMC_MOODS = [
  "good",
  "silent",
  "slow",
  "wrong-guid",
  "dead-with-host",
  "glitches",
  "glitches",
  "keeps-on",
] as const;

/** Runs one seed to its end or to the first broken promise; `trace` is told what was written, sent and lost. */
export async function runSeed(
  seed: number,
  mutants: ReadonlySet<string> = new Set(),
  trace: (line: string) => void = () => {},
): Promise<FencingRun> {
  const world = new World(seed, mutants, trace);
  try {
    await world.run();
    return { ok: true, counters: world.counters };
  } catch (error) {
    if (error instanceof Violation) return { ok: false, violation: error.message, counters: world.counters };
    throw error;
  } finally {
    await world.end();
  }
}

interface SimHost {
  readonly id: number;
  isPowered: boolean;
  isCut: boolean;
  boot: number;
  upSinceAt: number;
  bootMs: number;
  lastAnswerAt: number;
  readonly domains: Set<number>;
  bmc: (typeof BMC_MOODS)[number];
  glitchedAt: number;
  /** When each record's OFF_SENT was applied on the boxes. */
  offApplied: { key: string; at: number } | undefined;
}

/** One box's time as leader. */
interface Leader {
  readonly epoch: number;
  readonly startedAt: number;
  state: "leads" | "cut-off" | "dead";
  pausedUntil: number;
  /** While it does not lead any more: when its lease ends. */
  leaseEndsAt: number;
  fence: FenceDriver | undefined;
  vmha: VmhaDriver | undefined;
}

class World {
  readonly counters: Record<string, number> = {};
  readonly #heap = new EventHeap();
  readonly #random: Prng;
  readonly #mutants: ReadonlySet<string>;
  readonly #db = new Database(":memory:");
  readonly #hosts: SimHost[] = [];
  readonly #leaders: Leader[] = [];
  readonly #starting = new Set<string>();
  #leader: Leader | undefined;
  #epoch = 0;
  #now = 0;
  #failure: unknown;

  readonly #trace: (line: string) => void;

  constructor(seed: number, mutants: ReadonlySet<string>, trace: (line: string) => void) {
    this.#trace = trace;
    this.#random = createPrng(seed);
    this.#mutants = mutants;
    this.#found();
  }

  async run(): Promise<void> {
    this.#elect();
    this.#every(50, () => this.#hypervisors());
    this.#every(200, () => this.#hear());
    this.#every(700, () => this.#storm());
    this.#every(60, () => this.#usersAct());
    this.#every(1_000, () => this.#operator());
    this.#at(STORM_MS, () => this.#heal());
    while (this.#now < STORM_MS + HEAL_MS) {
      const event = this.#heap.pop();
      if (event === undefined) break;
      this.#now = event.at;
      event.run();
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#now > STORM_MS && this.#isAtRest()) break;
    }
    this.#checkFinished();
  }

  async end(): Promise<void> {
    for (const leader of this.#leaders) leader.state = "dead";
    this.#db.close();
  }

  // --- the state ---

  #found(): void {
    for (const sql of SCHEMA_LEVEL_1) this.#db.run(sql);
    for (const { sql, values } of [...fenceSchema, ...vmhaSchema]) this.#db.run(sql, [...values]);
    for (let id = 0; id < HOSTS; id++) {
      const section = { METHOD: "ipmi", ADDRESS: `10.0.0.${id}`, USER: "u", PASSWORD: "p" };
      this.#db.run(
        "INSERT INTO host(id,name,state,im_mad,vm_mad,cluster_id,total_cpu,total_mem,fence) VALUES(?,?,2,'kvm','kvm',0,400,4000000,?)",
        [id, `h${id}`, JSON.stringify([section])],
      );
      this.#db.run("INSERT INTO fence_binding(host_id,guid,uuid,bound_by) VALUES(?,?,?,'test')", [
        id,
        guidOf(id),
        guidOf(id),
      ]);
      this.#hosts.push({
        id,
        isPowered: true,
        isCut: false,
        boot: 1,
        upSinceAt: -10_000,
        bootMs: 3_000,
        lastAnswerAt: 0,
        domains: new Set(),
        bmc: "good",
        glitchedAt: -10_000,
        offApplied: undefined,
      });
    }
    for (let id = 0; id < VMS; id++) {
      const hostId = id % HOSTS;
      this.#db.run(
        "INSERT INTO vm(id,name,uid,gid,uname,gname,permissions,state,lcm_state,prev_state,stime,cpu,memory,host_id,seq,template) VALUES(?,?,0,0,'','',0,3,3,3,0,100,1000000,?,0,'')",
        [id, `vm${id}`, hostId],
      );
      this.#db.run(
        "INSERT INTO history(vm_id,seq,hostname,hid,cid,vm_mad,tm_mad,ds_id,stime) VALUES(?,0,?,?,0,'kvm','shared',0,0)",
        [id, `h${hostId}`, hostId],
      );
      this.#db.run(
        "UPDATE host SET cpu_usage=cpu_usage+100,mem_usage=mem_usage+1000000,running_vms=running_vms+1 WHERE id=?",
        [hostId],
      );
      this.#host(hostId).domains.add(id);
    }
  }

  #query<R>(query: Query<R>): R[] {
    return this.#db.query(query.sql).all(...query.values) as R[];
  }

  /** One entry: all guards, then all statements, or nothing. */
  #apply(change: Change, kind: string): Outcome {
    const before = new Map(this.#query<FenceRow>(allFenceRecords()).map((row) => [row.host_id, row]));
    const guards = this.#mutants.has("deploy-and-resubmit-both-admitted")
      ? weakened(change.guards, kind)
      : change.guards;
    this.#db.run("BEGIN");
    for (const guard of guards) {
      const rows = this.#db.query(guard.sql).values(...guard.values) as SqlValue[][];
      if (JSON.stringify(rows) !== JSON.stringify(guard.expect)) {
        this.#db.run("ROLLBACK");
        this.#count(`rejected ${kind}`);
        return { kind: "rejected", index: 0, by: "guard", why: guard.why };
      }
    }
    try {
      for (const { sql, values } of change.statements) this.#db.run(this.#planted(sql), [...values]);
    } catch (error) {
      this.#db.run("ROLLBACK");
      if (!(error instanceof SQLiteError) || !error.code?.startsWith("SQLITE_CONSTRAINT")) throw error;
      this.#count(`constraint ${kind}`);
      return { kind: "rejected", index: 0, by: "constraint", why: error.message };
    }
    this.#db.run("COMMIT");
    this.#count(kind);
    this.#trace(`${this.#now} ${kind} ${change.tags.join(" ")}`);
    this.#applied(before, kind);
    this.#announce();
    return { kind: "done", index: 0, rows: [], changes: [] };
  }

  /** The mistake also loses the second lock on a start: the key of its history record. */
  #planted(sql: string): string {
    if (!this.#mutants.has("deploy-and-resubmit-both-admitted")) return sql;
    return sql.replace("INSERT INTO history", "INSERT OR REPLACE INTO history");
  }

  /** The applied tags wake whoever lives from the rows. */
  #announce(): void {
    const leader = this.#leader;
    if (leader === undefined) return;
    this.#at(this.#now + 1, () =>
      this.#deliver(leader, () => {
        leader.fence?.wake();
        leader.vmha?.wake();
      }),
    );
  }

  /** Whatever an entry did must be a legal arrow, and a start must be one of a VM that runs nowhere. */
  #applied(before: ReadonlyMap<number, FenceRow>, kind: string): void {
    for (const row of this.#query<FenceRow>(allFenceRecords())) {
      const old = before.get(row.host_id);
      if (old?.version === row.version) continue;
      if (row.state === "INTENT" && this.#now > STORM_MS + 20_000)
        demand(!this.#host(row.host_id).isPowered, "nobody fences a host in health", () => `host ${row.host_id}`);
      if (row.state === "OFF_SENT") {
        this.#host(row.host_id).offApplied = { key: `${row.failure}/${row.attempt}`, at: this.#now };
        demand(
          old?.state === "INTENT",
          "an off is sent only after its intent",
          () => `host ${row.host_id} was ${old?.state}`,
        );
      }
      if (row.state === "RECOVERING")
        demand(JSON.parse(row.proofs).length > 0, "no recovery without a proof", () => `host ${row.host_id}`);
    }
    if (/^(vmha\.(resubmit|restart)|scheduler\.deploy)$/.test(kind)) this.#checkStarts(kind);
  }

  #checkStarts(kind: string): void {
    const starting = this.#query<{ id: number; host_id: number }>({
      sql: "SELECT id,host_id FROM vm WHERE state=3 AND lcm_state=2",
      values: [],
    });
    for (const vm of starting) {
      const where = this.#hosts.filter((host) => host.isPowered && host.id !== vm.host_id && host.domains.has(vm.id));
      demand(where.length === 0, "no start of a VM that runs elsewhere", () => {
        return `${kind}: vm ${vm.id} is started on host ${vm.host_id} while host ${where[0]?.id} runs it`;
      });
    }
  }

  // --- leaders ---

  #elect(): void {
    const leader: Leader = {
      epoch: ++this.#epoch,
      startedAt: this.#now,
      state: "leads",
      pausedUntil: 0,
      leaseEndsAt: 0,
      fence: undefined,
      vmha: undefined,
    };
    this.#count("leaders");
    this.#leader = leader;
    this.#leaders.push(leader);
    const read = <R>(query: Query<R>) => this.#readAs<R>(leader, query);
    const propose = (change: Change, kind: string) => this.#proposeAs(leader, change, kind);
    const clock = {
      now: () => this.#now,
      wall: () => 1_700_000_000_000 + this.#now,
      after: (ms: number, run: () => void) => this.#timer(leader, ms, run),
    };
    const alert = (text: string) => this.#count(`alert: ${text.replace(/\d+/g, "N").slice(0, 50)}`);
    const unsafeLease = this.#mutants.has("power-off-without-lease");
    const fence = createFenceDriver(
      {
        read,
        propose,
        lease: { remainingMs: () => (unsafeLease ? LEASE_MS : this.#leaseMs(leader)) },
        monitor: { judgement: (hostId) => this.#judge(leader, hostId) },
        readiness: { answeringForMs: () => 120_000 },
        clock,
        methods: new Map([["ipmi", this.#method(leader)]]),
        unseal: (text) => text,
        alert,
        random: () => this.#random.fraction(),
      },
      { ...FENCE_POLICY_DEFAULT, stormWindowMs: 20_000, cooldownMs: 5_000 },
      leader.epoch,
    );
    leader.fence = fence;
    leader.vmha = createVmhaDriver(
      {
        read,
        propose,
        records: {
          all: () => allFenceRecords(),
          recovering: (record, wallAt) => recoveringChange(record as FenceRow, wallAt),
          closed: (record, report, marks) => closedChange(record as FenceRow, report, marks),
          stillRecovering: (record: LostHost) => stillRecovering(record),
          notBeingFenced,
        },
        isSettled: (hostId) => this.#mutants.has("closed-before-settled") || fence.isSettled(hostId),
        returnedDomains: (hostId) => (this.#isHeard(this.#host(hostId)) ? [...this.#host(hostId).domains] : []),
        closedReason: (hostId) => (this.#isHeard(this.#host(hostId)) ? "" : "silent"),
        keepAway: () => new Map(),
        clock,
        alert,
      },
      { options: RECOVERY_OPTIONS_DEFAULT, isCrashRestarted: true },
    );
  }

  #leaseMs(leader: Leader): number {
    if (leader.state === "leads" && leader.pausedUntil <= this.#now) return LEASE_MS - 80;
    return leader.leaseEndsAt - this.#now;
  }

  /** The leader is lost in one of three ways; the next comes once its lease is over. */
  #lose(how: "crash" | "freeze" | "cut-off"): void {
    const leader = this.#leader;
    if (leader === undefined) return;
    this.#count(`leader lost: ${how}`);
    this.#trace(`${this.#now} leader ${leader.epoch} lost: ${how}`);
    leader.leaseEndsAt = this.#now + LEASE_MS;
    this.#leader = undefined;
    if (how === "crash") leader.state = "dead";
    else leader.state = "cut-off";
    if (how === "freeze") leader.pausedUntil = this.#now + this.#random.range(200, 12_000);
    // Its parts stop it some time after it learns of it; a frozen one wakes up first.
    const stopsAt = Math.max(leader.pausedUntil, this.#now) + this.#random.range(300, 2_000);
    if (how !== "crash") {
      this.#at(stopsAt, () => {
        this.#watch(leader.fence?.stop());
        this.#watch(leader.vmha?.stop());
      });
    }
    this.#at(this.#now + ELECTION_MS + this.#random.range(0, 1_500), () => this.#elect());
  }

  #watch(work: Promise<void> | undefined): void {
    work?.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** A callback into a leader: later if it is frozen, never if it is dead. */
  #deliver(leader: Leader, run: () => void): void {
    if (leader.state === "dead") return;
    if (leader.pausedUntil > this.#now) this.#at(leader.pausedUntil, () => this.#deliver(leader, run));
    else run();
  }

  #timer(leader: Leader, ms: number, run: () => void): () => void {
    let isCancelled = false;
    this.#at(this.#now + ms + this.#random.range(0, 3), () =>
      this.#deliver(leader, () => {
        if (!isCancelled) run();
      }),
    );
    return () => {
      isCancelled = true;
    };
  }

  #readAs<R>(leader: Leader, query: Query<R>): Promise<readonly R[]> {
    return new Promise((resolve) => {
      this.#at(this.#now + this.#random.range(0, 2), () => {
        const rows = this.#query(query);
        this.#deliver(leader, () => resolve(rows));
      });
    });
  }

  #proposeAs(leader: Leader, change: Change, kind: string): Promise<Outcome> {
    return new Promise((resolve) => {
      // Most entries commit at once; one that queues behind a slow disk is decided on rows that are old by then.
      const isSlow = this.#isStorm() && this.#random.chance(0.1);
      this.#at(this.#now + (isSlow ? this.#random.range(50, 900) : this.#random.range(1, 8)), () => {
        // Lost with its leader, or committed before the next leader's first entry: both happen.
        const isCommitted = this.#leader === leader || (this.#leader === undefined && this.#random.chance(0.5));
        const outcome: Outcome = isCommitted
          ? this.#guarded(change, kind)
          : { kind: "unknown", why: "leadership was lost" };
        if (this.#isStorm() && this.#leader === leader && this.#random.chance(0.02)) this.#lose(this.#loss());
        this.#at(this.#now + this.#random.range(0, 3), () => this.#deliver(leader, () => resolve(outcome)));
      });
    });
  }

  #guarded(change: Change, kind: string): Outcome {
    try {
      return this.#apply(change, kind);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  // --- verdicts ---

  #isHeard(host: SimHost): boolean {
    return host.isPowered && !host.isCut && this.#now > host.upSinceAt + host.bootMs;
  }

  #hear(): void {
    for (const host of this.#hosts) if (this.#isHeard(host)) host.lastAnswerAt = this.#now;
  }

  #judge(leader: Leader, hostId: number): HostJudgement {
    const host = this.#host(hostId);
    const silentMs = this.#now - host.lastAnswerAt;
    const bmcPower = this.#bmcAnswers(host) ? (host.isPowered ? "on" : "off") : "silent";
    const neededMs = bmcPower === "off" ? 1_000 : 2_000;
    const isNew = this.#now < leader.startedAt + 300;
    const verdict = isNew ? "unknown" : silentMs < 900 ? "alive" : silentMs < neededMs ? "suspect" : "down";
    const record = this.#query<FenceRow>(allFenceRecords()).find((row) => row.host_id === hostId);
    const { offApplied } = host;
    const isThisOff = offApplied?.key === `${record?.failure}/${record?.attempt}`;
    return {
      verdict,
      downSinceAt: verdict === "down" ? host.lastAnswerAt + neededMs : undefined,
      isNeverHeard: false,
      lastAnswerAt: host.lastAnswerAt,
      isAnswerAfterOff: isThisOff && host.lastAnswerAt > (offApplied?.at ?? 0),
      bmcPower,
      storage: "none",
      bootId: `boot-${host.boot}`,
      domains: this.#isHeard(host) && this.#now > host.upSinceAt + host.bootMs + 500 ? [...host.domains] : undefined,
      evidence: [`silent for ${silentMs} ms`],
      marks: { lastAnswerAt: host.lastAnswerAt, suspectAt: host.lastAnswerAt + 900, agreedAt: this.#now },
    };
  }

  // --- BMCs ---

  #bmcAnswers(host: SimHost): boolean {
    if (host.bmc === "silent") return false;
    return host.bmc !== "dead-with-host" || host.isPowered;
  }

  #method(leader: Leader): FenceMethod {
    return {
      name: "ipmi",
      open: async (context) => {
        const host = this.#host(context.device.hostId);
        const guard = () => context.mayChangePower();
        await context.wait(host.bmc === "slow" ? 1_500 : this.#random.range(3, 30));
        if (!this.#bmcAnswers(host)) {
          await context.wait(1_800);
          throw new CodedError(METHOD_ERROR.failed, "no answer");
        }
        if (host.bmc === "wrong-guid") throw new CodedError(METHOD_ERROR.identity, "another machine's BMC");
        const was = this.#readPower(host);
        return {
          was,
          powerOff: async () => {
            const startedAt = this.#now;
            const rule = proofRule(was, context.device.spacingMs);
            let reads = noReads(this.#mutants.has("one-off-answer-is-proof") ? { ...rule, reads: 1, spanMs: 0 } : rule);
            this.#sendOff(leader, host, guard);
            if (this.#isStorm() && this.#leader === leader && this.#random.chance(0.1)) this.#lose(this.#loss());
            while (this.#now - startedAt < OFF_DEADLINE_MS) {
              await context.wait(Math.max(50, nextReadInMs(reads, this.#now)));
              if (!this.#bmcAnswers(host)) throw new CodedError(METHOD_ERROR.failed, "no answer");
              reads = addRead(reads, this.#readPower(host), this.#now);
              if (!isProven(reads)) continue;
              const spanMs = reads.lastAt - reads.firstAt;
              const guid = guidOf(host.id);
              return {
                kind: "bmc",
                method: "ipmi",
                address: context.device.address,
                guid,
                was,
                reads: reads.count,
                spanMs,
              };
            }
            throw new CodedError(METHOD_ERROR.failed, "still on");
          },
          close: () => undefined,
        };
      },
      check: async (context) => {
        const host = this.#host(context.device.hostId);
        await context.wait(this.#random.range(3, 30));
        if (!this.#bmcAnswers(host)) throw new CodedError(METHOD_ERROR.failed, "no answer");
        return { power: this.#readPower(host), guid: guidOf(host.id), suite: "17", firmware: "1", findings: [] };
      },
    };
  }

  /**
   * Glitching firmware says *off* once in a while, and then the truth for a time. Not "never twice in a row": two leaders
   * that read in turns would each get only the wrong answers (seed 303780354107).
   */
  #readPower(host: SimHost): "on" | "off" {
    const mayGlitch = host.bmc === "glitches" && host.isPowered && this.#now - host.glitchedAt >= GLITCHES_APART_MS;
    if (!mayGlitch || !this.#random.chance(0.4)) return host.isPowered ? "on" : "off";
    host.glitchedAt = this.#now;
    this.#count("bmc glitch");
    return "off";
  }

  /** Driver's check, a pause of any length, the kernel's gate, the wire, the BMC. */
  #sendOff(leader: Leader, host: SimHost, mayChangePower: () => boolean): void {
    if (!mayChangePower()) throw new CodedError(METHOD_ERROR.lease, "no lease");
    const pauseMs = this.#isStorm() && this.#random.chance(0.1) ? this.#random.range(100, 3_000) : 0;
    this.#at(this.#now + pauseMs, () => {
      if (leader.state === "dead") return;
      if (leader.pausedUntil > this.#now) {
        this.#at(leader.pausedUntil, () => this.#leaveKernel(leader, host));
        return;
      }
      this.#leaveKernel(leader, host);
    });
  }

  #leaveKernel(leader: Leader, host: SimHost): void {
    const hasLease = this.#leaseMs(leader) > 0;
    // The gate drops it. The mistake sends from a port that the gate does not watch.
    if (!hasLease && !this.#mutants.has("power-off-without-lease")) {
      this.#count("off dropped by the kernel");
      return;
    }
    try {
      demand(hasLease, "no power-off by a box without the lease", () => `host ${host.id}, epoch ${leader.epoch}`);
    } catch (error) {
      this.#failure = error;
      return;
    }
    this.#count("off sent");
    this.#trace(`${this.#now} off sent to host ${host.id} by leader ${leader.epoch}`);
    const wireMs = this.#isStorm() && this.#random.chance(0.15) ? this.#random.range(100, WIRE_MS_MAX) : 1;
    this.#at(this.#now + wireMs, () => this.#offArrives(host));
  }

  #offArrives(host: SimHost): void {
    if (!this.#bmcAnswers(host) || host.bmc === "keeps-on") return;
    const row = this.#query<HostRow>(hostById(host.id))[0];
    const record = this.#query<FenceRow>(allFenceRecords()).find(({ host_id }) => host_id === host.id);
    try {
      demand(
        !(host.isPowered && row?.state === HOST_STATE.monitored && record?.state === "CLOSED"),
        "no late off hits a host that was put to use",
        () => `host ${host.id}`,
      );
    } catch (error) {
      this.#failure = error;
      return;
    }
    this.#at(this.#now + this.#random.range(5, 900), () => this.#powerDown(host));
  }

  #powerDown(host: SimHost): void {
    if (!host.isPowered) return;
    host.isPowered = false;
    this.#trace(`${this.#now} host ${host.id} is off`);
    host.domains.clear();
  }

  #powerUp(host: SimHost): void {
    if (host.isPowered) return;
    host.isPowered = true;
    this.#trace(`${this.#now} host ${host.id} is on`);
    host.boot++;
    host.upSinceAt = this.#now;
    host.bootMs = this.#random.range(500, 3_000);
  }

  // --- hypervisors: what the hypervisor part does, with the front-end's own transitions ---

  #hypervisors(): void {
    if (this.#leader === undefined) return;
    for (const host of this.#hosts) {
      if (!this.#isHeard(host)) continue;
      const row = this.#query<HostRow>(hostById(host.id))[0];
      if (row === undefined) continue;
      const vms = this.#query<VmRow>(vmsOnHost(host.id));
      // Stale domains go before the host may be used again.
      for (const vmId of host.domains) if (!vms.some((vm) => vm.id === vmId)) host.domains.delete(vmId);
      if (row.state === HOST_STATE.error || row.state === HOST_STATE.init) {
        const heard = hostMonitored(row, { totalCpu: 400, totalMem: 4_000_000, facts: "" });
        this.#soon(heard, "host.monitored", [notBeingFenced(host.id)]);
        continue;
      }
      for (const vm of vms) this.#hypervise(host, vm);
    }
  }

  #hypervise(host: SimHost, vm: VmRow): void {
    const isRunning = host.domains.has(vm.id);
    const lcm = vm.state === VM_STATE.active ? vm.lcm_state : -1;
    const wall = Math.floor(this.#now / 1000);
    if (lcm === LCM_STATE.boot && !isRunning && this.#random.chance(0.3)) this.#startDomain(host, vm);
    else if (lcm === LCM_STATE.boot && isRunning) this.#soon(running(vm, `one-${vm.id}`, wall), "vm.running");
    else if (lcm === LCM_STATE.unknown && isRunning)
      this.#soon(adopted(vm, host.id, `one-${vm.id}`, wall), "vm.adopted");
    else if ((lcm === LCM_STATE.unknown || lcm === LCM_STATE.running) && !isRunning)
      this.#soon(failed(vm, "crashed", wall), "vm.failed", [notBeingFenced(host.id)]);
  }

  /** The start was decided on a row read a moment ago; at the start the driver looks again. */
  #startDomain(host: SimHost, vm: VmRow): void {
    // One start of one placing at a time: a second one might fail while the first runs.
    const start = `${vm.id}/${vm.seq}`;
    if (this.#starting.has(start)) return;
    this.#starting.add(start);
    if (this.#isStorm() && this.#random.chance(0.03)) {
      this.#soon(bootFailed(vm, "no such disk"), "vm.boot-failed");
      // Its entry may meet no leader (seed 132173870925): the next one starts it again.
      this.#at(this.#now + 2 * SOON_MS_MAX, () => this.#starting.delete(start));
      return;
    }
    this.#at(this.#now + this.#random.range(10, 300), () => {
      this.#starting.delete(start);
      const now = this.#query<VmRow>(vmById(vm.id))[0];
      const isStill = now?.host_id === host.id && now.seq === vm.seq && now.lcm_state === LCM_STATE.boot;
      if (!isStill || !this.#isHeard(host)) return;
      host.domains.add(vm.id);
      this.#checkDoubleRun();
    });
  }

  #checkDoubleRun(): void {
    try {
      for (let vmId = 0; vmId < VMS; vmId++) {
        const where = this.#hosts.filter((host) => host.isPowered && host.domains.has(vmId)).map(({ id }) => id);
        demand(where.length <= 1, "no VM runs on two hosts", () => `vm ${vmId} on hosts ${where.join(" and ")}`);
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  /** An entry of somebody else, decided now, applied a little later: its guards decide. */
  #soon(step: Transition, kind: string, guards: readonly Guard[] = []): void {
    if (!step.ok) return;
    const change: Change = { ...step.change, guards: [...step.change.guards, ...guards] };
    this.#at(this.#now + this.#random.range(1, SOON_MS_MAX), () => {
      if (this.#leader !== undefined) this.#guarded(change, kind);
    });
  }

  // --- misfortune ---

  #isStorm(): boolean {
    return this.#now < STORM_MS;
  }

  #loss(): "crash" | "freeze" | "cut-off" {
    return this.#random.pick(["crash", "freeze", "cut-off"] as const);
  }

  #storm(): void {
    if (!this.#isStorm()) return;
    const random = this.#random;
    const host = this.#hosts[random.range(0, HOSTS - 1)];
    if (host === undefined) return;
    if (random.chance(0.04)) this.#lose(this.#loss());
    if (random.chance(0.06)) this.#powerDown(host);
    if (random.chance(0.06)) host.isCut = true;
    if (random.chance(0.15)) host.isCut = false;
    if (random.chance(0.15)) host.bmc = random.pick(BMC_MOODS);
    if (random.chance(0.2)) host.bmc = "good";
    if (random.chance(0.3)) this.#crashGuest(host);
  }

  #crashGuest(host: SimHost): void {
    const [vmId] = host.domains;
    if (vmId !== undefined && this.#isHeard(host)) host.domains.delete(vmId);
  }

  /**
   * Impatient users, beside the ladder: `onevm recover --delete-recreate` of a VM that crashed or did not start, and
   * `onevm deploy` of one that is pending.
   */
  #usersAct(): void {
    if (!this.#isStorm()) return;
    for (const vm of this.#query<VmRow>({ sql: "SELECT * FROM vm WHERE state IN (1,7) OR lcm_state=36", values: [] })) {
      if (!this.#random.chance(0.2)) continue;
      if (vm.host_id !== null) {
        this.#soon(requeued(vm, false, 0), "user.recreate", [notBeingFenced(vm.host_id)]);
        continue;
      }
      const host = this.#query<HostRow>(hostById(this.#random.range(0, HOSTS - 1)))[0];
      if (host !== undefined)
        this.#soon(placed(vm, host, 0, { enforce: true }), "user.deploy", [notBeingFenced(host.id)]);
    }
  }

  /** People: switch machines on again that were dealt with, and confirm by hand what no BMC can prove. */
  #operator(): void {
    for (const record of this.#query<FenceRow>(allFenceRecords())) {
      const host = this.#host(record.host_id);
      if (record.state === "CLOSED" && !host.isPowered && this.#random.chance(this.#isStorm() ? 0.3 : 0.1))
        this.#powerUp(host);
      // A restore policy or a hand at the button, in the middle of it all.
      if (record.state !== "CLOSED" && this.#isStorm() && this.#random.chance(0.02)) this.#powerUp(host);
      const isStuck = record.state === "HELD" || record.state === "FAILED";
      if (isStuck && !host.isPowered && record.confirmed_by === "" && this.#random.chance(0.1)) {
        this.#guarded(
          {
            guards: [recordGuard(host.id, record)],
            statements: [
              { sql: "UPDATE fence SET version=version+1,confirmed_by='ann' WHERE host_id=?", values: [host.id] },
            ],
            tags: [],
          },
          "fence.confirm",
        );
      }
    }
  }

  #heal(): void {
    for (const host of this.#hosts) {
      host.isCut = false;
      host.bmc = "good";
    }
    for (const leader of this.#leaders) leader.pausedUntil = 0;
  }

  #isAtRest(): boolean {
    if (this.#leader === undefined || this.#now < STORM_MS + 20_000) return false;
    const records = this.#query<FenceRow>(allFenceRecords());
    const pending = this.#query<{ n: number }>({
      sql: "SELECT count(*) AS n FROM vm WHERE NOT (state=3 AND lcm_state IN (3,36)) AND state<>7",
      values: [],
    });
    const isBack = this.#query<HostRow>(allHosts()).every(({ state }) => state === HOST_STATE.monitored);
    return (
      isBack &&
      records.every(({ state }) => state === "CLOSED") &&
      this.#hosts.every((host) => host.isPowered) &&
      pending[0]?.n === 0
    );
  }

  /** Every begun recovery is finished: closed, with an outcome for each VM; nobody was forgotten. */
  #checkFinished(): void {
    for (const row of this.#query<FenceRow>(allFenceRecords())) {
      demand(
        row.state === "CLOSED",
        "every begun recovery is finished",
        () => `host ${row.host_id} is ${row.state} (${row.reason})`,
      );
      const open = this.#query<RecoveryRow>({
        sql: "SELECT * FROM recovery WHERE host_id=? AND failure=? AND outcome=''",
        values: [row.host_id, row.failure],
      });
      const isAborted = row.report === "";
      demand(
        isAborted || open.length === 0,
        "every frozen VM has an outcome",
        () => `host ${row.host_id}, vm ${open[0]?.vm_id}`,
      );
    }
    for (const vm of this.#query<VmRow>({ sql: "SELECT * FROM vm", values: [] })) {
      const isRunning = vm.state === VM_STATE.active && vm.lcm_state === LCM_STATE.running;
      const isTold = vm.state === VM_STATE.failed || (vm.lcm_state === LCM_STATE.bootFailure && vm.reason !== "");
      const isWell = isRunning || isTold;
      demand(
        isWell,
        "every VM runs again or says why not",
        () => `vm ${vm.id} is ${vm.state}/${vm.lcm_state} on ${vm.host_id}: ${vm.reason}`,
      );
    }
    this.#checkBooks();
    demand(
      this.#query<HostRow>(allHosts()).every(({ state }) => state === HOST_STATE.monitored),
      "every host is back",
      () => "",
    );
  }

  /** What hosts were promised is what their VMs ask for, after everything. */
  #checkBooks(): void {
    for (const host of this.#query<HostRow>(allHosts())) {
      const vms = this.#query<VmRow>(vmsOnHost(host.id));
      const cpu = vms.reduce((sum, vm) => sum + vm.cpu, 0);
      demand(cpu === host.cpu_usage, "capacity is booked once", () => `host ${host.id}: ${host.cpu_usage} for ${cpu}`);
    }
  }

  // --- tools ---

  #host(id: number): SimHost {
    const host = this.#hosts[id];
    if (host === undefined) throw new Error(`no host ${id}`);
    return host;
  }

  #at(at: number, run: () => void): void {
    this.#heap.push(Math.max(at, this.#now), "", run);
  }

  #every(ms: number, run: () => void): void {
    this.#at(this.#now + ms, () => {
      run();
      this.#every(ms, run);
    });
  }

  #count(what: string): void {
    this.counters[what] = (this.counters[what] ?? 0) + 1;
  }
}

function guidOf(hostId: number): string {
  return `0123456789abcdef0123456789abcd${hostId.toString(16).padStart(2, "0")}`;
}

/** The planted mistake: starts are admitted without asking whether the VM is still the one that was read. */
function weakened(guards: readonly Guard[], kind: string): readonly Guard[] {
  if (!/^(vmha\.(resubmit|restart)|scheduler\.deploy)$/.test(kind)) return guards;
  return guards.filter((guard) => !/FROM (vm|vm_retry|recovery) /.test(guard.sql));
}
