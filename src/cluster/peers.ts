import tls from "node:tls";
import { errorChain } from "../base/error.ts";
import type { Announcement } from "./announcement.ts";
import { encodeFrame, FrameReader, type FrameType, frameType, HELLO_BYTES_MAX } from "./frame.ts";
import {
  type Channel,
  HELLO_TIMEOUT_MS,
  type Hello,
  hashOfPeer,
  type JoinRequest,
  levelRefusal,
  type PeerMember,
  PROTOCOL_OLDEST,
  PROTOCOL_VERSION,
  protocolObstacle,
} from "./hello.ts";
import type { ClusterId, Identity } from "./identity.ts";
import { Link, PING_MS } from "./link.ts";
import { encodeRefusal, orderOf, type Refusal, type StandDownOrder } from "./refusal.ts";

export interface PeersEvents {
  /** A frame of a peer whose certificate is the one that the membership names. */
  frame(from: string, type: FrameType, payload: Buffer): void;
  /** A whole chunk of frames has been handed over: the moment to act on all of them at once. */
  drained(): void;
  /** A connection to `raftId` cannot be had or was lost. */
  unreachable(raftId: string): void;
  /** A member says that this box is none any more, or that the cluster goes on without it: it must stop for good. */
  standDown(order: StandDownOrder): void;
  /** A box with a token. The answer is sent as JSON; an error's message is its refusal. */
  join(request: JoinRequest): Promise<unknown>;
  log(text: string): void;
}

export interface PeersOptions {
  readonly identity: Identity;
  readonly cluster: ClusterId;
  readonly nonce: string;
  readonly announcement: Announcement;
  /** The feature level in force at the start; {@link Peers.setLevel}. */
  readonly level: number;
  readonly listen: { readonly host: string; readonly port: number };
  /** The box's own address: connections must never leave from the VIP. */
  readonly localAddress: string | undefined;
}

/** The present life of a peer: its nonce, what it says of itself, and when each of its connections was last heard. */
interface Life {
  readonly nonce: string;
  readonly announcement: Announcement;
  readonly sockets: Map<tls.TLSSocket, number>;
}

/** A box that was heard within this lives: three pings. A second one with its identity is a copy, not its next life. */
const ALIVE_MS = 3 * PING_MS;
/** Connections that have not said who they are, or ask to join. Members have two each; the rest is anybody. */
const STRANGERS_MAX = 32;
/** We can speak for so long to a box that was removed, ms: what it asked for before is answered, and it hears of it. */
const LINGER_MS = 1000;
/** A joiner's connection stays until the leader has changed the membership, or could not. */
const JOIN_TIMEOUT_MS = 20_000;

/** The connections of this box with all members: outgoing ones carry what we say, incoming ones what they say. */
export class Peers {
  readonly options: PeersOptions;
  readonly events: PeersEvents;
  readonly #members = new Map<string, PeerMember>();
  readonly #links = new Map<string, Record<"control" | "bulk", Link>>();
  /** To whom a snapshot is sent now. */
  readonly #snapshotLinks = new Map<string, Link>();
  readonly #lives = new Map<string, Life>();
  readonly #lingering = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #incoming = new Set<tls.TLSSocket>();
  #strangers = 0;
  readonly #server: tls.Server;
  readonly #refusals = new Map<string, string>();
  #membershipIndex = 0;
  #isMember = false;
  #level: number;

  constructor(options: PeersOptions, events: PeersEvents) {
    this.options = options;
    this.events = events;
    this.#level = options.level;
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

  /**
   * The members from now on: dials new ones, drops removed ones. `index`: since when the membership is in force;
   * `isMember`: it names this box.
   */
  setMembers(members: readonly PeerMember[], index: number, isMember: boolean): void {
    this.#membershipIndex = index;
    this.#isMember = isMember;
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
    const link = channel === "snapshot" ? this.#snapshotLink(to) : this.#links.get(to)?.[channel];
    return link?.queue(encodeFrame(type, payload)) ?? false;
  }

  /** Nothing more of a snapshot goes to this box for now. */
  closeSnapshot(to: string): void {
    this.#snapshotLinks.get(to)?.stop();
    this.#snapshotLinks.delete(to);
  }

  flush(): void {
    for (const links of this.#links.values()) {
      links.control.flush();
      links.bulk.flush();
    }
    for (const link of this.#snapshotLinks.values()) link.flush();
  }

  /** The raft ids of the peers that we can send to now. */
  reachable(): string[] {
    return [...this.#links]
      .filter(([raftId, links]) => this.#members.has(raftId) && links.control.isUp && links.bulk.isUp)
      .map(([raftId]) => raftId);
  }

  /** The feature level in force from now on: boxes that do not know it are refused, and cut if they are here. */
  setLevel(level: number): void {
    this.#level = level;
    for (const [raftId, { announcement }] of this.#lives) if (announcement.featureLevel < level) this.#cut(raftId);
  }

  /** What the members that are heard now say of themselves, this box included. */
  announced(): Map<string, Announcement> {
    const now = performance.now();
    const heard = [...this.#lives].filter(([, { sockets }]) => isHeard(sockets, now));
    const others = heard.map(([raftId, { announcement }]) => [raftId, announcement] as const);
    return new Map([[this.options.identity.raftId, this.options.announcement], ...others]);
  }

  stop(): void {
    for (const raftId of [...this.#links.keys()]) this.#hangUp(raftId);
    for (const socket of this.#incoming) socket.destroy();
    this.#server.close();
  }

  hello(channel: Channel): Hello {
    const { identity, cluster, nonce, announcement } = this.options;
    const protocol = { protocol: PROTOCOL_VERSION, protocolOldest: PROTOCOL_OLDEST };
    return { ...protocol, ...announcement, raftId: identity.raftId, nonce, channel, cluster };
  }

  refused(member: PeerMember, refusal: Refusal): void {
    const { why } = refusal;
    // The same refusal comes with every attempt: say it once.
    if (this.#refusals.get(member.raftId) !== why) this.events.log(`${member.address} refuses us: ${why}`);
    this.#refusals.set(member.raftId, why);
    const memberAt = this.#isMember ? this.#membershipIndex : undefined;
    const order = orderOf(refusal, { cluster: this.options.cluster, memberAt });
    if (order !== undefined) this.events.standDown(order);
  }

  /** The next refusal is news again. */
  accepted(member: PeerMember): void {
    this.#refusals.delete(member.raftId);
  }

  /** Dialled at the first use. */
  #snapshotLink(to: string): Link | undefined {
    const member = this.#members.get(to);
    let link = this.#snapshotLinks.get(to);
    if (link === undefined && member !== undefined) {
      link = new Link(this, member, "snapshot");
      this.#snapshotLinks.set(to, link);
    }
    return link;
  }

  /** Ends what we say to a box. */
  #hangUp(raftId: string): void {
    this.closeSnapshot(raftId);
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
    const refuse = (refusal: Refusal): void => {
      socket.end(encodeFrame(frameType.refuse, encodeRefusal(refusal)));
    };
    let timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
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
            const refusal = this.#check(socket, hello);
            if (refusal !== undefined) {
              refuse(refusal);
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
  #check(socket: tls.TLSSocket, hello: Hello): Refusal | undefined {
    const { cluster } = this.options;
    const refusal = (why: string): Refusal => ({ why, cluster });
    const foreign = protocolObstacle(hello);
    if (foreign !== undefined) return { why: foreign };
    if (hello.cluster?.lineage !== cluster.lineage) return { why: "another cluster" };
    const member = this.#members.get(hello.raftId);
    if (member === undefined)
      return { ...refusal(`not a member: ${hello.raftId}`), notMemberAt: this.#membershipIndex };
    if (hashOfPeer(socket) !== member.certificateHash) return { why: "certificate differs from the member's" };
    // Only now: anybody can name a generation, and a box that believes it stands down.
    if (hello.cluster.generation > cluster.generation)
      this.events.standDown({ kind: "generation", cluster: hello.cluster });
    if (hello.cluster.generation !== cluster.generation)
      return refusal(`generation ${cluster.generation} is in force here`);
    const why = levelRefusal(hello, this.#level) ?? this.#checkLife(hello);
    return why === undefined ? undefined : refusal(why);
  }

  /**
   * A box that restarts comes back with a new nonce; its old connections, if they still seem open here, are silent. Those
   * of a box that lives are not: then the newcomer is a copy of its disk, and may neither vote nor acknowledge here.
   */
  #checkLife({ raftId, nonce }: Hello): string | undefined {
    const known = this.#lives.get(raftId);
    if (known === undefined || known.nonce === nonce) return undefined;
    const now = performance.now();
    if (isHeard(known.sockets, now))
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
    const { featureLevel, fallbackLevel, build = "", timings = "" } = hello;
    const announcement = { featureLevel, build, timings, ...(fallbackLevel === undefined ? {} : { fallbackLevel }) };
    this.#lives.set(hello.raftId, { nonce: hello.nonce, announcement, sockets: new Map([[socket, now]]) });
    // It has restarted: what we still hold towards its former life leads nowhere.
    if (known !== undefined) {
      const links = this.#links.get(hello.raftId);
      links?.control.renew();
      links?.bulk.renew();
      this.#snapshotLinks.get(hello.raftId)?.renew();
    }
  }

  /** With a token, a box shows the certificate that it will have; a damaged member shows the one that it had. */
  #join(socket: tls.TLSSocket, hello: Hello, refuse: (refusal: Refusal) => void): void {
    const obstacle = protocolObstacle(hello) ?? levelRefusal(hello, this.#level);
    if (obstacle !== undefined) {
      refuse({ why: obstacle });
      return;
    }
    if (hello.cluster?.lineage !== this.options.cluster.lineage) {
      refuse({ why: "the token is of another cluster" });
      return;
    }
    const shown = hashOfPeer(socket);
    const isReplaced = this.#members.get(hello.raftId)?.certificateHash === shown;
    if (hello.join === undefined || (hello.join.certificateHash !== shown && !isReplaced)) {
      refuse({ why: "the join request names neither the certificate that you show nor a member's place" });
      return;
    }
    const { secret, serverId, raftId, certificateHash, address } = hello.join;
    const asked = { secret, serverId, raftId, certificateHash, address };
    const request = isReplaced && hello.raftId !== raftId ? { ...asked, replaces: hello.raftId } : asked;
    this.events.join(request).then(
      (answer) => socket.end(encodeFrame(frameType.accept, Buffer.from(JSON.stringify(answer)))),
      (error: unknown) => refuse({ why: errorChain(error) }),
    );
  }
}

function isHeard(sockets: ReadonlyMap<tls.TLSSocket, number>, now: number): boolean {
  return [...sockets.values()].some((heardAt) => now - heardAt < ALIVE_MS);
}
