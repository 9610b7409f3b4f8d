import { CodedError } from "../../base/error.ts";
import { IpmiError } from "../../node-ipmi/errors.ts";
import { type OpenOptions, openSession } from "../../node-ipmi/open-session.ts";
import { probeSuiteZero } from "../../node-ipmi/probe-suite-zero.ts";
import type { Session } from "../../node-ipmi/session.ts";
import { isBoundGuid, isPlaceholderGuid, normalizeGuid } from "../identity.ts";

import { addRead, isProven, nextReadInMs, noReads, proofRule } from "../proof.ts";
import type { Proof } from "../record.ts";
import { COMMAND_DEADLINE_MS } from "../settled.ts";
import {
  type DeviceCheck,
  type FenceMethod,
  METHOD_ERROR,
  type MethodContext,
  OFF_DEADLINE_MS,
  type PowerSession,
} from "./types.ts";

/** The source ports that the kernel lets out only under a live lease token (vip.md section 1). */
export const GUARDED_PORTS = { first: 60_600, last: 60_699 } as const;

export interface IpmiMethodOptions {
  /** The box's own address in the BMC network; never the VIP. */
  readonly localAddress?: string;
}

/** Login and first status; a BMC that is not there must be known in this time. */
const OPEN_DEADLINE_MS = 1_800;
const STATUS_DEADLINE_MS = 1_000;
const SUITE_ZERO_EVERY_MS = 3_600_000;
/** While it still reads *on* after our off: how often to ask. Sessions pace slow firmware by themselves. */
const POLL_MS = 50;
/** Status requests without an answer, each STATUS_DEADLINE_MS, until this BMC counts as gone. */
const UNREAD_MAX = 3;
/** No *off* this long after the first command: the command was lost inside the BMC; once more. */
const REPEAT_OFF_MS = 1_500;

/** IPMI 2.0 over RMCP+: identity, status, hard off and proof in one session. */
export function createIpmiMethod(options: IpmiMethodOptions = {}): FenceMethod {
  const suiteZero: SuiteZeroAnswers = new Map();
  return {
    name: "ipmi",
    open: async (context) => {
      const guarded = { localPorts: GUARDED_PORTS, beforeSend: context.mayChangePower };
      const session = await connect(context, options, guarded);
      try {
        const guid = await guidOf(session, context.signal);
        if (!isBoundGuid(guid, context.binding.guid)) {
          const bound = context.binding.guid;
          throw new CodedError(
            METHOD_ERROR.identity,
            `the BMC at ${place(context)} has GUID ${guid}, bound is ${bound}`,
          );
        }
        const was = await readPower(session, context);
        return new IpmiPowerSession(session, context, guid, was);
      } catch (error) {
        void session.close();
        throw asMethodError(error, `read ${place(context)}`, context.mayChangePower);
      }
    },
    check: (context) => check(context, options, suiteZero),
  };
}

class IpmiPowerSession implements PowerSession {
  readonly was: "on" | "off";
  readonly #session: Session;
  readonly #context: MethodContext;
  readonly #guid: string;
  #unread = 0;

  constructor(session: Session, context: MethodContext, guid: string, was: "on" | "off") {
    this.#session = session;
    this.#context = context;
    this.#guid = guid;
    this.was = was;
  }

  async powerOff(): Promise<Proof> {
    const { now, wait, device } = this.#context;
    const startedAt = now();
    const rule = proofRule(this.was, device.spacingMs);
    try {
      await this.#sendOff(startedAt);
      let sentAt = now();
      let reads = noReads(rule);
      while (now() - startedAt < OFF_DEADLINE_MS) {
        const power = await this.#poll();
        reads = addRead(reads, power, now());
        if (isProven(reads)) return this.#proof(reads.count, reads.lastAt - reads.firstAt);
        const isLost = power !== "off" && now() - sentAt > REPEAT_OFF_MS && now() - startedAt < COMMAND_DEADLINE_MS;
        if (isLost) {
          await this.#sendOff(startedAt);
          sentAt = now();
        }
        await wait(Math.max(POLL_MS, nextReadInMs(reads, now())));
      }
    } catch (error) {
      throw asMethodError(error, `power off by ${place(this.#context)}`, this.#context.mayChangePower);
    }
    throw new CodedError(
      METHOD_ERROR.failed,
      `${place(this.#context)} still reads on ${OFF_DEADLINE_MS} ms after the off`,
    );
  }

  close(): void {
    void this.#session.close();
  }

  /** One lost or busy status is not the end, several in a row are; what was not read is not *off*. */
  async #poll(): Promise<"on" | "off" | "other"> {
    try {
      const power = await readPower(this.#session, this.#context);
      this.#unread = 0;
      return power;
    } catch (error) {
      const isPassing = error instanceof IpmiError && (error.code === "no-answer" || error.code === "busy");
      this.#unread++;
      if (!isPassing || this.#unread >= UNREAD_MAX) throw error;
      return "other";
    }
  }

  /** Resolves when the BMC took it, may have taken it, or says that it does not apply: the status tells which. */
  async #sendOff(startedAt: number): Promise<void> {
    const leftMs = startedAt + COMMAND_DEADLINE_MS - this.#context.now();
    try {
      await this.#session.power("off", {
        deadlineMs: Math.max(1, Math.min(leftMs, 1_000)),
        signal: this.#context.signal,
      });
    } catch (error) {
      const isMaybeDone = error instanceof IpmiError && (error.code === "not-in-this-state" || error.wasSent);
      if (!isMaybeDone || error.code === "aborted") throw error;
    }
  }

  #proof(reads: number, spanMs: number): Proof {
    const { device } = this.#context;
    const address = place(this.#context);
    return { kind: "bmc", method: device.method, address, guid: this.#guid, was: this.was, reads, spanMs };
  }
}

async function check(
  context: Omit<MethodContext, "binding" | "mayChangePower">,
  options: IpmiMethodOptions,
  suiteZero: SuiteZeroAnswers,
): Promise<DeviceCheck> {
  const session = await connect(context, options, {});
  try {
    const limit = { deadlineMs: STATUS_DEADLINE_MS, signal: context.signal };
    const guid = await guidOf(session, context.signal);
    const status = await session.chassisStatus(limit);
    const findings: string[] = [];
    if (isPlaceholderGuid(guid)) findings.push(`its GUID ${guid} is one that many machines share`);
    if (status.restorePolicy === "on" || status.restorePolicy === "previous")
      findings.push(`its power-restore policy is "${status.restorePolicy}": it may start by itself when power returns`);
    const firmware = await session.deviceId(limit).then(
      (id) => id.firmware,
      () => "",
    );
    if (await acceptsSuiteZero(context, options, suiteZero))
      findings.push("it accepts cipher suite 0, which needs no password: switch that off");
    return { power: status.isPowerOn ? "on" : "off", guid, suite: String(session.suite), firmware, findings };
  } catch (error) {
    throw asMethodError(error, `check ${place(context)}`);
  } finally {
    await session.close();
  }
}

/** What each BMC said about suite 0, and when. */
type SuiteZeroAnswers = Map<string, { readonly isAccepted: boolean; readonly at: number }>;

/** Asked once an hour: the answer changes with the firmware's configuration only, and each question takes a slot. */
async function acceptsSuiteZero(
  context: Omit<MethodContext, "binding" | "mayChangePower">,
  options: IpmiMethodOptions,
  answers: SuiteZeroAnswers,
): Promise<boolean> {
  const key = place(context);
  const known = answers.get(key);
  if (known !== undefined && context.now() - known.at < SUITE_ZERO_EVERY_MS) return known.isAccepted;
  const { address, port } = context.device;
  const { localAddress } = options;
  // A BMC that does not answer this question at all does not accept it either.
  const isAccepted = await probeSuiteZero({
    address,
    port,
    deadlineMs: STATUS_DEADLINE_MS,
    signal: context.signal,
    ...(localAddress === undefined ? {} : { localAddress }),
  }).catch(() => false);
  answers.set(key, { isAccepted, at: context.now() });
  return isAccepted;
}

async function connect(
  context: Omit<MethodContext, "binding" | "mayChangePower">,
  options: IpmiMethodOptions,
  guarded: Pick<OpenOptions, "localPorts" | "beforeSend">,
): Promise<Session> {
  const { device, password, signal } = context;
  try {
    return await openSession({
      address: device.address,
      port: device.port,
      user: device.user,
      password,
      privilege: device.privilege,
      suites: device.suites,
      deadlineMs: OPEN_DEADLINE_MS,
      signal,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      ...guarded,
    });
  } catch (error) {
    throw asMethodError(error, `log in to ${place(context)}`, guarded.beforeSend);
  }
}

/** RAKP 2 carries it; firmware that leaves it blank there has the command. */
async function guidOf(session: Session, signal: AbortSignal): Promise<string> {
  const inHandshake = normalizeGuid(session.guid.toString("hex")) ?? "";
  if (inHandshake !== "" && !isPlaceholderGuid(inHandshake)) return inHandshake;
  const asked = await session.systemGuid({ deadlineMs: STATUS_DEADLINE_MS, signal });
  return asked.toString("hex");
}

async function readPower(session: Session, context: MethodContext): Promise<"on" | "off"> {
  const status = await session.chassisStatus({ deadlineMs: STATUS_DEADLINE_MS, signal: context.signal });
  return status.isPowerOn ? "on" : "off";
}

function place({ device }: Pick<MethodContext, "device">): string {
  return `${device.address}:${device.port}`;
}

/**
 * What was not sent for want of the lease is tried again at once and in silence. A kernel that refuses although the lease is held
 * will do so again: a route by another interface than the gated ones, a packet filter of somebody else. That is a failure to be told.
 */
export function asMethodError(error: unknown, action: string, mayChangePower?: () => boolean): CodedError {
  if (error instanceof CodedError) return error;
  const isUnsent = error instanceof IpmiError && !error.wasSent;
  const isByKernel = isUnsent && error.code === "refused-by-kernel";
  if (isByKernel && mayChangePower?.() === true) {
    const why = "the kernel lets no power command out there; is BMC_INTERFACE the interface that leads to it?";
    return new CodedError(METHOD_ERROR.failed, `Cannot ${action}: ${why}`, error);
  }
  const isLease = isByKernel || (isUnsent && error.code === "refused-by-caller");
  const code = isLease ? METHOD_ERROR.lease : METHOD_ERROR.failed;
  return new CodedError(code, `Cannot ${action}`, error);
}
