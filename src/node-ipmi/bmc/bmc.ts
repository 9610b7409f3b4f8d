import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { type Privilege, privilegeLevel } from "../codec/commands.ts";
import { padSecret } from "../codec/keys.ts";
import { decodeMessage, encodeMessage, type Message } from "../codec/message.ts";
import {
  decodePacket,
  encodeOutside,
  encodePlain,
  encodeSealed,
  type Packet,
  payloadType,
  unseal,
} from "../codec/packet.ts";
import type { SuiteId } from "../codec/suites.ts";
import { Chassis, type PowerPort } from "./chassis.ts";
import { type Fault, FaultSet } from "./faults.ts";
import type { FirmwareFlaws } from "./firmware.ts";
import { Responder } from "./responder.ts";
import { type BmcSession, SessionTable } from "./session-table.ts";
import { SetUp } from "./set-up.ts";
import type { BmcState } from "./state.ts";

export interface BmcOptions {
  readonly address: string;
  /** 0: the kernel chooses; see `Bmc.port`. */
  readonly port: number;
  readonly users: readonly BmcUser[];
  /** 16 bytes, as they go over the wire. */
  readonly guid: Uint8Array;
  readonly power: PowerPort;
  /** Default 3 and 17. */
  readonly suites?: readonly SuiteId[];
  /** K_g. */
  readonly bmcKey?: Uint8Array;
  /** Sessions at a time. Default 8. */
  readonly slots?: number;
  readonly flaws?: FirmwareFlaws;
  readonly faults?: readonly Fault[];
  /** Sees each datagram that came, before anything is done with it. */
  readonly onDatagram?: (datagram: Buffer, remote: RemoteInfo) => void;
  /** Is told when the power port fails where no answer can say so. Default: the datagram is as if never received. */
  readonly onError?: (error: unknown) => void;
}

export interface BmcUser {
  readonly name: string;
  readonly password: string;
  /** The highest privilege. */
  readonly privilege: Privilege;
}

/** A simulated BMC on a UDP port: RMCP+ with suites 3 and 17, chassis commands, and faults that can be switched. */
export class Bmc {
  readonly chassis: Chassis;
  readonly #options: BmcOptions;
  readonly #state: BmcState;
  readonly #setUp: SetUp;
  readonly #responder: Responder;
  #socket: Socket | undefined;
  #port: number;

  constructor(options: BmcOptions) {
    this.#options = options;
    this.#port = options.port;
    this.chassis = new Chassis(options.power);
    this.#state = {
      users: options.users.map((user) => ({
        name: Buffer.from(user.name),
        key: padSecret(Buffer.from(user.password)),
        privilege: privilegeLevel[user.privilege],
      })),
      bmcKey: options.bmcKey ? padSecret(options.bmcKey) : undefined,
      guid: Buffer.from(options.guid),
      suites: options.suites ?? [3, 17],
      flaws: options.flaws ?? {},
      faults: new FaultSet(),
      sessions: new SessionTable(options.slots ?? 8),
      chassis: this.chassis,
    };
    for (const fault of options.faults ?? []) this.#state.faults.add(fault, performance.now());
    this.#setUp = new SetUp(this.#state);
    this.#responder = new Responder(this.#state);
  }

  get port(): number {
    return this.#port;
  }

  /** How many session slots are taken. */
  get activeSessions(): number {
    return this.#state.sessions.size;
  }

  get faults(): Fault[] {
    return this.#state.faults.list();
  }

  async inject(fault: Fault): Promise<void> {
    this.#state.faults.add(fault, performance.now());
    if (fault.fault === "gone") await this.#closeSocket();
  }

  async clearFaults(): Promise<void> {
    this.#state.faults.clear();
    await this.start();
  }

  async start(): Promise<void> {
    if (this.#socket || this.#state.faults.has("gone")) return;
    const socket = createSocket(isIPv6(this.#options.address) ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(this.#port, this.#options.address, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    // A client that has gone away is its own business: the BMC goes on.
    socket.on("error", () => undefined);
    socket.on("message", (datagram, remote) => {
      this.#receive(datagram, remote).catch((error: unknown) => this.#options.onError?.(error));
    });
    this.#port = socket.address().port;
    this.#socket = socket;
  }

  async close(): Promise<void> {
    this.#responder.stop();
    await this.#closeSocket();
  }

  async #closeSocket(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  async #receive(datagram: Buffer, remote: RemoteInfo): Promise<void> {
    this.#options.onDatagram?.(datagram, remote);
    const { faults } = this.#state;
    if (faults.takeReceived() || (await this.#isDead())) return;
    const packet = decodePacket(datagram);
    const answer = packet && (await this.#answer(packet));
    if (!answer) return;
    const slowMs = faults.get("slow")?.value ?? 0;
    if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
    if (await this.#isDead()) return;
    for (let copies = faults.takeAnswered(); copies > 0; copies--) {
      this.#socket?.send(answer, remote.port, remote.address);
    }
  }

  async #isDead(): Promise<boolean> {
    const { faults } = this.#state;
    return faults.has("silent") || (faults.has("dies-with-host") && !(await this.chassis.isOn()));
  }

  async #answer(packet: Packet): Promise<Buffer | undefined> {
    if (packet.kind === "outside") {
      const answer = this.#answerOutside(packet.payload);
      return answer && encodeOutside(answer);
    }
    if (packet.type === payloadType.ipmi && packet.sessionId === 0) {
      const answer = packet.isEncrypted ? undefined : this.#answerOutside(packet.payload);
      return answer && encodePlain(payloadType.ipmi, answer);
    }
    if (packet.type !== payloadType.ipmi) return this.#setUp.answer(packet);
    const session = this.#state.sessions.find(packet.sessionId, performance.now());
    const message = session?.keys && unseal(session.keys, packet);
    if (!session || !message || !session.window.accept(packet.sequence)) return;
    session.usedAt = performance.now();
    return this.#answerInside(session, message);
  }

  #answerOutside(payload: Buffer): Buffer | undefined {
    const request = decodeMessage(payload);
    const data = request && this.#responder.answerOutside(request);
    return data && this.#encode(request, data);
  }

  async #answerInside(session: BmcSession, payload: Buffer): Promise<Buffer | undefined> {
    const request = decodeMessage(payload);
    if (!request?.areChecksumsRight) return;
    const data = await this.#responder.answerInside(session, request);
    const { keys } = session;
    if (!data || !keys) return;
    session.sequence++;
    const { flaws } = this.#state;
    const consoleId = flaws.zeroSessionIdInAnswers ? 0 : session.consoleId;
    return encodeSealed(keys, payloadType.ipmi, consoleId, session.sequence, this.#encode(request, data));
  }

  #encode(request: Message, data: Buffer): Buffer {
    const message = encodeMessage({ ...request, netFn: request.netFn + 1, data });
    if (this.#state.flaws.badChecksums) message[message.length - 1] = message.readUInt8(message.length - 1) ^ 0xff;
    return message;
  }
}

/** Makes a BMC and starts it. */
export async function createBmc(options: BmcOptions): Promise<Bmc> {
  const bmc = new Bmc(options);
  await bmc.start();
  return bmc;
}
