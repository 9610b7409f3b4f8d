/** What the first screen tells of this box; gathered anew for each screen, within two seconds. */
export interface Facts {
  /** The name to be typed before what is dangerous: the cluster's name for the box, else the host's. */
  readonly box: string;
  readonly version: string;
  /** Since the kernel started, s. */
  readonly uptimeSeconds: number;
  /** Which system image runs. */
  readonly slot: string;
  /** How the time before ended, in words. */
  readonly lastEnd: string;
  /** The cluster's view; undefined when main does not answer. */
  readonly cluster: ClusterFacts | undefined;
  /** A line for each thing that is wrong, the worst first. */
  readonly wrong: readonly string[];
  /** Actions that this machine cannot have, each with the reason. */
  readonly missing: Readonly<Record<string, string>>;
}

export interface ClusterFacts {
  readonly serverId: number;
  readonly role: string;
  readonly term: number;
  readonly leader: string;
  readonly lastIndex: number;
  readonly commit: number;
  readonly applied: number;
  readonly vip: string;
  readonly members: readonly MemberFacts[];
}

export interface MemberFacts {
  readonly name: string;
  readonly serverId: number;
  readonly isSelf: boolean;
  readonly isLeader: boolean;
  readonly isVoter: boolean;
  readonly isReachable: boolean;
}

/** How an action ended. */
export interface ActionResult {
  readonly isDone: boolean;
  /** What a person gets to read; lines of any length, any bytes. */
  readonly text: string;
}

/** What became of a password. */
export type Verdict =
  | { readonly kind: "right" }
  | { readonly kind: "wrong" }
  /** Not looked at: there were too many wrong ones. */
  | { readonly kind: "too-early"; readonly waitSeconds: number }
  /** This box keeps none: nobody can know it. */
  | { readonly kind: "none-kept" };
