import {
  appCommand,
  type ChassisStatus,
  changesPower,
  chassisCommand,
  completionCode,
  type DeviceId,
  decodeChassisStatus,
  decodeDeviceId,
  netFn,
  type PowerAction,
  powerAction,
} from "./codec/commands.ts";
import { decodeMessage, encodeMessage, REQUEST_SEQUENCE_MASK } from "./codec/message.ts";
import { encodeSealed, type Packet, payloadType, unseal } from "./codec/packet.ts";
import { SequenceWindow } from "./codec/sequence-window.ts";
import type { SuiteId } from "./codec/suites.ts";
import { Deadline, type TimeLimit } from "./deadline.ts";
import { completionError, IpmiError, isWorthRetrying } from "./errors.ts";
import type { Agreed, HandshakeOptions } from "./handshake.ts";
import type { UdpLink } from "./udp-link.ts";

/** A command is over after this time. The first repetition of a lost one comes after `answerTimeoutMs`. */
export const COMMAND_DEADLINE_MS = 2_000;
/** An honest BMC answers Close Session at once; its answer tells nothing, so this is how long politeness lasts. */
const CLOSE_WAIT_MS = 100;
/** "Busy" is asked again after this time, doubled each time up to the limit. */
const BUSY_PAUSE_MS = 20;
const BUSY_PAUSE_MS_MAX = 500;
/** One request is on its way at a time: BMCs mix up more than one. Whoever queues more than this has a fault. */
const WAITING_MAX = 32;

/** An open RMCP+ session. Made by `openSession`. Requests queue: one is on its way at a time. */
export class Session {
  /** The managed system's GUID as RAKP 2 carried it. See `guidReadings` for its byte orders. */
  readonly guid: Buffer;
  /** The cipher suite that worked: worth remembering for this BMC. */
  readonly suite: SuiteId;
  readonly localPort: number;

  readonly #link: UdpLink;
  readonly #agreed: Agreed;
  readonly #options: HandshakeOptions;
  readonly #window = new SequenceWindow();
  #sequence = 0;
  #requestSequence = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #lastRequestAt = Number.NEGATIVE_INFINITY;
  #hasChangedPower = false;
  #isClosed = false;

  constructor(link: UdpLink, agreed: Agreed, options: HandshakeOptions) {
    this.#link = link;
    this.#agreed = agreed;
    this.#options = options;
    this.guid = agreed.guid;
    this.suite = agreed.keys.suite.id;
    this.localPort = link.localPort;
  }

  /** Get Chassis Status (IPMI 2.0 §28.2). */
  async chassisStatus(limit: TimeLimit = {}): Promise<ChassisStatus> {
    const data = await this.request("read the chassis status", netFn.chassis, chassisCommand.getStatus, [], limit);
    return decoded("the chassis status", decodeChassisStatus(data));
  }

  /**
   * Chassis Control (IPMI 2.0 §28.3). That it resolves means that the BMC has taken the command, not that the power has
   * changed: read the status. When it rejects, `wasSent` says whether it may have been carried out all the same.
   */
  async power(action: PowerAction, limit: TimeLimit = {}): Promise<void> {
    await this.request(`power ${action}`, netFn.chassis, chassisCommand.control, [powerAction[action]], limit);
  }

  /** Get System GUID (IPMI 2.0 §22.14), 16 bytes as received. See `guidReadings` for their order. */
  async systemGuid(limit: TimeLimit = {}): Promise<Buffer> {
    const data = await this.request("read the system GUID", netFn.app, appCommand.getSystemGuid, [], limit);
    return decoded("the system GUID", data.length >= 16 ? Buffer.from(data.subarray(0, 16)) : undefined);
  }

  /** Get Device ID (IPMI 2.0 §20.1). */
  async deviceId(limit: TimeLimit = {}): Promise<DeviceId> {
    const data = await this.request("read the device id", netFn.app, appCommand.getDeviceId, [], limit);
    return decoded("the device id", decodeDeviceId(data));
  }

  /** Get Session Info (IPMI 2.0 §22.20) of this session: how many slots the BMC has and how many are taken. */
  async sessionSlots(limit: TimeLimit = {}): Promise<{ readonly possible: number; readonly active: number }> {
    const data = await this.request("read the session info", netFn.app, appCommand.getSessionInfo, [0x00], limit);
    const [, possible = 0, active = 0] = decoded("the session info", data.length >= 3 ? data : undefined);
    return { possible: possible & 0x3f, active: active & 0x3f };
  }

  /** Set Session Privilege Level (IPMI 2.0 §22.18). `openSession` has done it already. */
  async setPrivilege(level: number, limit: TimeLimit = {}): Promise<void> {
    try {
      await this.request("set the session privilege", netFn.app, appCommand.setSessionPrivilege, [level], limit);
    } catch (error) {
      const isRefusal = error instanceof IpmiError && error.completionCode !== undefined && error.code !== "busy";
      if (isRefusal && this.#options.quirks.ignorePrivilegeRefusal) return;
      // 80h to 82h are this command's own codes: level not available, over the user's limit, cannot be disabled.
      const isPrivilege = isRefusal && [0x80, 0x81, 0x82].includes(error.completionCode ?? 0);
      if (isPrivilege) throw new IpmiError("privilege", error.message, { completionCode: error.completionCode ?? 0 });
      throw error;
    }
  }

  /**
   * Any command. `action` goes into error messages: "power off". Resolves with the data after the completion code.
   * Commands that change power go through `beforeSend` here too: there is no way around it.
   */
  async request(
    action: string,
    fn: number,
    command: number,
    data: readonly number[],
    limit: TimeLimit = {},
  ): Promise<Buffer> {
    if (this.#isClosed) throw new IpmiError("closed", `Cannot ${action}: the session is closed`);
    if (this.#waiting >= WAITING_MAX) {
      throw new IpmiError("too-many-waiting", `Cannot ${action}: ${WAITING_MAX} requests wait already`);
    }
    const deadline = new Deadline(limit, COMMAND_DEADLINE_MS);
    const work: Work = { action, fn, command, data: Buffer.from(data), deadline, powerDatagrams: 0 };
    this.#waiting++;
    const result = this.#queue.then(() => this.#perform(work)).finally(() => this.#waiting--);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /**
   * Close Session (IPMI 2.0 §22.19), then the socket. Never fails: a BMC frees an abandoned session by itself after a
   * minute. After a power command, and where the firmware is known not to answer, it does not wait for the answer.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const deadline = new Deadline({}, CLOSE_WAIT_MS);
    const bmcId = Buffer.alloc(4);
    bmcId.writeUInt32LE(this.#agreed.bmcId);
    const work: Work = {
      action: "close the session",
      fn: netFn.app,
      command: appCommand.closeSession,
      data: bmcId,
      deadline,
      powerDatagrams: 0,
    };
    if (this.#hasChangedPower || this.#options.quirks.noCloseAnswer) this.#transmit(work, this.#nextRequestSequence());
    else await this.#send(work, this.#nextRequestSequence(), CLOSE_WAIT_MS).catch(() => undefined);
    this.#link.close();
  }

  /** One request from queue to answer: repeats what is lost, asks again what is busy, until its deadline. */
  async #perform(work: Work): Promise<Buffer> {
    await this.#pace(work.deadline);
    let busyPauseMs = BUSY_PAUSE_MS;
    let lastCode: number | undefined;
    for (;;) {
      const answer = await this.#ask(work);
      if (answer === undefined) break;
      const code = answer[0] ?? completionCode.ok;
      if (code === completionCode.ok) return answer.subarray(1);
      lastCode = code;
      if (!isWorthRetrying(code)) break;
      await work.deadline.wait<never>(busyPauseMs, () => () => undefined);
      if (work.deadline.remainingMs() === 0) break;
      busyPauseMs = Math.min(busyPauseMs * 2, BUSY_PAUSE_MS_MAX);
    }
    if (lastCode !== undefined) throw completionError(work.action, lastCode, work.powerDatagrams > 0);
    throw new IpmiError(
      "no-answer",
      `Cannot ${work.action}: ${this.#options.link.address} did not answer within ${work.deadline.limitMs} ms`,
      { wasSent: work.powerDatagrams > 0 },
    );
  }

  /**
   * Sends under one rqSeq until an answer comes; undefined when the deadline comes first. A repetition keeps the rqSeq,
   * so that the BMC can tell that it is one, and takes a new session sequence number, so that the BMC accepts it.
   */
  async #ask(work: Work): Promise<Buffer | undefined> {
    const requestSequence = this.#nextRequestSequence();
    let timeoutMs = this.#options.answerTimeoutMs;
    while (work.deadline.remainingMs() > 0) {
      const answer = await this.#send(work, requestSequence, timeoutMs);
      if (answer) return answer;
      timeoutMs *= 2;
    }
    return undefined;
  }

  async #send(work: Work, requestSequence: number, timeoutMs: number): Promise<Buffer | undefined> {
    try {
      return await work.deadline.wait<Buffer>(timeoutMs, (resolve, reject) => {
        const stop = this.#link.listen((packet) => {
          const answer = this.#answerIn(packet, work, requestSequence);
          if (answer) resolve(answer);
        }, reject);
        try {
          this.#transmit(work, requestSequence);
        } catch (error) {
          stop();
          throw error;
        }
        return stop;
      });
    } catch (error) {
      if (!(error instanceof IpmiError) || error.wasSent) throw error;
      // Of several datagrams the kernel refused one; an earlier one may have left.
      const leftAtLeast = work.powerDatagrams - (error.code === "refused-by-kernel" ? 1 : 0);
      throw new IpmiError(error.code, error.message, { wasSent: leftAtLeast > 0, cause: error });
    }
  }

  #transmit(work: Work, requestSequence: number): void {
    const isPowerChange = changesPower(work.fn, work.command);
    if (isPowerChange && this.#options.beforeSend && !this.#options.beforeSend()) {
      throw new IpmiError("refused-by-caller", `Cannot ${work.action}: the caller's guard said no`, {
        wasSent: work.powerDatagrams > 0,
      });
    }
    const message = encodeMessage({ netFn: work.fn, command: work.command, requestSequence, data: work.data });
    // 0 is not a sequence number of a session; the counter wraps past it.
    this.#sequence = this.#sequence === 0xffff_ffff ? 1 : this.#sequence + 1;
    const { keys, bmcId } = this.#agreed;
    this.#link.send(encodeSealed(keys, payloadType.ipmi, bmcId, this.#sequence, message));
    this.#lastRequestAt = performance.now();
    if (isPowerChange) {
      work.powerDatagrams++;
      this.#hasChangedPower = true;
    }
  }

  /** The completion code and data, when this packet is the answer that is waited for. */
  #answerIn(packet: Packet, work: Work, requestSequence: number): Buffer | undefined {
    if (packet.kind !== "plus" || packet.type !== payloadType.ipmi) return;
    const { quirks } = this.#options;
    const isOurs =
      packet.sessionId === this.#agreed.consoleId || (packet.sessionId === 0 && quirks.zeroSessionIdInAnswers === true);
    if (!isOurs) return;
    const payload = unseal(this.#agreed.keys, packet);
    if (!payload || !this.#window.accept(packet.sequence)) return;
    const message = decodeMessage(payload);
    if (!message || !(message.areChecksumsRight || quirks.ignoreChecksums)) return;
    const isAnswer =
      message.netFn === work.fn + 1 && message.command === work.command && message.requestSequence === requestSequence;
    // "Duplicate" answers our repetition while the first is still being worked on: the real answer is to come.
    if (!isAnswer || message.data.length === 0 || message.data[0] === completionCode.duplicate) return;
    return message.data;
  }

  #nextRequestSequence(): number {
    this.#requestSequence = (this.#requestSequence + 1) & REQUEST_SEQUENCE_MASK;
    return this.#requestSequence;
  }

  async #pace(deadline: Deadline): Promise<void> {
    const waitMs = this.#lastRequestAt + (this.#options.quirks.pacingMs ?? 0) - performance.now();
    if (waitMs > 0) await deadline.wait<never>(waitMs, () => () => undefined);
  }
}

interface Work {
  readonly action: string;
  readonly fn: number;
  readonly command: number;
  readonly data: Buffer;
  readonly deadline: Deadline;
  /** How many datagrams that can change power were handed to the kernel. */
  powerDatagrams: number;
}

function decoded<T>(what: string, value: T | undefined): T {
  if (value === undefined) throw new IpmiError("bad-answer", `Cannot read ${what}: the answer is too short`);
  return value;
}
