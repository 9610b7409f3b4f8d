import { randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { appCommand, netFn } from "./codec/commands.ts";
import {
  decodeOpenResponse,
  decodeRakp2,
  decodeRakp4,
  encodeOpenRequest,
  encodeRakp1,
  encodeRakp3,
  NONCE_BYTES,
  type Refused,
  ROLE_NAME_ONLY,
  rakpStatus,
} from "./codec/handshake-messages.ts";
import {
  type Exchange,
  rakp2Code,
  rakp3Code,
  rakp4CheckValue,
  type SessionKeys,
  sessionIntegrityKey,
  sessionKeys,
} from "./codec/keys.ts";
import { decodeMessage, encodeMessage } from "./codec/message.ts";
import { encodeOutside, encodePlain, type Packet, payloadType } from "./codec/packet.ts";
import type { Suite } from "./codec/suites.ts";
import type { Deadline } from "./deadline.ts";
import { IpmiError, statusError } from "./errors.ts";
import type { Quirks } from "./quirks.ts";
import type { LinkOptions, UdpLink } from "./udp-link.ts";

/** Channel number "the one this came in on", with the bit that asks for IPMI 2.0 data. */
const THIS_CHANNEL_V2 = 0x0e | 0x80;

/** The options of a session after they were checked, with the suite of this attempt. */
export interface HandshakeOptions {
  readonly link: LinkOptions;
  readonly user: Buffer;
  readonly userKey: Buffer;
  readonly bmcKey: Buffer;
  readonly privilege: number;
  readonly suite: Suite;
  readonly quirks: Quirks;
  /** Whether Get Channel Authentication Capabilities comes first. */
  readonly asksCapabilities: boolean;
  readonly beforeSend: (() => boolean) | undefined;
  readonly answerTimeoutMs: number;
}

/** What a handshake yields. */
export interface Agreed {
  readonly keys: SessionKeys;
  readonly consoleId: number;
  readonly bmcId: number;
  /** The managed system's GUID as RAKP 2 carried it: authenticated by the password. */
  readonly guid: Buffer;
}

/** One handshake from end to end on a fresh link. Each message waits at most `timeoutMs`, none is sent twice. */
export async function shakeHands(
  link: UdpLink,
  options: HandshakeOptions,
  deadline: Deadline,
  timeoutMs: number,
): Promise<Agreed> {
  const { suite, quirks } = options;
  const consoleId = randomInt(1, 2 ** 32);
  const ask = <T extends { readonly tag: number }>(
    step: string,
    tag: number,
    datagram: Buffer,
    type: number,
    decode: Decode<T>,
  ) => exchange(link, options, deadline, timeoutMs, step, tag, datagram, type, decode);

  // A hint only: its flags are wrong on several boards, and a BMC that ignores it may still open a session.
  if (options.asksCapabilities) await askCapabilities(link, options.privilege, deadline, timeoutMs);

  const openTag = randomInt(256);
  const opened = await ask(
    "Open Session",
    openTag,
    encodePlain(payloadType.openSessionRequest, encodeOpenRequest(openTag, options.privilege, consoleId, suite)),
    payloadType.openSessionResponse,
    (bytes) => matching(decodeOpenResponse(bytes), consoleId),
  );
  const { algorithms } = opened;
  if (
    algorithms.authentication !== suite.authentication ||
    algorithms.integrity !== suite.integrity ||
    algorithms.confidentiality !== suite.confidentiality
  ) {
    throw new IpmiError("bad-answer", `Cannot open a session: suite ${suite.id} was asked for, the BMC chose another`);
  }

  const consoleRandom = randomBytes(NONCE_BYTES);
  const role = options.privilege | (quirks.nameAndPrivilegeLookup ? 0 : ROLE_NAME_ONLY);
  const rakp1Tag = randomInt(256);
  const rakp1 = { tag: rakp1Tag, bmcId: opened.bmcId, consoleRandom, role, user: options.user };
  const rakp2 = await ask(
    "RAKP 1",
    rakp1Tag,
    encodePlain(payloadType.rakp1, encodeRakp1(rakp1, quirks.fullLengthRakp1)),
    payloadType.rakp2,
    (bytes) => matching(decodeRakp2(bytes), consoleId),
  );
  const common: Exchange = {
    consoleId,
    bmcId: opened.bmcId,
    consoleRandom,
    bmcRandom: rakp2.bmcRandom,
    guid: rakp2.guid,
    role,
    user: options.user,
  };
  const rakp3Tag = randomInt(256);
  const rakp3 = (status: number, code: Buffer) =>
    encodePlain(payloadType.rakp3, encodeRakp3({ tag: rakp3Tag, status, bmcId: opened.bmcId, code }));

  const expected2 = rakp2Code(suite, options.userKey, common);
  if (!isSame(received2(rakp2.code, suite, quirks), expected2)) {
    link.send(rakp3(rakpStatus.invalidCheckValue, Buffer.alloc(0)));
    throw new IpmiError(
      "bad-credentials",
      `Cannot open a session with ${options.link.address}: the password is not the one that the BMC has (RAKP 2)`,
    );
  }

  const rakp4 = await ask(
    "RAKP 3",
    rakp3Tag,
    rakp3(rakpStatus.ok, rakp3Code(suite, options.userKey, common)),
    payloadType.rakp4,
    (bytes) => matching(decodeRakp4(bytes), consoleId),
  );
  const sik = sessionIntegrityKey(suite, options.bmcKey, common);
  const full4 = rakp4CheckValue(suite, sik, common);
  const isFull = quirks.rakp4FullLength && rakp4.checkValue.length === suite.hashBytes;
  if (!isSame(rakp4.checkValue, isFull ? full4 : full4.subarray(0, suite.checkValueBytes))) {
    throw new IpmiError(
      "bad-answer",
      `Cannot open a session with ${options.link.address}: RAKP 4 does not verify (is a BMC key K_g set there?)`,
    );
  }
  return { keys: sessionKeys(suite, sik), consoleId, bmcId: opened.bmcId, guid: Buffer.from(rakp2.guid) };
}

type Decode<T> = (payload: Buffer) => T | Refused | undefined;

/** Sends once and waits for the answer with the same tag. A refusal becomes an error. */
async function exchange<T extends { readonly tag: number }>(
  link: UdpLink,
  options: HandshakeOptions,
  deadline: Deadline,
  timeoutMs: number,
  step: string,
  tag: number,
  datagram: Buffer,
  type: number,
  decode: Decode<T>,
): Promise<T> {
  const answer = await deadline.wait<T | Refused>(timeoutMs, (resolve, reject) => {
    const stop = link.listen((packet) => {
      if (packet.kind !== "plus" || packet.type !== type || packet.isEncrypted) return;
      const decoded = decode(packet.payload);
      if (decoded?.tag === tag) resolve(decoded);
    }, reject);
    link.send(datagram);
    return stop;
  });
  if (answer === undefined) {
    throw new IpmiError("no-answer", `Cannot open a session with ${options.link.address}: no answer to ${step}`);
  }
  if (isRefusal(answer)) throw statusError(step, answer.status);
  return answer;
}

function isRefusal(answer: object): answer is Refused {
  return "kind" in answer && answer.kind === "refused";
}

/** Drops answers to somebody else's session. A refusal need not carry the id. */
function matching<T extends { readonly consoleId: number; readonly tag: number }>(
  decoded: T | Refused | undefined,
  consoleId: number,
): T | Refused | undefined {
  if (decoded === undefined || isRefusal(decoded)) return decoded;
  return decoded.consoleId === consoleId ? decoded : undefined;
}

/** The key exchange code of RAKP 2, less the byte too many that some firmware sends. */
function received2(code: Buffer, suite: Suite, quirks: Quirks): Buffer {
  return quirks.rakp2OneByteLong && code.length === suite.hashBytes + 1 ? code.subarray(0, -1) : code;
}

function isSame(received: Buffer, expected: Buffer): boolean {
  return received.length === expected.length && timingSafeEqual(received, expected);
}

async function askCapabilities(link: UdpLink, privilege: number, deadline: Deadline, timeoutMs: number): Promise<void> {
  const request = encodeMessage({
    netFn: netFn.app,
    command: appCommand.getChannelAuthCapabilities,
    requestSequence: 0,
    data: Buffer.from([THIS_CHANNEL_V2, privilege]),
  });
  await deadline.wait<true>(timeoutMs, (resolve, reject) => {
    const stop = link.listen((packet) => {
      if (isCapabilitiesAnswer(packet)) resolve(true);
    }, reject);
    link.send(encodeOutside(request));
    return stop;
  });
}

function isCapabilitiesAnswer(packet: Packet): boolean {
  if (packet.kind !== "outside") return false;
  const message = decodeMessage(packet.payload);
  return message?.netFn === netFn.app + 1 && message.command === appCommand.getChannelAuthCapabilities;
}
