import type { Message } from "../../src/raft/messages.ts";
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
  /** A new, empty box with an identity of its own. */
  addBox(): SimBox;
  readonly parts: BoxParts;
  deliver(message: Message): void;
}

/**
 * A part of a simulated rack: clients, faults, operators; later hosts, BMCs, fencing and recovery. Adding one to
 * `components` in simulation.ts is all that it takes.
 */
export interface Component {
  readonly name: string;
  /** Schedules the first events. */
  start(stage: Stage): void;
  /** Called after every event; throws a Violation. Keep it cheap. */
  check?(stage: Stage): void;
  /** The storm is over: stop making trouble. */
  heal?(stage: Stage): void;
  /** During the heal phase: what is still missing, or undefined when this part is content. */
  missing?(stage: Stage): string | undefined;
  /** After the heal. */
  finish?(stage: Stage): void;
}
