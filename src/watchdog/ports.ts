/** The hardware, or a double. Every call returns at once. */
export interface WatchdogDevice {
  /** T_hw as the device has taken it, ms. */
  readonly timeoutMs: number;
  /** Shorter than that when one of several wants to be petted sooner. */
  readonly petWithinMs?: number;
  /** What the device says of the last reset; undefined when it cannot, or is known not to tell the truth. */
  readonly isCardReset: boolean | undefined;
  /** For people: the driver's name. */
  readonly name: string;
  /** Throws when the device is gone. */
  pet(): void;
  /** Closes it; with `isDisarming` by the magic `V`, else the hardware goes on counting. */
  close(isDisarming: boolean): void;
}

/** Where all processes of one child are, and can be ended together. Every call returns at once. */
export interface Cage {
  /** Puts a fresh child in, before it can have children of its own. */
  adopt(pid: number): void;
  /** SIGKILL to all. */
  kill(): void;
  isEmpty(): boolean;
}

export interface WatchdogPorts {
  /** Monotonic ms. */
  now(): number;
  readonly device: WatchdogDevice | undefined;
  readonly cage: Cage;
  /** Starts main; `ended` is called once. Throws when it cannot. Returns the process id. */
  spawn(ended: (pid: number, code: number | null, how: string) => void): number;
  terminate(pid: number): void;
  /** Never waits: whatever made this boot, it did its part. */
  needsPerson(): void;
  /** What can be seen of a process from outside: one line a thread. */
  threadStates(pid: number): readonly string[];
  /** Never waits: lines are queued, a hung disk loses them and nothing else. */
  log(text: string): void;
  /** Never waits either. Resolves when it is on the disk. */
  writeResetReason(reason: "presumed-watchdog" | "controlled-stop", detail: string): Promise<void>;
  /** Never waits either: keeps for the cluster's record what a person did. */
  record(action: string, detail: string): void;
  /** 1 … 2^32: a number that nobody can know beforehand. */
  random(): number;
  /** How the time before ended, in words. */
  readonly lastEnd: string;
  /** The last of all; not called while anything is left to do. */
  end(): void;
}
