import { CodedError } from "../base/error.ts";
import type { MembershipAt } from "../cluster/ports.ts";
import { memberOf, soloMembership } from "../raft/membership.ts";
import { decodeMembership } from "../raft/membership-codec.ts";
import type { Recovered } from "../store/log/types.ts";

/** What a box starts from before its log has a record of its own: kept in bootstrap.json. */
export interface Bootstrap extends MembershipAt {
  /** The log has taken it: from then on an empty log is a lost one. */
  readonly isInLog?: boolean;
}

/**
 * The membership that a box starts with: its log's, else the bootstrap's. Throws `log-lost` when the log is empty although
 * it was not: a box that forgot its votes and entries must not go on under its old identity, or what it once
 * acknowledged could be outvoted with its own help.
 */
export function startMembership(
  recovered: Pick<Recovered, "membership" | "hardState" | "lastIndex">,
  bootstrap: Bootstrap | undefined,
): MembershipAt {
  if (recovered.membership !== undefined)
    return { value: decodeMembership(recovered.membership.bytes), index: recovered.membership.index };
  const isEmpty = recovered.hardState === undefined && recovered.lastIndex === 0;
  if (bootstrap === undefined || (isEmpty && bootstrap.isInLog === true))
    throw new CodedError("log-lost", "The log is empty, but this box has been a member already: its log was lost");
  return { value: bootstrap.value, index: bootstrap.index };
}

/**
 * The membership of a box that goes on alone as a new generation. It counts from the log's last entry: changes among the
 * entries that were never known to be committed have no effect on it.
 */
export function aloneMembership(former: MembershipAt, raftId: string, lastIndex: number): MembershipAt {
  const self = memberOf(former.value, raftId);
  if (self === undefined)
    throw new CodedError("stood-down", "Cannot go on alone: this box is no member of its cluster");
  return { value: soloMembership(self), index: Math.max(former.index, lastIndex) };
}
