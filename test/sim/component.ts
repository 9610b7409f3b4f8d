import type { BoxParts, SimBox } from "./box.ts";
import type { Checks } from "./checks.ts";
import type { Network } from "./network.ts";
import type { World } from "./world.ts";

/** What a component of a simulation can reach. */
export interface Stage {
  readonly world: World;
  readonly network: Network;
  readonly checks: Checks;
  /** All boxes that ever were, removed ones included. */
  readonly boxes: readonly SimBox[];
  /** A new, empty box with an identity of its own. It starts when a leader has let it in. */
  addBox(): SimBox;
  readonly parts: BoxParts;
}

/** A part of a simulated rack: clients, faults, operators. */
export interface Component {
  readonly name: string;
  /** Schedules the first events. */
  start(stage: Stage): void;
  /** The storm is over: stop making trouble. */
  heal?(stage: Stage): void;
  /** During the heal phase: what is still missing, or undefined when this part is content. */
  missing?(stage: Stage): string | undefined;
  /** After the heal. */
  finish?(stage: Stage): void;
}
