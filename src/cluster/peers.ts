import tls from "node:tls";
import { assert } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { encodeFrame, FrameReader, type FrameType, frameType, HELLO_BYTES_MAX } from "./frame.ts";
import type { ClusterId, Identity } from "./identity.ts";

/** Where a member listens and how it is known. */
export interface PeerMember {
  readonly raftId: string;
  /** `host:port` */
  readonly address: string;
  readonly certificateHash: string;
}

/** Heartbeats, votes and their answers never wait behind entries: two connections a peer and direction. */
export type Channel = "control" | "bulk";

/** The first frame of a connection, JSON. */
export interface Hello {
  readonly protocol: number;
  readonly featureLevel: number;
  readonly raftId: string;
  /** New at each start of a box: tells a restarted box from a clone that runs beside it. */
  readonly nonce: string;
  readonly channel: Channel | "join";
  readonly cluster: ClusterId | null;
  /** Only with `channel: "join"`. */
  readonly join?: JoinRequest;
}

/** What a joiner asks for with its token. */
export interface JoinRequest {
  readonly secret: string;
  readonly serverId: number;
  readonly raftId: string;
  readonly certificateHash: string;
  /** Where the joiner listens for peers, `host:port`. */
  readonly address: string;
}

export interface PeersEvents {
  /** A frame of a peer whose certificate is the one that the membership names. */
  frame(from: string, type: FrameType, payload: Buffer): void;
  /** A whole chunk of frames has been handed over: the moment to act on all of them at once. */
  drained(): void;
  /** A connection to `raftId` cannot be had or was lost. */
  unreachable(raftId: string): void;
  /** A box of our lineage has a higher generation: this one must stand down. */
  higherGeneration(cluster: ClusterId): void;
  /** A box with a token. The answer is sent as JSON; an error's message is its refusal. */
  join(request: JoinRequest): Promise<unknown>;
  log(text: string): void;
}

export interface PeersOptions {
  readonly identity: Identity;
  readonly cluster: ClusterId;
  readonly nonce: string;
  readonly featureLevel: number;
  readonly listen: { readonly host: string; readonly port: number };
  /** The box's own address: connections must never leave from the VIP. */
  readonly localAddress: string | undefined;
}

/** Raised with each change that an older box cannot read. */
export const PROTOCOL_VERSION = 1;
const DIAL_TIMEOUT_MS = 500;
const REDIAL_MS = 100;
/** A box that is refused (it was removed, or is a copy) asks ever more rarely: each try is a handshake for both sides. */
const REDIAL_REFUSED_MAX_MS = 3200;
const PING_MS = 300;
/** A peer that answers no ping for so long is dialled anew: TCP's own retries back off for minutes. */
const SILENCE_MS = 1500;
/** A box that was heard within this lives: three pings. A second one with its identity is a copy, not its next life. */
const ALIVE_MS = 1000;
/** Connections that have not said who they are, or ask to join. Members have two each; the rest is anybody. */
const STRANGERS_MAX = 32;
/** We can speak for so long to a box that was removed, ms: what it asked for before is answered, and it hears of it. */
const LINGER_MS = 1000;
/** A joiner's connection stays until the leader has changed the membership, or could not. */
const JOIN_TIMEOUT_MS = 20_000;
/** Beyond this, frames for a slow peer are dropped; Raft sends again. */
const BUFFER_BYTES_MAX: Record<Channel, number> = { control: 1024 * 1024, bulk: 16 * 1024 * 1024 };

/** SHA-256 of the certificate that the other side showed, or "" when it showed none. */
function hashOfPeer(socket: tls.TLSSocket): string {
  return (socket.getPeerCertificate()?.fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
}

/** Our outgoing connection of one channel to one peer: dials for ever, pings, and drops what a slow peer cannot take. */
class Link {
  #socket: tls.TLSSocket | undefined;
  #isUp = false;
  #isStopped = false;
  #outgoing: Buffer[] = [];
  #answeredAt = 0;
  #refusals = 0;
  #redial: ReturnType<typeof setTimeout> | undefined;
  readonly #ping: ReturnType<typeof setInterval>;
  readonly #peers: Peers;
  readonly #member: PeerMember;
  readonly #channel: Channel;

  constructor(peers: Peers, member: PeerMember, channel: Channel) {
    this.#peers = peers;
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
    const { identity, localAddress } = this.#peers.options;
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
    const timer = setTimeout(() => socket.destroy(), DIAL_TIMEOUT_MS);
    const reader = new FrameReader();
    socket.on("secureConnect", () => {
      if (hashOfPeer(socket) !== this.#member.certificateHash) {
        this.#peers.events.log(
          `${this.#member.address} is not the box ${this.#member.raftId}: its certificate differs`,
        );
        socket.destroy();
        return;
      }
      socket.setNoDelay(true);
      socket.write(encodeFrame(frameType.hello, Buffer.from(JSON.stringify(this.#peers.hello(this.#channel)))));
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, (type, payload) => {
          this.#answeredAt = performance.now();
          if (type === frameType.accept) {
            clearTimeout(timer);
            this.#isUp = true;
            this.#refusals = 0;
            this.#peers.accepted(this.#member);
          } else if (type === frameType.refuse) {
            this.#refusals++;
            this.#peers.refused(this.#member, payload.toString("utf8"));
            socket.destroy();
          }
        });
      } catch (error) {
        this.#peers.events.log(errorChain(error));
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
    this.#outgoing = [];
    socket?.destroy();
    if (wasUp) this.#peers.events.unreachable(this.#member.raftId);
    if (this.#isStopped) return;
    clearTimeout(this.#redial);
    const waitMs = Math.min(REDIAL_MS * 2 ** this.#refusals, REDIAL_REFUSED_MAX_MS);
    this.#redial = setTimeout(() => this.#dial(), waitMs);
  }

  #checkLife(): void {
    if (!this.#isUp) return;
    if (performance.now() - this.#answeredAt > SILENCE_MS) {
      this.#lose();
      return;
    }
    this.#socket?.write(encodeFrame(frameType.ping, Buffer.alloc(0)));
  }
}

/** The connections of this box with all members: outgoing ones carry what we say, incoming ones what they say. */
export class Peers {
  readonly options: PeersOptions;
  readonly events: PeersEvents;
  readonly #members = new Map<string, PeerMember>();
  readonly #links = new Map<string, Record<Channel, Link>>();
  /** By raft id: its present life, and when each of its connections was last heard. */
  readonly #lives = new Map<string, { readonly nonce: string; readonly sockets: Map<tls.TLSSocket, number> }>();
  readonly #lingering = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #incoming = new Set<tls.TLSSocket>();
  #strangers = 0;
  readonly #server: tls.Server;
  readonly #refusals = new Map<string, string>();

  constructor(options: PeersOptions, events: PeersEvents) {
    this.options = options;
    this.events = events;
    this.#server = tls.createServer(
      {
        key: options.identity.privateKeyPem,
        cert: options.identity.certificatePem,
        minVersion: "TLSv1.3",
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket) => this.#accept(socket),
    );
  }

  /** Starts to listen; rejects when the address cannot be had. */
  listen(): Promise<void> {
    const { host, port } = this.options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => resolve());
    });
  }

  /** The members from now on: dials new ones, drops removed ones. */
  setMembers(members: readonly PeerMember[]): void {
    const wanted = new Map(members.filter((m) => m.raftId !== this.options.identity.raftId).map((m) => [m.raftId, m]));
    for (const [raftId, member] of this.#members) {
      const next = wanted.get(raftId);
      if (next !== undefined && next.address === member.address && next.certificateHash === member.certificateHash)
        continue;
      this.#members.delete(raftId);
      if (next !== undefined) this.#hangUp(raftId);
      else
        this.#lingering.set(
          raftId,
          setTimeout(() => this.#hangUp(raftId), LINGER_MS),
        );
      if (next?.certificateHash === member.certificateHash) continue;
      // Who is no member any more is not listened to.
      this.#cut(raftId);
      this.#refusals.delete(raftId);
    }
    for (const member of wanted.values()) {
      if (this.#members.has(member.raftId)) continue;
      this.#hangUp(member.raftId);
      this.#members.set(member.raftId, member);
      this.#links.set(member.raftId, {
        control: new Link(this, member, "control"),
        bulk: new Link(this, member, "bulk"),
      });
    }
  }

  /** Queues a frame; false when the peer cannot take it now. Nothing leaves before {@link flush}. */
  send(to: string, channel: Channel, type: FrameType, payload: Uint8Array): boolean {
    return this.#links.get(to)?.[channel].queue(encodeFrame(type, payload)) ?? false;
  }

  flush(): void {
    for (const links of this.#links.values()) {
      links.control.flush();
      links.bulk.flush();
    }
  }

  /** The raft ids of the peers that we can send to now. */
  reachable(): string[] {
    return [...this.#links]
      .filter(([raftId, links]) => this.#members.has(raftId) && links.control.isUp && links.bulk.isUp)
      .map(([raftId]) => raftId);
  }

  stop(): void {
    for (const raftId of [...this.#links.keys()]) this.#hangUp(raftId);
    for (const socket of this.#incoming) socket.destroy();
    this.#server.close();
  }

  hello(channel: Channel): Hello {
    const { identity, cluster, nonce, featureLevel } = this.options;
    return { protocol: PROTOCOL_VERSION, featureLevel, raftId: identity.raftId, nonce, channel, cluster };
  }

  refused(member: PeerMember, why: string): void {
    // The same refusal comes with every attempt: say it once.
    if (this.#refusals.get(member.raftId) === why) return;
    this.#refusals.set(member.raftId, why);
    this.events.log(`${member.address} refuses us: ${why}`);
  }

  /** The next refusal is news again. */
  accepted(member: PeerMember): void {
    this.#refusals.delete(member.raftId);
  }

  /** Ends what we say to a box. */
  #hangUp(raftId: string): void {
    clearTimeout(this.#lingering.get(raftId));
    this.#lingering.delete(raftId);
    const links = this.#links.get(raftId);
    links?.control.stop();
    links?.bulk.stop();
    this.#links.delete(raftId);
  }

  /** Ends what a box says to us. */
  #cut(raftId: string): void {
    for (const socket of this.#lives.get(raftId)?.sockets.keys() ?? []) socket.destroy();
    this.#lives.delete(raftId);
  }

  #accept(socket: tls.TLSSocket): void {
    if (this.#strangers >= STRANGERS_MAX) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    this.#strangers++;
    this.#incoming.add(socket);
    socket.setNoDelay(true);
    const reader = new FrameReader(HELLO_BYTES_MAX);
    let from: string | undefined;
    let isAsking = false;
    const refuse = (why: string): void => {
      socket.end(encodeFrame(frameType.refuse, Buffer.from(why)));
    };
    let timer = setTimeout(() => socket.destroy(), DIAL_TIMEOUT_MS * 4);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      this.#incoming.delete(socket);
      if (from === undefined) this.#strangers--;
      else this.#lives.get(from)?.sockets.delete(socket);
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, (type, payload) => {
          if (from !== undefined) {
            if (type === frameType.ping) socket.write(encodeFrame(frameType.pong, Buffer.alloc(0)));
            else this.events.frame(from, type, payload);
          } else if (type === frameType.hello && !isAsking) {
            const hello = JSON.parse(payload.toString("utf8")) as Hello;
            if (hello.channel === "join") {
              isAsking = true;
              clearTimeout(timer);
              timer = setTimeout(() => socket.destroy(), JOIN_TIMEOUT_MS);
              this.#join(socket, hello, refuse);
              return;
            }
            const why = this.#check(socket, hello);
            if (why !== undefined) {
              refuse(why);
              return;
            }
            from = hello.raftId;
            reader.trust();
            clearTimeout(timer);
            this.#strangers--;
            this.#remember(socket, hello);
            socket.write(encodeFrame(frameType.accept, Buffer.alloc(0)));
          }
        });
        if (from === undefined) return;
        if (!socket.destroyed) this.#lives.get(from)?.sockets.set(socket, performance.now());
        this.events.drained();
      } catch (error) {
        this.events.log(`Connection of ${from ?? "a stranger"} closed: ${errorChain(error)}`);
        socket.destroy();
      }
    });
  }

  /** Why this box may not speak to us, or undefined. */
  #check(socket: tls.TLSSocket, hello: Hello): string | undefined {
    const { cluster } = this.options;
    if (hello.protocol !== PROTOCOL_VERSION) return `protocol ${hello.protocol} is not ${PROTOCOL_VERSION}`;
    if (hello.cluster?.lineage !== cluster.lineage) return "another cluster";
    const member = this.#members.get(hello.raftId);
    if (member === undefined) return `not a member: ${hello.raftId}`;
    if (hashOfPeer(socket) !== member.certificateHash) return "certificate differs from the member's";
    // Only now: anybody can name a generation, and a box that believes it stands down.
    if (hello.cluster.generation > cluster.generation) this.events.higherGeneration(hello.cluster);
    if (hello.cluster.generation !== cluster.generation) return `generation ${cluster.generation} is in force here`;
    return this.#checkLife(hello);
  }

  /**
   * A box that restarts comes back with a new nonce; its old connections, if they still seem open here, are silent. Those
   * of a box that lives are not: then the newcomer is a copy of its disk, and may neither vote nor acknowledge here.
   */
  #checkLife({ raftId, nonce }: Hello): string | undefined {
    const known = this.#lives.get(raftId);
    if (known === undefined || known.nonce === nonce) return undefined;
    const now = performance.now();
    if ([...known.sockets.values()].some((heardAt) => now - heardAt < ALIVE_MS))
      return "another box with this identity is connected: was its disk moved or cloned?";
    for (const old of known.sockets.keys()) old.destroy();
    known.sockets.clear();
    return undefined;
  }

  #remember(socket: tls.TLSSocket, hello: Hello): void {
    const known = this.#lives.get(hello.raftId);
    const now = performance.now();
    if (known !== undefined && known.nonce === hello.nonce) {
      known.sockets.set(socket, now);
      return;
    }
    this.#lives.set(hello.raftId, { nonce: hello.nonce, sockets: new Map([[socket, now]]) });
    // It has restarted: what we still hold towards its former life leads nowhere.
    if (known !== undefined) {
      const links = this.#links.get(hello.raftId);
      links?.control.renew();
      links?.bulk.renew();
    }
  }

  #join(socket: tls.TLSSocket, hello: Hello, refuse: (why: string) => void): void {
    const request = hello.join;
    if (request === undefined || request.certificateHash !== hashOfPeer(socket)) {
      refuse("the join request does not name the certificate that you show");
      return;
    }
    this.events.join(request).then(
      (answer) => socket.end(encodeFrame(frameType.accept, Buffer.from(JSON.stringify(answer)))),
      (error: unknown) => refuse(errorChain(error)),
    );
  }
}

/** Asks one member to let us in; resolves with its answer, rejects with its refusal. One try, bounded by `deadlineMs`. */
export function askToJoin(
  member: Omit<PeerMember, "raftId">,
  hello: Hello,
  options: { readonly identity: Identity; readonly localAddress: string | undefined; readonly deadlineMs: number },
): Promise<unknown> {
  assert(hello.channel === "join", "a join hello");
  const colon = member.address.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: member.address.slice(0, colon),
      port: Number(member.address.slice(colon + 1)),
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      key: options.identity.privateKeyPem,
      cert: options.identity.certificatePem,
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
    });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(why));
    };
    const timer = setTimeout(
      () => fail(`no answer from ${member.address} in ${options.deadlineMs} ms`),
      options.deadlineMs,
    );
    const reader = new FrameReader();
    socket.on("secureConnect", () => {
      if (hashOfPeer(socket) !== member.certificateHash) fail(`${member.address} is not the box that the token names`);
      else socket.write(encodeFrame(frameType.hello, Buffer.from(JSON.stringify(hello))));
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, (type, payload) => {
          const text = payload.toString("utf8");
          if (type === frameType.accept) resolve(JSON.parse(text));
          else reject(new Error(`${member.address} says: ${text}`));
          socket.destroy();
        });
      } catch (error) {
        fail(errorChain(error));
      }
    });
    socket.on("error", (error: Error) => reject(error));
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error(`${member.address} closed the connection`));
    });
  });
}
