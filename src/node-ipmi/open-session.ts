import { type Privilege, privilegeLevel } from "./codec/commands.ts";
import { padSecret, SECRET_BYTES_MAX, USER_BYTES_MAX } from "./codec/keys.ts";
import { type SuiteId, suiteOf } from "./codec/suites.ts";
import { Deadline, type TimeLimit } from "./deadline.ts";
import { IpmiError, mayBeTheSuite } from "./errors.ts";
import { type HandshakeOptions, shakeHands } from "./handshake.ts";
import type { Quirks } from "./quirks.ts";
import { Session } from "./session.ts";
import { openLink, type UdpLink } from "./udp-link.ts";

/** How to reach one BMC and as whom. */
export interface OpenOptions extends TimeLimit {
  /** An IP address. A host name works, but then its look-up counts against the deadline. */
  readonly address: string;
  /** Default 623. */
  readonly port?: number;
  /** At most 16 bytes. */
  readonly user: string;
  /** At most 20 bytes. Never shown in an error. */
  readonly password: string | Uint8Array;
  /** The BMC key K_g, at most 20 bytes, where one is set. */
  readonly bmcKey?: Uint8Array;
  /** Asked for in Open Session and set afterwards. Default `operator`: enough for power, not for users. */
  readonly privilege?: Privilege;
  /** Cipher suites in the order to try them. Default 17, then 3. Give the one that worked last time. */
  readonly suites?: readonly SuiteId[];
  /** The local address to send from. */
  readonly localAddress?: string;
  /** The local UDP ports to send from, both inclusive; any that is free. For packet filters that go by source port. */
  readonly localPorts?: { readonly first: number; readonly last: number };
  /**
   * Asked right before each datagram that can change a host's power, repetitions too. False: it does not leave and the
   * operation fails with `refused-by-caller`. For a caller that may only act while it holds a lease.
   */
  readonly beforeSend?: () => boolean;
  /** What is wrong with this BMC's firmware. */
  readonly quirks?: Quirks;
  /** The first wait for an answer, in milliseconds; doubled for each repetition. Default 400. */
  readonly answerTimeoutMs?: number;
}

export const IPMI_PORT = 623;
/** A dead BMC is known after this time, session set-up included: under the 2 s that our callers count with. */
export const OPEN_DEADLINE_MS = 1_800;
/** BMCs answer within 1 to 50 ms on an idle network; RAKP on a slow one was seen to take 300 ms. */
export const ANSWER_TIMEOUT_MS = 400;
/** Restarts are bounded by the deadline; this bounds them where answers are refused at once. */
const HANDSHAKES_MAX = 6;

/**
 * Opens an RMCP+ session (IPMI 2.0 §13.13 to §13.32) and sets its privilege.
 *
 * A set-up message that is lost is never repeated: the handshake starts again with new ids, nonces and source port.
 * Where a BMC refuses a cipher suite, the next one of `suites` is tried once.
 *
 * @throws IpmiError
 */
export async function openSession(options: OpenOptions): Promise<Session> {
  const deadline = new Deadline(options, OPEN_DEADLINE_MS);
  const handshake = checked(options);
  const suites = options.suites ?? [17, 3];
  const usedPorts = new Set<number>();
  let suiteIndex = 0;
  let mismatches = 0;
  let failure: IpmiError | undefined;
  for (let round = 0; round < HANDSHAKES_MAX && deadline.remainingMs() > 0; round++) {
    const suite = suiteOf(suites[suiteIndex] ?? 17);
    const link = await openLink(handshake.link, deadline, usedPorts);
    usedPorts.add(link.localPort);
    try {
      // Only the first time: unanswered, it would take time from the messages that count.
      const asksCapabilities = round === 0 && !handshake.quirks.noAuthCapabilities;
      const timeoutMs = handshake.answerTimeoutMs * 2 ** round;
      return await attempt(link, { ...handshake, suite, asksCapabilities }, deadline, timeoutMs, options.signal);
    } catch (error) {
      link.close();
      if (!(error instanceof IpmiError)) throw error;
      // The answer of a BMC says more than its silence in a later round.
      if (!failure || error.code !== "no-answer") failure = error;
      const isSuiteRefusal = error.code === "no-suite" || mayBeTheSuite(error.status);
      if (isSuiteRefusal && suiteIndex + 1 < suites.length) suiteIndex++;
      else if (error.code === "bad-credentials" && handshake.quirks.retryRakp2Mismatch && mismatches++ === 0) continue;
      else if (!isTransient(error)) throw error;
    }
  }
  throw failure ?? new IpmiError("no-answer", `Cannot open a session with ${options.address}: out of time`);
}

async function attempt(
  link: UdpLink,
  options: HandshakeOptions,
  deadline: Deadline,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Session> {
  const agreed = await shakeHands(link, options, deadline, timeoutMs);
  const session = new Session(link, agreed, options);
  const deadlineMs = Math.max(1, deadline.remainingMs());
  try {
    await session.setPrivilege(options.privilege, signal ? { deadlineMs, signal } : { deadlineMs });
    return session;
  } catch (error) {
    // The BMC has it as active, and would keep its slot for a minute. Told once: the deadline may be over.
    void session.close();
    throw error;
  }
}

/** "Inactive session id" comes from firmware that mixed up two handshakes: the next one works. */
function isTransient(error: IpmiError): boolean {
  return error.code === "no-answer" || error.status === 0x02 || error.status === 0x08;
}

function checked(options: OpenOptions): Omit<HandshakeOptions, "suite" | "asksCapabilities"> {
  const user = Buffer.from(options.user, "utf8");
  const password = Buffer.from(options.password);
  if (user.length > USER_BYTES_MAX) {
    throw new IpmiError("bad-option", `Cannot use the user name "${options.user}": it is over ${USER_BYTES_MAX} bytes`);
  }
  if (password.length > SECRET_BYTES_MAX || (options.bmcKey?.length ?? 0) > SECRET_BYTES_MAX) {
    throw new IpmiError("bad-option", `Cannot use the password or BMC key: it is over ${SECRET_BYTES_MAX} bytes`);
  }
  const ports = options.localPorts;
  if (ports && !(ports.first >= 1 && ports.last >= ports.first && ports.last <= 65_535)) {
    throw new IpmiError("bad-option", `Cannot use the local ports ${ports.first} to ${ports.last}`);
  }
  const quirks = options.quirks ?? {};
  const userKey = padSecret(password);
  return {
    link: {
      address: options.address,
      port: options.port ?? IPMI_PORT,
      localAddress: options.localAddress,
      localPorts: ports,
    },
    user: quirks.paddedUserName ? Buffer.concat([user, Buffer.alloc(USER_BYTES_MAX - user.length)]) : user,
    userKey,
    bmcKey: options.bmcKey ? padSecret(options.bmcKey) : userKey,
    privilege: privilegeLevel[options.privilege ?? "operator"],
    quirks,
    beforeSend: options.beforeSend,
    answerTimeoutMs: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
  };
}
