import type { Change, Outcome } from "../base/entry.ts";
import type { JoinRequest } from "../cluster/hello.ts";
import type { ClusterId } from "../cluster/identity.ts";
import { createSecret, encodeJoinToken, findToken, spendToken, storeToken } from "../cluster/join-token.ts";
import type { MembershipAt } from "../cluster/ports.ts";
import type { Member, MembershipChange } from "../raft/types.ts";

/** What a joiner is told when it is let in. */
export interface JoinAnswer {
  readonly membership: MembershipAt;
  /** With the generation in force, which may be higher than when the token was made. */
  readonly cluster: ClusterId;
  /** cluster.key, base64: seals the secrets of the state. */
  readonly clusterKey: string;
  /** The line of root's credentials file on the box that lets us in; undefined when it has none. */
  readonly oneAuth?: string;
}

/** How long the leader waits for the membership change to be in force. */
const CHANGE_TIMEOUT_MS = 5000;
/** Boxes that may ask at once: anybody who reaches the port can ask. */
const ADMISSIONS_MAX = 8;

export interface HostPorts {
  isLeader(): boolean;
  membership(): MembershipAt;
  readonly cluster: ClusterId;
  read(sql: string, values: readonly (string | number | null)[]): Promise<(string | number | null)[][]>;
  propose(kind: string, change: Change): Promise<Outcome>;
  change(change: MembershipChange): Promise<string | undefined>;
  clusterKey(): Uint8Array;
  oneAuth(): string | undefined;
  nowMs(): number;
  /** The member is this box, or is connected with it right now. */
  isAlive(raftId: string): Promise<boolean>;
}

/** The cluster's side: gives tokens out and lets their boxes in. Runs on the leader. */
export class JoinHost {
  readonly #ports: HostPorts;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(ports: HostPorts) {
    this.#ports = ports;
  }

  /** A new token for a server that has its row; the older one of the same server ends. */
  async createToken(serverId: number): Promise<{ readonly token: string } | { readonly why: string }> {
    const { cluster } = this.#ports;
    const former = this.#memberOf(serverId);
    if (former !== undefined && (await this.#ports.isAlive(former.raftId))) return { why: stillAlive(former) };
    const secret = createSecret();
    const outcome = await this.#ports.propose("ringfence.jointoken", storeToken(serverId, secret, this.#ports.nowMs()));
    if (outcome.kind !== "done") return { why: `the token could not be stored: ${outcome.kind}` };
    const members = this.#ports
      .membership()
      .value.members.map((member) => ({ address: member.peerAddress, certificateHash: member.certificateHash }));
    return { token: encodeJoinToken({ cluster, serverId, secret, members }) };
  }

  /** Lets a box in, one after the other. Throws with the refusal that the box is told. */
  admit(request: JoinRequest): Promise<JoinAnswer> {
    if (this.#waiting >= ADMISSIONS_MAX) return Promise.reject(new Error("too many boxes ask at once; try again"));
    this.#waiting++;
    const turn = this.#queue.then(() => this.#admit(request)).finally(() => this.#waiting--);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /**
   * Every step may be the last one of this leader, or its answer may be lost: the box asks again, and each step finds
   * what the one before has left.
   */
  async #admit(request: JoinRequest): Promise<JoinAnswer> {
    if (!this.#ports.isLeader()) throw new Error("this box does not lead (any more); try again");
    if (request.secret === "") await this.#admitAgain(request);
    else await this.#admitByToken(request);
    const oneAuth = this.#ports.oneAuth();
    return {
      membership: this.#ports.membership(),
      cluster: this.#ports.cluster,
      clusterKey: Buffer.from(this.#ports.clusterKey()).toString("base64"),
      ...(oneAuth === undefined ? {} : { oneAuth }),
    };
  }

  /**
   * A member that must not go on as who it was (its log is damaged) takes its own place as somebody new. The second time
   * it is in already, by the certificate that it will have.
   */
  async #admitAgain(request: JoinRequest): Promise<void> {
    const { members } = this.#ports.membership().value;
    const { raftId, certificateHash, replaces } = request;
    if (members.some((one) => one.raftId === raftId && one.certificateHash === certificateHash)) return;
    const former = replaces === undefined ? undefined : members.find((one) => one.raftId === replaces);
    if (former === undefined) throw new Error("you are no member (any more): join with a token");
    await this.#ensureMember({ ...request, serverId: former.serverId }, former.name);
  }

  async #admitByToken(request: JoinRequest): Promise<void> {
    const { sql, values } = findToken(request.secret);
    const [row] = await this.#ports.read(sql, values);
    if (row === undefined) throw new Error("the token is unknown or was replaced; ask for a new one");
    if (row[2] !== null && row[2] !== request.raftId)
      throw new Error("the token was used by another box already; ask for a new one");
    if (row[0] !== request.serverId) throw new Error(`the token is for server ${row[0]}, not ${request.serverId}`);
    if (Number(row[1]) < this.#ports.nowMs()) throw new Error("the token is older than one hour; ask for a new one");
    const [server] = await this.#ports.read("SELECT name FROM server WHERE id = ?", [request.serverId]);
    if (server === undefined) throw new Error(`server ${request.serverId} is no longer in the zone`);
    const outcome = await this.#ports.propose("ringfence.join", spendToken(request.secret, request.raftId));
    if (outcome.kind !== "done") throw new Error(`the token could not be spent (${outcome.kind}); try again`);
    if (outcome.changes[0] !== 1) throw new Error("the token was used by another box meanwhile; ask for a new one");
    await this.#ensureMember(request, String(server[0]));
  }

  async #ensureMember(request: JoinRequest, name: string): Promise<void> {
    const isMember = (): boolean =>
      this.#ports.membership().value.members.some((member) => member.raftId === request.raftId);
    if (isMember()) return;
    const { raftId, serverId, certificateHash, address } = request;
    const member = { raftId, serverId, certificateHash, peerAddress: address, name };
    // A box that comes back with a new disk takes the place of its former self in one step.
    const former = this.#memberOf(serverId);
    // A mistyped number must not throw a box out that is well.
    if (former !== undefined && (await this.#ports.isAlive(former.raftId))) throw new Error(stillAlive(former));
    const other = this.#ports.membership().value.members.find((m) => m.peerAddress === address && m !== former);
    if (other !== undefined) throw new Error(`the address ${address} is that of server ${other.serverId} already`);
    const deadline = performance.now() + CHANGE_TIMEOUT_MS;
    for (;;) {
      const why = await this.#ports.change({
        kind: "simple",
        steps: [
          ...(former === undefined ? [] : [{ kind: "remove" as const, raftId: former.raftId }]),
          { kind: "add-learner", member },
        ],
      });
      if (why === undefined) break;
      // One change at a time: another box's may be under way.
      if (performance.now() > deadline) throw new Error(`the membership cannot be changed now: ${why}`);
      await Bun.sleep(50);
    }
    while (!isMember()) {
      if (performance.now() > deadline) throw new Error("the membership change is not in force yet; try again");
      await Bun.sleep(10);
    }
  }

  #memberOf(serverId: number): Member | undefined {
    return this.#ports.membership().value.members.find((member) => member.serverId === serverId);
  }
}

function stillAlive({ serverId, peerAddress }: Member): string {
  return `server ${serverId} is alive at ${peerAddress}; a box with its id can join only after it was stopped or removed`;
}
