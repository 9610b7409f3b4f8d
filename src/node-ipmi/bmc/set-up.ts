import { randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { privilegeLevel } from "../codec/commands.ts";
import {
  decodeOpenRequest,
  decodeRakp1,
  decodeRakp3,
  encodeOpenResponse,
  encodeRakp2,
  encodeRakp4,
  encodeRefusal,
  NONCE_BYTES,
  type OpenSessionRequest,
  type Rakp1,
  rakpStatus,
} from "../codec/handshake-messages.ts";
import {
  rakp2Code,
  rakp3Code,
  rakp4CheckValue,
  sessionIntegrityKey,
  sessionKeys,
  USER_BYTES_MAX,
} from "../codec/keys.ts";
import { encodePlain, type PlusPacket, payloadType } from "../codec/packet.ts";
import { suiteOf } from "../codec/suites.ts";
import type { BmcSession } from "./session-table.ts";
import { type BmcState, guidOf } from "./state.ts";

const RAKP1_FULL_BYTES = 44;
const PRIVILEGE_HIGHEST = 5;

/** The BMC's side of Open Session and RAKP 1 to 4. */
export class SetUp {
  readonly #state: BmcState;
  #hasSentRakp2 = false;

  constructor(state: BmcState) {
    this.#state = state;
  }

  /** The answer to a set-up packet; undefined for what deserves none. */
  answer(packet: PlusPacket): Buffer | undefined {
    switch (packet.type) {
      case payloadType.openSessionRequest:
        return this.#open(packet.payload);
      case payloadType.rakp1:
        return this.#rakp1(packet.payload);
      case payloadType.rakp3:
        return this.#rakp3(packet.payload);
      default:
        return undefined;
    }
  }

  #open(payload: Buffer): Buffer | undefined {
    const request = decodeOpenRequest(payload);
    if (!request) return;
    const { faults, sessions, flaws } = this.#state;
    const suite = this.#suiteFor(request);
    const refuse = (status: number) =>
      encodePlain(payloadType.openSessionResponse, encodeRefusal(request.tag, status, request.consoleId));
    const asksSuiteZero = Object.values(request.algorithms).every((algorithm) => algorithm === 0);
    if (asksSuiteZero && flaws.acceptsSuiteZero) {
      return encodePlain(payloadType.openSessionResponse, encodeOpenResponse(request, randomInt(1, 2 ** 32)));
    }
    if (!suite) return refuse(flaws.disabledSuiteStatus ?? rakpStatus.noMatchingSuite);
    const session = faults.has("slots-full")
      ? undefined
      : sessions.open(request.consoleId, suite, request.privilege, performance.now());
    if (!session) return refuse(rakpStatus.noResources);
    // Who asks for "the highest" is told what that is on this channel: FreeIPMI does and gives up on a 0.
    const privilege = request.privilege === 0 ? privilegeLevel.administrator : request.privilege;
    return encodePlain(payloadType.openSessionResponse, encodeOpenResponse({ ...request, privilege }, session.bmcId));
  }

  #suiteFor(request: OpenSessionRequest) {
    const { algorithms } = request;
    return this.#state.suites
      .map(suiteOf)
      .find(
        (suite) =>
          suite.authentication === algorithms.authentication &&
          suite.integrity === algorithms.integrity &&
          suite.confidentiality === algorithms.confidentiality,
      );
  }

  #rakp1(payload: Buffer): Buffer | undefined {
    const { flaws, sessions } = this.#state;
    const message = decodeRakp1(payload);
    if (!message || (flaws.wantsFullLengthRakp1 && payload.length !== RAKP1_FULL_BYTES)) return;
    const session = sessions.find(message.bmcId, performance.now());
    if (!session || session.exchange) {
      return encodePlain(payloadType.rakp2, encodeRefusal(message.tag, rakpStatus.invalidSessionId, 0));
    }
    const refusal = this.#admit(session, message);
    if (refusal !== rakpStatus.ok || !session.exchange || !session.userKey) {
      sessions.close(session);
      return encodePlain(payloadType.rakp2, encodeRefusal(message.tag, refusal, session.consoleId));
    }
    const { exchange, consoleId } = session;
    let code = rakp2Code(session.suite, session.userKey, exchange);
    if (flaws.firstRakp2Wrong && !this.#hasSentRakp2) code = randomBytes(code.length);
    if (flaws.rakp2OneByteLong) code = Buffer.concat([code, Buffer.alloc(1)]);
    this.#hasSentRakp2 = true;
    const { bmcRandom, guid } = exchange;
    return encodePlain(payloadType.rakp2, encodeRakp2({ tag: message.tag, consoleId, bmcRandom, guid, code }));
  }

  /** Looks the user up and fills in what the MACs need, or returns why not. */
  #admit(session: BmcSession, message: Rakp1): number {
    const { users, flaws, faults } = this.#state;
    const user = users.find(({ name }) => (flaws.paddedUserName ? padded(name) : name).equals(message.user));
    if (!user) return rakpStatus.unauthorizedName;
    const wanted = message.role & 0x0f;
    if (wanted > user.privilege) return rakpStatus.unauthorizedRole;
    const most = session.askedPrivilege === 0 ? PRIVILEGE_HIGHEST : session.askedPrivilege;
    session.privilegeLimit = Math.min(user.privilege, most, wanted === 0 ? PRIVILEGE_HIGHEST : wanted);
    session.userKey = faults.has("wrong-password") ? randomBytes(user.key.length) : user.key;
    session.exchange = {
      consoleId: session.consoleId,
      bmcId: session.bmcId,
      consoleRandom: Buffer.from(message.consoleRandom),
      bmcRandom: randomBytes(NONCE_BYTES),
      guid: guidOf(this.#state),
      role: message.role,
      user: Buffer.from(message.user),
    };
    return rakpStatus.ok;
  }

  #rakp3(payload: Buffer): Buffer | undefined {
    const { sessions, flaws, bmcKey } = this.#state;
    const message = decodeRakp3(payload);
    const session = message && sessions.find(message.bmcId, performance.now());
    if (!message || !session) return;
    const { exchange, userKey, suite, consoleId } = session;
    // A status other than 0 tells us to forget the session; a second RAKP 3 has no place in the protocol.
    if (message.status !== rakpStatus.ok || !exchange || !userKey || session.keys) {
      if (!session.keys) sessions.close(session);
      return;
    }
    const expected = rakp3Code(suite, userKey, exchange);
    if (message.code.length !== expected.length || !timingSafeEqual(message.code, expected)) {
      sessions.close(session);
      return encodePlain(payloadType.rakp4, encodeRefusal(message.tag, rakpStatus.invalidCheckValue, consoleId));
    }
    const sik = sessionIntegrityKey(suite, bmcKey ?? userKey, exchange);
    session.keys = sessionKeys(suite, sik);
    const full = rakp4CheckValue(suite, sik, exchange);
    const checkValue = flaws.rakp4FullLength ? full : full.subarray(0, suite.checkValueBytes);
    return encodePlain(payloadType.rakp4, encodeRakp4(message.tag, consoleId, checkValue));
  }
}

function padded(name: Buffer): Buffer {
  return Buffer.concat([name, Buffer.alloc(USER_BYTES_MAX - name.length)]);
}
