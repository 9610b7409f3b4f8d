import tls from "node:tls";
import { errorChain } from "../base/error.ts";
import { encodeFrame, FrameReader, frameType } from "./frame.ts";
import { type Channel, HELLO_TIMEOUT_MS, type Hello, hashOfPeer, type PeerMember } from "./hello.ts";
import type { Identity } from "./identity.ts";
import { decodeRefusal, type Refusal } from "./refusal.ts";

/** Whose connection it is: {@link Peers}. */
export interface LinkOwner {
  readonly options: { readonly identity: Identity; readonly localAddress: string | undefined };
  readonly events: { log(text: string): void; unreachable(raftId: string): void };
  hello(channel: Channel): Hello;
  accepted(member: PeerMember): void;
  /** The peer does not take us. Its certificate is the member's. */
  refused(member: PeerMember, refusal: Refusal): void;
}

/** A rack's own switch takes no ms: who is not connected by then is dialled anew, sooner than TCP would ask again. */
const DIAL_TIMEOUT_MS = 500;
const REDIAL_MS = 100;
/** A box that is refused (it was removed, or is a copy) asks ever more rarely: each try is a handshake for both sides. */
const REDIAL_REFUSED_MAX_MS = 3200;
/** How often a link asks whether it is answered: that of control always, others while something waits for an answer. */
export const PING_MS = 500;
/** A connection on which nothing is answered for so long is dialled anew: TCP's own retries back off for minutes. */
const SILENCE_MS = 1500;
/** Beyond this, frames for a slow peer are dropped; Raft sends again. */
const BUFFER_BYTES_MAX: Record<Channel, number> = {
  control: 1024 * 1024,
  bulk: 16 * 1024 * 1024,
  // More than the sender's window is never under way.
  snapshot: 2 * 1024 * 1024,
};

/** Our outgoing connection of one channel to one peer: dials for ever, pings, and drops what a slow peer cannot take. */
export class Link {
  #socket: tls.TLSSocket | undefined;
  #isUp = false;
  #isStopped = false;
  #outgoing: Buffer[] = [];
  /** Since when nothing has answered what was sent; undefined while nothing waits for an answer. */
  #unansweredSince: number | undefined;
  #refusals = 0;
  #redial: ReturnType<typeof setTimeout> | undefined;
  readonly #ping: ReturnType<typeof setInterval>;
  readonly #owner: LinkOwner;
  readonly #member: PeerMember;
  readonly #channel: Channel;

  constructor(owner: LinkOwner, member: PeerMember, channel: Channel) {
    this.#owner = owner;
    this.#member = member;
    this.#channel = channel;
    this.#ping = setInterval(() => this.#checkLife(), PING_MS);
    this.#dial();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  queue(frame: Buffer): boolean {
    if (!this.#isUp || (this.#socket?.writableLength ?? 0) > BUFFER_BYTES_MAX[this.#channel]) return false;
    this.#outgoing.push(frame);
    return true;
  }

  flush(): void {
    if (this.#outgoing.length === 0) return;
    const frames = this.#outgoing;
    this.#outgoing = [];
    this.#unansweredSince ??= performance.now();
    this.#socket?.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames));
  }

  /** Dials again at once: the other side has restarted, so this connection leads nowhere. */
  renew(): void {
    if (this.#socket !== undefined) this.#lose();
    clearTimeout(this.#redial);
    this.#dial();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#ping);
    clearTimeout(this.#redial);
    this.#lose();
  }

  #dial(): void {
    if (this.#isStopped) return;
    const { identity, localAddress } = this.#owner.options;
    const colon = this.#member.address.lastIndexOf(":");
    const socket = tls.connect({
      host: this.#member.address.slice(0, colon),
      port: Number(this.#member.address.slice(colon + 1)),
      ...(localAddress === undefined ? {} : { localAddress }),
      key: identity.privateKeyPem,
      cert: identity.certificatePem,
      minVersion: "TLSv1.3",
      // The certificate is self-signed by design; its hash is compared below, before anything is sent.
      rejectUnauthorized: false,
    });
    this.#socket = socket;
    let timer = setTimeout(() => socket.destroy(), DIAL_TIMEOUT_MS);
    const reader = new FrameReader();
    // Who is there may be slow. Dialled anew, it would begin its handshakes again, and one that starts never end them.
    socket.on("connect", () => {
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
    });
    socket.on("secureConnect", () => {
      if (hashOfPeer(socket) !== this.#member.certificateHash) {
        this.#owner.events.log(
          `${this.#member.address} is not the box ${this.#member.raftId}: its certificate differs`,
        );
        socket.destroy();
        return;
      }
      socket.setNoDelay(true);
      socket.write(encodeFrame(frameType.hello, Buffer.from(JSON.stringify(this.#owner.hello(this.#channel)))));
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, (type, payload) => {
          this.#unansweredSince = undefined;
          if (type === frameType.accept) {
            clearTimeout(timer);
            this.#isUp = true;
            this.#refusals = 0;
            this.#owner.accepted(this.#member);
          } else if (type === frameType.refuse) {
            this.#refusals++;
            socket.destroy();
            this.#owner.refused(this.#member, decodeRefusal(payload));
          }
        });
      } catch (error) {
        this.#owner.events.log(errorChain(error));
        socket.destroy();
      }
    });
    // The error is followed by close, which is where we act.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      if (this.#socket === socket) this.#lose();
    });
  }

  #lose(): void {
    const wasUp = this.#isUp;
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isUp = false;
    this.#unansweredSince = undefined;
    this.#outgoing = [];
    socket?.destroy();
    // What was lost of a snapshot its sender notices, and it says nothing about the entries.
    if (wasUp && this.#channel !== "snapshot") this.#owner.events.unreachable(this.#member.raftId);
    if (this.#isStopped) return;
    clearTimeout(this.#redial);
    const waitMs = Math.min(REDIAL_MS * 2 ** this.#refusals, REDIAL_REFUSED_MAX_MS);
    this.#redial = setTimeout(() => this.#dial(), waitMs);
  }

  #checkLife(): void {
    if (!this.#isUp) return;
    const now = performance.now();
    if (this.#unansweredSince !== undefined && now - this.#unansweredSince > SILENCE_MS) {
      this.#lose();
      return;
    }
    // Control tells the peer that this box lives. What carried nothing since its last answer needs no proof.
    if (this.#channel !== "control" && this.#unansweredSince === undefined) return;
    this.#unansweredSince ??= now;
    this.#socket?.write(encodeFrame(frameType.ping, Buffer.alloc(0)));
  }
}
