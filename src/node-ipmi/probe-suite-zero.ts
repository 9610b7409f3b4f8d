import { randomInt } from "node:crypto";
import { privilegeLevel } from "./codec/commands.ts";
import { decodeOpenResponse, encodeOpenRequest } from "./codec/handshake-messages.ts";
import { encodePlain, payloadType } from "./codec/packet.ts";
import { Deadline, type TimeLimit } from "./deadline.ts";
import { IpmiError } from "./errors.ts";
import { ANSWER_TIMEOUT_MS, IPMI_PORT, OPEN_DEADLINE_MS } from "./open-session.ts";
import { openLink } from "./udp-link.ts";

const SUITE_ZERO = { authentication: 0, integrity: 0, confidentiality: 0 };

/**
 * True when the BMC agrees to cipher suite 0: such a BMC lets anyone who knows a user name do anything, with any
 * password (CVE-2013-4782 and relatives). Asks for a session and goes no further; the BMC forgets it by itself.
 *
 * @throws IpmiError `no-bmc`, `no-answer`, `unreachable`
 */
export async function probeSuiteZero(
  options: { readonly address: string; readonly port?: number; readonly localAddress?: string } & TimeLimit,
): Promise<boolean> {
  const deadline = new Deadline(options, OPEN_DEADLINE_MS);
  const { address, port = IPMI_PORT, localAddress } = options;
  for (let timeoutMs = ANSWER_TIMEOUT_MS; deadline.remainingMs() > 0; timeoutMs *= 2) {
    const link = await openLink({ address, port, localAddress, localPorts: undefined }, deadline, new Set());
    const tag = randomInt(256);
    const consoleId = randomInt(1, 2 ** 32);
    try {
      const isAccepted = await deadline.wait<boolean>(timeoutMs, (resolve, reject) => {
        const stop = link.listen((packet) => {
          if (packet.kind !== "plus" || packet.type !== payloadType.openSessionResponse) return;
          const answer = decodeOpenResponse(packet.payload);
          if (answer?.tag === tag) resolve(answer.kind === "accepted" && answer.algorithms.authentication === 0);
        }, reject);
        const request = encodeOpenRequest(tag, privilegeLevel.administrator, consoleId, SUITE_ZERO);
        link.send(encodePlain(payloadType.openSessionRequest, request));
        return stop;
      });
      if (isAccepted !== undefined) return isAccepted;
    } finally {
      link.close();
    }
  }
  throw new IpmiError("no-answer", `Cannot ask ${address} for cipher suite 0: no answer within ${deadline.limitMs} ms`);
}
