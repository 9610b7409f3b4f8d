/** The cipher suites that this package speaks. 0, 1 and 2 lack authentication, integrity or encryption: refused. */
export type SuiteId = 3 | 17;

/** What one cipher suite consists of (IPMI 2.0 tables 13-17 to 13-19 and 22-20). */
export interface Suite {
  readonly id: SuiteId;
  /** Algorithm numbers as in the open session messages. */
  readonly authentication: number;
  readonly integrity: number;
  readonly confidentiality: number;
  readonly hash: "sha1" | "sha256";
  /** Length of the key exchange codes in RAKP 2 and 3, in bytes. */
  readonly hashBytes: number;
  /** Length of the integrity check value in RAKP 4, in bytes. */
  readonly checkValueBytes: number;
  /** Length of the AuthCode of a packet, in bytes. */
  readonly authCodeBytes: number;
}

/** RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128: every BMC since 2004, but some vendors have begun to disable it. */
const SUITE_3: Suite = {
  id: 3,
  authentication: 1,
  integrity: 1,
  confidentiality: 1,
  hash: "sha1",
  hashBytes: 20,
  checkValueBytes: 12,
  authCodeBytes: 12,
};

/** RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128. */
const SUITE_17: Suite = {
  id: 17,
  authentication: 3,
  integrity: 4,
  confidentiality: 1,
  hash: "sha256",
  hashBytes: 32,
  checkValueBytes: 16,
  authCodeBytes: 16,
};

/** The suite with that number. */
export function suiteOf(id: SuiteId): Suite {
  return id === 3 ? SUITE_3 : SUITE_17;
}
