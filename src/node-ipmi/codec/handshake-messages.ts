/** RMCP+ status codes (IPMI 2.0 table 13-15) that this package tells apart. */
export const rakpStatus = {
  ok: 0x00,
  noResources: 0x01,
  invalidSessionId: 0x02,
  invalidAuthentication: 0x04,
  invalidIntegrity: 0x05,
  inactiveSessionId: 0x08,
  invalidRole: 0x09,
  unauthorizedRole: 0x0a,
  noResourcesForRole: 0x0b,
  invalidNameLength: 0x0c,
  unauthorizedName: 0x0d,
  invalidCheckValue: 0x0f,
  invalidConfidentiality: 0x10,
  noMatchingSuite: 0x11,
  illegalParameter: 0x12,
} as const;

/** Random numbers and GUIDs are 16 bytes. */
export const NONCE_BYTES = 16;
/** RAKP 1, role byte: look the user up by name alone, not by name and privilege. */
export const ROLE_NAME_ONLY = 0x10;
const OPEN_REQUEST_BYTES = 32;
const OPEN_RESPONSE_BYTES = 36;
const ERROR_RESPONSE_BYTES_MIN = 2;
const RAKP1_NAME_AT = 28;
const RAKP2_CODE_AT = 40;
const RAKP_CODE_AT = 8;
/** The fixed form of RAKP 1 that some pass-through controllers insist on: the name field is always 16 bytes. */
const RAKP1_FULL_BYTES = 44;

export interface OpenSessionRequest {
  readonly tag: number;
  readonly privilege: number;
  readonly consoleId: number;
  readonly algorithms: Algorithms;
}

export interface Algorithms {
  readonly authentication: number;
  readonly integrity: number;
  readonly confidentiality: number;
}

/** A refusal of any set-up message: the fields after the status are absent or meaningless. */
export interface Refused {
  readonly kind: "refused";
  readonly tag: number;
  readonly status: number;
}

export interface OpenSessionResponse extends OpenSessionRequest {
  readonly kind: "accepted";
  readonly bmcId: number;
}

export interface Rakp1 {
  readonly tag: number;
  readonly bmcId: number;
  readonly consoleRandom: Buffer;
  readonly role: number;
  readonly user: Buffer;
}

export interface Rakp2 {
  readonly kind: "accepted";
  readonly tag: number;
  readonly consoleId: number;
  readonly bmcRandom: Buffer;
  readonly guid: Buffer;
  readonly code: Buffer;
}

export interface Rakp3 {
  readonly tag: number;
  readonly status: number;
  readonly bmcId: number;
  readonly code: Buffer;
}

export interface Rakp4 {
  readonly kind: "accepted";
  readonly tag: number;
  readonly consoleId: number;
  readonly checkValue: Buffer;
}

/** RMCP+ Open Session Request (IPMI 2.0 table 13-9). */
export function encodeOpenRequest(tag: number, privilege: number, consoleId: number, suite: Algorithms): Buffer {
  const message = Buffer.alloc(OPEN_REQUEST_BYTES);
  message[0] = tag;
  message[1] = privilege;
  message.writeUInt32LE(consoleId, 4);
  writeAlgorithms(message, 8, suite);
  return message;
}

export function decodeOpenRequest(message: Buffer): OpenSessionRequest | undefined {
  if (message.length < OPEN_REQUEST_BYTES) return;
  return {
    tag: message.readUInt8(0),
    privilege: message.readUInt8(1) & 0x0f,
    consoleId: message.readUInt32LE(4),
    algorithms: readAlgorithms(message, 8),
  };
}

/** RMCP+ Open Session Response (IPMI 2.0 table 13-10). */
export function encodeOpenResponse(request: OpenSessionRequest, bmcId: number): Buffer {
  const message = Buffer.alloc(OPEN_RESPONSE_BYTES);
  message[0] = request.tag;
  message[2] = request.privilege;
  message.writeUInt32LE(request.consoleId, 4);
  message.writeUInt32LE(bmcId, 8);
  writeAlgorithms(message, 12, request.algorithms);
  return message;
}

export function decodeOpenResponse(message: Buffer): OpenSessionResponse | Refused | undefined {
  const refused = readRefusal(message);
  if (refused) return refused;
  if (message.length < OPEN_RESPONSE_BYTES) return;
  return {
    kind: "accepted",
    tag: message.readUInt8(0),
    privilege: message.readUInt8(2) & 0x0f,
    consoleId: message.readUInt32LE(4),
    bmcId: message.readUInt32LE(8),
    algorithms: readAlgorithms(message, 12),
  };
}

/** The refusal of an open session request, of RAKP 1 or of RAKP 3. */
export function encodeRefusal(tag: number, status: number, consoleId: number): Buffer {
  return head(tag, status, consoleId);
}

/** RAKP 1 (IPMI 2.0 table 13-11). `isFullLength` sends the 44-byte form whatever the name's length. */
export function encodeRakp1(message: Rakp1, isFullLength = false): Buffer {
  const bytes = Buffer.alloc(isFullLength ? RAKP1_FULL_BYTES : RAKP1_NAME_AT + message.user.length);
  bytes[0] = message.tag;
  bytes.writeUInt32LE(message.bmcId, 4);
  message.consoleRandom.copy(bytes, 8);
  bytes[24] = message.role;
  bytes[27] = message.user.length;
  message.user.copy(bytes, RAKP1_NAME_AT);
  return bytes;
}

export function decodeRakp1(message: Buffer): Rakp1 | undefined {
  if (message.length < RAKP1_NAME_AT) return;
  const end = RAKP1_NAME_AT + message.readUInt8(27);
  if (end > message.length) return;
  return {
    tag: message.readUInt8(0),
    bmcId: message.readUInt32LE(4),
    consoleRandom: message.subarray(8, 8 + NONCE_BYTES),
    role: message.readUInt8(24),
    user: message.subarray(RAKP1_NAME_AT, end),
  };
}

/** RAKP 2 (IPMI 2.0 table 13-12). */
export function encodeRakp2(message: Omit<Rakp2, "kind">): Buffer {
  return Buffer.concat([
    head(message.tag, rakpStatus.ok, message.consoleId),
    message.bmcRandom,
    message.guid,
    message.code,
  ]);
}

export function decodeRakp2(message: Buffer): Rakp2 | Refused | undefined {
  const refused = readRefusal(message);
  if (refused) return refused;
  if (message.length < RAKP2_CODE_AT) return;
  return {
    kind: "accepted",
    tag: message.readUInt8(0),
    consoleId: message.readUInt32LE(4),
    bmcRandom: message.subarray(8, 8 + NONCE_BYTES),
    guid: message.subarray(24, RAKP2_CODE_AT),
    code: message.subarray(RAKP2_CODE_AT),
  };
}

/** RAKP 3 (IPMI 2.0 table 13-13). With a status other than 0 it tells the BMC to forget the session; no code follows. */
export function encodeRakp3(message: Rakp3): Buffer {
  return Buffer.concat([head(message.tag, message.status, message.bmcId), message.code]);
}

export function decodeRakp3(message: Buffer): Rakp3 | undefined {
  if (message.length < RAKP_CODE_AT) return;
  return {
    tag: message.readUInt8(0),
    status: message.readUInt8(1),
    bmcId: message.readUInt32LE(4),
    code: message.subarray(RAKP_CODE_AT),
  };
}

/** RAKP 4 (IPMI 2.0 table 13-14). */
export function encodeRakp4(tag: number, consoleId: number, checkValue: Buffer): Buffer {
  return Buffer.concat([head(tag, rakpStatus.ok, consoleId), checkValue]);
}

export function decodeRakp4(message: Buffer): Rakp4 | Refused | undefined {
  const refused = readRefusal(message);
  if (refused) return refused;
  if (message.length < RAKP_CODE_AT) return;
  return {
    kind: "accepted",
    tag: message.readUInt8(0),
    consoleId: message.readUInt32LE(4),
    checkValue: message.subarray(RAKP_CODE_AT),
  };
}

/** What answers and RAKP 3 begin with: tag, status, 2 reserved, the receiver's session id. */
function head(tag: number, status: number, receiverId: number): Buffer {
  const bytes = Buffer.alloc(RAKP_CODE_AT);
  bytes[0] = tag;
  bytes[1] = status;
  bytes.writeUInt32LE(receiverId, 4);
  return bytes;
}

function readRefusal(message: Buffer): Refused | undefined {
  if (message.length < ERROR_RESPONSE_BYTES_MIN) return;
  const status = message.readUInt8(1);
  return status === rakpStatus.ok ? undefined : { kind: "refused", tag: message.readUInt8(0), status };
}

/** Three blocks of eight bytes: payload type, 2 reserved, length 8, algorithm, 3 reserved. */
function writeAlgorithms(message: Buffer, at: number, algorithms: Algorithms): void {
  const blocks = [algorithms.authentication, algorithms.integrity, algorithms.confidentiality];
  for (const [index, algorithm] of blocks.entries()) {
    message[at + 8 * index] = index;
    message[at + 8 * index + 3] = 8;
    message[at + 8 * index + 4] = algorithm;
  }
}

function readAlgorithms(message: Buffer, at: number): Algorithms {
  return {
    authentication: message.readUInt8(at + 4) & 0x3f,
    integrity: message.readUInt8(at + 12) & 0x3f,
    confidentiality: message.readUInt8(at + 20) & 0x3f,
  };
}
