import {
  appCommand,
  chassisCommand,
  completionCode,
  encodeChassisStatus,
  netFn,
  type PowerAction,
  privilegeLevel,
} from "../codec/commands.ts";
import type { Message } from "../codec/message.ts";
import { type SuiteId, suiteOf } from "../codec/suites.ts";
import type { BmcSession } from "./session-table.ts";
import { type BmcState, guidOf } from "./state.ts";

const CHANNEL = 1;
/** A repetition is answered from memory for this long; rqSeq comes round again after 64 requests. */
const REPETITION_MS = 5_000;
const UNSPECIFIED_ERROR = 0xff;
const PRIVILEGE_OVER_LIMIT = 0x81;
/** Cipher suite records come in pieces of 16 bytes (IPMI 2.0 §22.15). */
const RECORD_PIECE_BYTES = 16;
const RESTORE_POLICIES = ["off", "previous", "on"] as const;
/** Get Device ID: no SDRs, firmware 1.00, IPMI 2.0, chassis device, no manufacturer. */
const DEVICE_ID = Buffer.from([0x20, 0x01, 0x01, 0x00, 0x02, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00]);

/** What the BMC answers to IPMI messages, before and in a session: completion code and data. */
export class Responder {
  readonly #state: BmcState;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(state: BmcState) {
    this.#state = state;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Commands that are allowed without a session. Others get no answer at all. */
  answerOutside(request: Message): Buffer | undefined {
    if (request.netFn !== netFn.app) return;
    switch (request.command) {
      case appCommand.getChannelAuthCapabilities:
        return this.#state.flaws.ignoresAuthCapabilities ? undefined : ok(this.#capabilities());
      case appCommand.getCipherSuites:
        return ok(this.#cipherSuites(request.data));
      case appCommand.getSystemGuid:
        return ok(guidOf(this.#state));
      default:
        return undefined;
    }
  }

  /** A repetition gets the remembered answer: it is never carried out twice. */
  async answerInside(session: BmcSession, request: Message): Promise<Buffer | undefined> {
    const key = `${request.requestSequence}/${request.netFn}/${request.command}`;
    const now = performance.now();
    if (session.last?.key === key && now - session.last.at < REPETITION_MS) {
      if (session.last.answer) return session.last.answer;
      return this.#state.flaws.answersDuplicates ? Buffer.from([completionCode.duplicate]) : undefined;
    }
    const last: { key: string; at: number; answer?: Buffer } = { key, at: now };
    session.last = last;
    const answer = await this.#carryOut(session, request);
    if (answer) last.answer = answer;
    return answer;
  }

  async #carryOut(session: BmcSession, request: Message): Promise<Buffer | undefined> {
    const isClose = request.netFn === netFn.app && request.command === appCommand.closeSession;
    if (!isClose && this.#state.faults.takeBusy()) return code(completionCode.busy);
    if (request.netFn === netFn.app) return this.#app(session, request);
    if (request.netFn !== netFn.chassis) return code(completionCode.invalidCommand);
    try {
      return await this.#chassis(session, request);
    } catch {
      // The power port failed: the answer says that the BMC could not, as a real one's would.
      return code(UNSPECIFIED_ERROR);
    }
  }

  #app(session: BmcSession, request: Message): Buffer | undefined {
    const { sessions, flaws } = this.#state;
    switch (request.command) {
      case appCommand.getDeviceId:
        return ok(DEVICE_ID);
      case appCommand.getDeviceGuid:
      case appCommand.getSystemGuid:
        return ok(guidOf(this.#state));
      case appCommand.getChannelAuthCapabilities:
        return ok(this.#capabilities());
      case appCommand.getCipherSuites:
        return ok(this.#cipherSuites(request.data));
      case appCommand.getSessionInfo:
        return ok(Buffer.from([0x01, sessions.slots, sessions.size, 0x01, session.privilege, CHANNEL]));
      case appCommand.setSessionPrivilege:
        return this.#setPrivilege(session, request.data);
      case appCommand.closeSession:
        sessions.close(session);
        return flaws.noCloseAnswer ? undefined : code(completionCode.ok);
      default:
        return code(completionCode.invalidCommand);
    }
  }

  #setPrivilege(session: BmcSession, data: Buffer): Buffer {
    const level = (data[0] ?? 0) & 0x0f;
    if (this.#state.flaws.refusesPrivilege) {
      session.privilege = session.privilegeLimit;
      return code(completionCode.privilege);
    }
    if (level > session.privilegeLimit) return code(PRIVILEGE_OVER_LIMIT);
    if (level !== 0) session.privilege = level;
    return ok(Buffer.from([session.privilege]));
  }

  async #chassis(session: BmcSession, request: Message): Promise<Buffer> {
    const { chassis, faults } = this.#state;
    switch (request.command) {
      case chassisCommand.getCapabilities:
        return ok(Buffer.from([0x00, 0x20, 0x20, 0x20, 0x20]));
      case chassisCommand.getStatus:
        return ok(encodeChassisStatus(await chassis.status(faults.isLying(performance.now()))));
      case chassisCommand.getRestartCause:
        return ok(Buffer.from([0x01, CHANNEL]));
      case chassisCommand.control:
        if (session.privilege < privilegeLevel.operator) return code(completionCode.privilege);
        return code(await this.#control(request.data[0]));
      case chassisCommand.setRestorePolicy: {
        if (session.privilege < privilegeLevel.operator) return code(completionCode.privilege);
        const policy = RESTORE_POLICIES[(request.data[0] ?? 3) & 0x07];
        if (policy) chassis.restorePolicy = policy;
        return ok(Buffer.from([0x07]));
      }
      default:
        return code(completionCode.invalidCommand);
    }
  }

  /** The completion code of Chassis Control. Off is answered when the host is off. */
  async #control(control: number | undefined): Promise<number> {
    const { faults, chassis, flaws } = this.#state;
    const refusal = faults.get("refuses");
    if (refusal) return refusal.value ?? completionCode.notInThisState;
    const actions = actionsOf(control);
    if (!actions) return completionCode.invalidField;
    if (flaws.refusesOffWhenOff && control !== 0x01 && !(await chassis.isOn())) return completionCode.notInThisState;
    for (const action of actions) await chassis.change(action);
    const onAgain = faults.get("off-then-on");
    if (onAgain && actions.at(-1) === "off") this.#turnOnAfter(onAgain.value);
    return completionCode.ok;
  }

  #turnOnAfter(delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#state.chassis.change("on").catch(() => undefined);
    }, delayMs);
    this.#timers.add(timer);
  }

  /** IPMI 2.0 table 22-15: only RMCP+, named users, no K_g shown. */
  #capabilities(): Buffer {
    const hasBmcKey = this.#state.bmcKey ? 0x20 : 0x00;
    return Buffer.from([CHANNEL, 0x80, hasBmcKey | 0x04, 0x02, 0x00, 0x00, 0x00, 0x00]);
  }

  /** Records: start byte C0h, suite, then the algorithms with their kind in the top two bits. */
  #cipherSuites(request: Buffer): Buffer {
    const listed = new Set<SuiteId>([...this.#state.suites, ...(this.#state.flaws.listsAlso ?? [])]);
    const records = [...listed]
      .map(suiteOf)
      .flatMap((suite) => [0xc0, suite.id, suite.authentication, 0x40 | suite.integrity, 0x80 | suite.confidentiality]);
    const from = ((request[2] ?? 0) & 0x3f) * RECORD_PIECE_BYTES;
    return Buffer.from([CHANNEL, ...records.slice(from, from + RECORD_PIECE_BYTES)]);
  }
}

/** What Chassis Control asks for: off, on, cycle, reset, soft off. Undefined for the diagnostic interrupt. */
function actionsOf(control: number | undefined): readonly PowerAction[] | undefined {
  switch (control) {
    case 0x00:
    case 0x05:
      return ["off"];
    case 0x01:
      return ["on"];
    case 0x02:
      return ["off", "on"];
    case 0x03:
      return ["reset"];
    default:
      return undefined;
  }
}

function ok(data: Buffer): Buffer {
  return Buffer.concat([code(completionCode.ok), data]);
}

function code(value: number): Buffer {
  return Buffer.from([value]);
}
