/**
 * Faults of one BMC's firmware and what to do about them. All off by default.
 *
 * Set a flag for the one BMC that needs it, after it was seen there; never for all. Which suites a BMC takes is not a
 * flag but `OpenOptions.suites`; the session tells which one worked.
 */
export interface Quirks {
  /** RAKP 2 is one byte longer than it should be (Supermicro H8QME, Sun Fire 4100): the last byte is dropped. */
  readonly rakp2OneByteLong?: boolean;
  /** RAKP 4 carries a check value that is not truncated (Intel SE7520AF2): both lengths are taken. */
  readonly rakp4FullLength?: boolean;
  /** IPMI checksums are wrong (Supermicro X9): rely on the AuthCode, which covers the same bytes. */
  readonly ignoreChecksums?: boolean;
  /** The user name is sent and authenticated as 16 bytes with zeros at its end (Intel SE7520AF2). */
  readonly paddedUserName?: boolean;
  /** RAKP 1 is sent as 44 bytes whatever the name's length (Intel 82571 pass-through). */
  readonly fullLengthRakp1?: boolean;
  /** The user is looked up by name and privilege, not by name alone (Intel SE7520AF2). */
  readonly nameAndPrivilegeLookup?: boolean;
  /** Get Channel Authentication Capabilities is not asked: firmware with IPMI 1.5 disabled may ignore it. */
  readonly noAuthCapabilities?: boolean;
  /** Answers inside a session carry session id 0 (Tyan S2882): the AuthCode still has to verify. */
  readonly zeroSessionIdInAnswers?: boolean;
  /** Set Session Privilege is refused although the session has the privilege (Cisco UCS). */
  readonly ignorePrivilegeRefusal?: boolean;
  /** Close Session is never answered: do not wait for it. */
  readonly noCloseAnswer?: boolean;
  /** RAKP 2 sometimes fails to verify although the password is right (Supermicro X10DRW): one more handshake. */
  readonly retryRakp2Mismatch?: boolean;
  /** Least time between two requests, in milliseconds (firmware that crashes when asked too fast: 5000). */
  readonly pacingMs?: number;
}
