import { completionCode } from "./codec/commands.ts";
import { rakpStatus } from "./codec/handshake-messages.ts";

/**
 * Why an operation failed. These names are stable; messages are for people.
 *
 * - `bad-option`: an option cannot be right (user name over 16 bytes, ...). Nothing was sent.
 * - `no-bmc`: the address answered that nothing listens there. Says nothing about the host's power.
 * - `no-answer`: nothing usable came before the deadline.
 * - `unreachable`: this machine has no route to the address.
 * - `no-local-port`: every port of `localPorts` is taken.
 * - `bad-credentials`: unknown user or wrong password. Not retried: it would lock the account.
 * - `privilege`: the user may not do this. A configuration error.
 * - `no-resources`: all session slots of the BMC are taken.
 * - `no-suite`: the BMC refused every cipher suite that was offered.
 * - `bad-answer`: the answer is malformed or does not verify: broken firmware, a wrong K_g, or somebody else answers.
 * - `refused`: another refusal while the session was set up; `status` has the code.
 * - `busy`: the BMC still said "busy, try again" when the deadline came.
 * - `not-in-this-state`: completion code D5h. After an *off*: read the status again, the host may be off already.
 * - `unsupported`: the BMC does not know this command or parameter. Permanent.
 * - `completion-code`: another completion code, see `completionCode`.
 * - `refused-by-caller`: `beforeSend` said no. The datagram did not leave.
 * - `refused-by-kernel`: the local packet filter dropped the datagram. It did not leave.
 * - `too-many-waiting`: more requests are queued on this session than it takes.
 * - `aborted`: the caller's AbortSignal fired.
 * - `closed`: the session is closed.
 */
export type IpmiErrorCode =
  | "bad-option"
  | "no-bmc"
  | "no-answer"
  | "unreachable"
  | "no-local-port"
  | "bad-credentials"
  | "privilege"
  | "no-resources"
  | "no-suite"
  | "bad-answer"
  | "refused"
  | "busy"
  | "not-in-this-state"
  | "unsupported"
  | "completion-code"
  | "refused-by-caller"
  | "refused-by-kernel"
  | "too-many-waiting"
  | "aborted"
  | "closed";

/** The only error this package throws for the environment. It never holds a password, a key or a nonce. */
export class IpmiError extends Error {
  override readonly name = "IpmiError";
  readonly code: IpmiErrorCode;
  /** The IPMI completion code, where one came. */
  readonly completionCode: number | undefined;
  /** The RMCP+ status, where one came. */
  readonly status: number | undefined;
  /** For power commands: true when at least one datagram left, so that the command may have been carried out. */
  readonly wasSent: boolean;

  constructor(
    code: IpmiErrorCode,
    message: string,
    details: { completionCode?: number; status?: number; wasSent?: boolean; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.completionCode = details.completionCode;
    this.status = details.status;
    this.wasSent = details.wasSent ?? false;
  }
}

/** True for completion codes after which the same request may succeed a moment later. */
export function isWorthRetrying(code: number): boolean {
  return (
    code === completionCode.busy ||
    code === completionCode.timeout ||
    code === completionCode.initializing ||
    code === completionCode.destinationUnavailable
  );
}

/** The error for a completion code other than 0. `action` reads like "set the session privilege". */
export function completionError(action: string, code: number, wasSent: boolean): IpmiError {
  const shown = `Cannot ${action}: completion code ${hex(code)}`;
  const details = { completionCode: code, wasSent };
  switch (code) {
    case completionCode.busy:
    case completionCode.timeout:
    case completionCode.initializing:
    case completionCode.destinationUnavailable:
      return new IpmiError("busy", `${shown} (busy)`, details);
    case completionCode.privilege:
      return new IpmiError("privilege", `${shown} (insufficient privilege)`, details);
    case completionCode.notInThisState:
      return new IpmiError("not-in-this-state", `${shown} (not supported in the present state)`, details);
    case completionCode.invalidCommand:
    case completionCode.invalidField:
      return new IpmiError("unsupported", `${shown} (not supported by this BMC)`, details);
    default:
      return new IpmiError("completion-code", shown, details);
  }
}

/** The error for an RMCP+ status other than 0. `step` is the message that was refused, as "RAKP 1". */
export function statusError(step: string, status: number): IpmiError {
  const shown = `Cannot open a session: ${step} was refused with status ${hex(status)}`;
  switch (status) {
    case rakpStatus.noResources:
    case rakpStatus.noResourcesForRole:
      return new IpmiError("no-resources", `${shown} (no free session slot)`, { status });
    case rakpStatus.invalidRole:
    case rakpStatus.unauthorizedRole:
      return new IpmiError("privilege", `${shown} (the user may not have this privilege)`, { status });
    case rakpStatus.unauthorizedName:
    case rakpStatus.invalidNameLength:
    case rakpStatus.invalidCheckValue:
      return new IpmiError("bad-credentials", `${shown} (unknown user or wrong password)`, { status });
    case rakpStatus.invalidAuthentication:
    case rakpStatus.invalidIntegrity:
    case rakpStatus.invalidConfidentiality:
    case rakpStatus.noMatchingSuite:
      return new IpmiError("no-suite", `${shown} (cipher suite not accepted)`, { status });
    default:
      return new IpmiError("refused", shown, { status });
  }
}

/**
 * True when the other cipher suite deserves one try: besides the honest refusals, firmware answers a disabled suite
 * with "no resources", "unauthorised role" or "illegal parameter".
 */
export function mayBeTheSuite(status: number | undefined): boolean {
  return (
    status === rakpStatus.noResources ||
    status === rakpStatus.invalidAuthentication ||
    status === rakpStatus.invalidIntegrity ||
    status === rakpStatus.unauthorizedRole ||
    status === rakpStatus.invalidConfidentiality ||
    status === rakpStatus.noMatchingSuite ||
    status === rakpStatus.illegalParameter
  );
}

function hex(value: number): string {
  return `${value.toString(16).padStart(2, "0").toUpperCase()}h`;
}
