/** One output of a chip. Levels are logical: active is on, whatever the wire does. */
export interface GpioOutput {
  /** Throws `gpio` when the chip is gone. */
  set(isActive: boolean): void;
  /** Leaves the level as it is. */
  close(): void;
}

export interface GpioInput {
  isActive(): boolean;
  close(): void;
}

/** How a line is wired. */
export interface LineOptions {
  /** The wire is low when the line is active: a lamp to the supply, a button to ground. */
  readonly isActiveLow: boolean;
}

export interface InputOptions extends LineOptions {
  /** Edges that follow each other faster are one, ms. */
  readonly debounceMs: number;
}

/** The lines of one chip, each given by its name or its offset. */
export interface GpioChip {
  /** Throws `gpio`: no such line, or another program has it. */
  output(line: string, options: LineOptions): GpioOutput;
  /**
   * `changed` is called with the new level of each edge, in their order, and how long ago that was, ms: a press may be over
   * when a busy process hears of it. Sysfs keeps no edges: the level now, 0.
   */
  input(line: string, options: InputOptions, changed: (isActive: boolean, agoMs: number) => void): GpioInput;
  close(): void;
}
