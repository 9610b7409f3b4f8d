import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { CodedError, errorChain } from "../base/error.ts";
import { askToJoin } from "../cluster/ask-to-join.ts";
import { type JoinRequest, PROTOCOL_VERSION } from "../cluster/hello.ts";
import { type ClusterId, createIdentity, type Identity, loadIdentity, saveIdentity } from "../cluster/identity.ts";
import { decodeJoinToken } from "../cluster/join-token.ts";
import type { MembershipAt } from "../cluster/ports.ts";
import { memberOf } from "../raft/membership.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import type { JoinAnswer } from "./admission.ts";
import { type Contact, readContacts } from "./contacts.ts";
import { BUILD, FEATURE_LEVEL } from "./feature-level.ts";
import { isAccepted } from "./machine-binding.ts";
import { replaceCredentials } from "./one-auth.ts";
import { paths } from "./paths.ts";
import { forgetRejoins, mayRejoin, type StandDown, setAside } from "./stand-down.ts";

/** One round of asking all members. */
const ASK_TIMEOUT_MS = 8000;
const RETRY_MS = 500;
export interface JoinerOptions {
  readonly localAddress: string | undefined;
  /** Where this box will listen for peers, `host:port`. */
  readonly peerAddress: string;
  /** Set for a box that was a member and must not be one any more: its data goes aside when it is let in. */
  readonly standDown: StandDown | undefined;
  /** Stores the membership that the box starts from, durably. */
  saveBootstrap(membership: MembershipAt): void;
  /** At each look for a token: what else may have been laid down meanwhile. */
  look(): void;
  log(text: string): void;
}

/** Where a joiner keeps what it is and is given. */
export type JoinFiles = Readonly<Record<"data" | "joinToken" | "clusterKey", string>>;

/**
 * Waits for a join token in its file, asks the members that it names, and stores who this box is from then on. The
 * token's file is deleted after use; why a token is not taken is said once.
 */
export async function joinCluster(options: JoinerOptions): Promise<{ identity: Identity; membership: MembershipAt }> {
  const identity = await draftIdentity(paths);
  const what = options.standDown?.text ?? "this box belongs to no cluster yet";
  const waits = mayRejoin(options.standDown)
    ? "asks to be taken in again"
    : "waits for a join token (ringfence join TOKEN)";
  options.log(`${what}: ${waits}`);
  let said = "";
  for (;;) {
    options.look();
    const hasToken = existsSync(paths.joinToken);
    if (hasToken || mayRejoin(options.standDown)) {
      try {
        const answer = hasToken ? await askByToken(identity, options) : await askAgain(identity, options);
        if (answer.oneAuth !== undefined) replaceCredentials(answer.oneAuth);
        const joined = { ...identity, cluster: answer.cluster };
        // Only now: until a cluster takes this box, its former data may be the only copy.
        if (options.standDown !== undefined) {
          if (hasToken) forgetRejoins(paths.data, options.standDown);
          setAside(paths.data);
        }
        storeMember(paths, joined, answer, options.saveBootstrap);
        const self = memberOf(answer.membership.value, identity.raftId);
        options.log(`joined cluster ${answer.cluster.lineage} as server ${self?.serverId ?? "?"}`);
        return { identity: joined, membership: answer.membership };
      } catch (error) {
        const text = errorChain(error);
        if (text !== said) options.log(`cannot join yet: ${text}`);
        said = text;
      }
    }
    if (isAccepted(paths.data)) throw new CodedError("machine-accepted", "This machine was accepted: starts again");
    await Bun.sleep(RETRY_MS);
  }
}

/**
 * Who this box will be. Kept before anybody is asked: a box that is let in and restarts before it has read the answer
 * asks again as the same one, and its token knows it. Not identity.json, which says that the box belongs to a cluster.
 */
export async function draftIdentity(files: JoinFiles): Promise<Identity> {
  const directory = draftDirectory(files);
  const known = loadIdentity(directory);
  if (known !== undefined) return known;
  const identity = await createIdentity(null);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  saveIdentity(directory, identity);
  return identity;
}

/**
 * Stores what a new member starts from. The identity goes last: with it, and without the membership, the box would
 * know nobody and refuse everybody after a restart.
 */
export function storeMember(
  files: JoinFiles,
  identity: Identity,
  answer: JoinAnswer,
  saveBootstrap: (membership: MembershipAt) => void,
): void {
  writeFileDurably(files.clusterKey, Buffer.from(answer.clusterKey, "base64"));
  saveBootstrap(answer.membership);
  saveIdentity(files.data, identity);
  forgetJoining(files);
}

/** What only a joiner needs; also left behind by one that was interrupted at its last step. */
export function forgetJoining(files: JoinFiles): void {
  rmSync(draftDirectory(files), { recursive: true, force: true });
  rmSync(files.joinToken, { force: true });
}

function draftDirectory(files: JoinFiles): string {
  return `${files.data}/joining`;
}

/** The token says whom to ask, and is what lets this box in. */
function askByToken(identity: Identity, options: JoinerOptions): Promise<JoinAnswer> {
  const token = decodeJoinToken(readFileSync(paths.joinToken, "utf8"));
  const { cluster, secret, serverId } = token;
  return askAll(token.members, identity, { cluster, secret, serverId, identity }, options);
}

/**
 * A damaged member asks those that it knew. By its new certificate first: it may be in already, and have lost the
 * answer; then by the one that it had, which lets it take its own place.
 */
async function askAgain(identity: Identity, options: JoinerOptions): Promise<JoinAnswer> {
  const former = loadIdentity(paths.data);
  if (former?.cluster == null) throw new Error("this box's identity is damaged too: a token is needed");
  const members = readContacts(paths.data).filter((member) => member.certificateHash !== former.certificateHash);
  if (members.length === 0) throw new Error("this box knew no other: a token is needed");
  const asking = { cluster: former.cluster, secret: "", serverId: -1 };
  try {
    return await askAll(members, identity, { ...asking, identity }, options);
  } catch {
    // The usual case: nobody knows the new certificate yet. What the second question meets is said.
    return askAll(members, former, { ...asking, identity }, options);
  }
}

/** Asks one after the other, showing the certificate of `shows`. */
async function askAll(
  members: readonly Contact[],
  shows: Identity,
  asking: {
    readonly cluster: ClusterId;
    readonly secret: string;
    readonly serverId: number;
    readonly identity: Identity;
  },
  options: JoinerOptions,
): Promise<JoinAnswer> {
  const { cluster, secret, serverId, identity } = asking;
  const { raftId, certificateHash } = identity;
  const join: JoinRequest = { secret, serverId, raftId, certificateHash, address: options.peerAddress };
  const hello = {
    ...{ protocol: PROTOCOL_VERSION, featureLevel: FEATURE_LEVEL, build: BUILD },
    ...{ raftId: shows.raftId, nonce: randomUUID(), channel: "join" as const, cluster, join },
  };
  const refusals: string[] = [];
  for (const member of members) {
    try {
      const { localAddress } = options;
      return (await askToJoin(member, hello, {
        identity: shows,
        localAddress,
        deadlineMs: ASK_TIMEOUT_MS,
      })) as JoinAnswer;
    } catch (error) {
      refusals.push(errorChain(error));
    }
  }
  throw new Error(refusals.join("; "));
}
