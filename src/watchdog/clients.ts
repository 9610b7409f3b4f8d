/** Who must prove to be alive, each for itself, in the order in which a hang is told. */
export const CLIENTS = ["work", "raft", "apply", "disk", "api"] as const;

export type Client = (typeof CLIENTS)[number];

/** What each of them is, for people. */
export const CLIENT_WORDS: Readonly<Record<Client, string>> = {
  work: "the work thread",
  raft: "the raft loop",
  apply: "the applying of entries",
  disk: "the disk (write, fsync, read)",
  api: "the API",
};

/** Clients that can be frozen on purpose, to see the dog bite. */
export const FREEZABLE = ["work", "raft", "apply", "disk"] as const;

export type Freezable = (typeof FREEZABLE)[number];

/** `waiting`: for a join token, which may take for ever. */
export type MainPhase = "waiting" | "starting" | "started";

export const MAIN_PHASES: readonly MainPhase[] = ["waiting", "starting", "started"];
