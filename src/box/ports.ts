import type { BoxState, Lamp } from "./policy.ts";

/** A lamp as the panel needs it. */
export interface LampOutput {
  /** Throws when the chip is gone. */
  set(isLit: boolean): void;
}

export interface PanelPorts {
  /** Monotonic ms. */
  now(): number;
  /** Lamps that this board has. */
  readonly lamps: Readonly<Partial<Record<Lamp, LampOutput>>>;
  /** Two seconds at most; never throws. */
  look(): Promise<BoxState>;
  /** The button was held for ten seconds. */
  askReset(): void;
}
