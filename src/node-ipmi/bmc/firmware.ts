import type { SuiteId } from "../codec/suites.ts";

/**
 * Faults that some firmware has for good: the counterpart of the client's `Quirks`, so that each of them can be tried
 * against a BMC that needs it.
 */
export interface FirmwareFlaws {
  readonly rakp2OneByteLong?: boolean;
  readonly rakp4FullLength?: boolean;
  readonly badChecksums?: boolean;
  readonly zeroSessionIdInAnswers?: boolean;
  readonly noCloseAnswer?: boolean;
  /** Set Session Privilege is answered with "insufficient privilege". */
  readonly refusesPrivilege?: boolean;
  /** Get Channel Authentication Capabilities is not answered. */
  readonly ignoresAuthCapabilities?: boolean;
  /** User names are kept, and authenticated, as 16 bytes with zeros at the end. */
  readonly paddedUserName?: boolean;
  /** RAKP 1 in any form but the 44-byte one is ignored. */
  readonly wantsFullLengthRakp1?: boolean;
  /** The first RAKP 2 of its life does not verify. */
  readonly firstRakp2Wrong?: boolean;
  /** A repetition of a request that is still being worked on is answered with CFh. */
  readonly answersDuplicates?: boolean;
  /** Off while off, and reset while off, are answered with D5h. */
  readonly refusesOffWhenOff?: boolean;
  /** A suite that is disabled is refused with this RMCP+ status and not with 11h. */
  readonly disabledSuiteStatus?: number;
  /** Open Session agrees to cipher suite 0: the famous hole. It goes no further here. */
  readonly acceptsSuiteZero?: boolean;
  /** Suites that are listed although they are refused. */
  readonly listsAlso?: readonly SuiteId[];
}
