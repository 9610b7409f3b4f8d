/** The lamps of a box's front. */
export type Lamp = "power" | "health" | "leader" | "fault";

export const LAMPS: readonly Lamp[] = ["power", "health", "leader", "fault"];

/** `slow`: once a second; `fast`: four times. */
export type Light = "off" | "on" | "slow" | "fast";

/** What the lamps tell of. */
export interface BoxState {
  /** The box's program answers. */
  readonly isAnswering: boolean;
  readonly isMember: boolean;
  readonly leads: boolean;
  readonly holdsVip: boolean;
  readonly hasLeader: boolean;
  readonly hasQuorum: boolean;
  /** How many things the first screen of the console calls wrong. */
  readonly wrong: number;
}

/** What a person asks for by the button. */
export interface Attention {
  /** "This one": all lamps blink together. */
  readonly isIdentifying: boolean;
  /** The button is held and nears what cannot be undone. */
  readonly isWarning: boolean;
}

/**
 * What each lamp shows:
 * - power: on while this program runs.
 * - health: on when nothing is wrong; slow when something is, or the box waits to join; off when its program is dead.
 * - leader: on when it has the VIP; slow when it leads and does not have it.
 * - fault: on when its program does not answer; slow without quorum or leader.
 */
export function lights(state: BoxState, { isIdentifying, isWarning }: Attention): Readonly<Record<Lamp, Light>> {
  if (isIdentifying) return { power: "fast", health: "fast", leader: "fast", fault: "fast" };
  return {
    power: "on",
    health: health(state),
    leader: state.holdsVip ? "on" : state.leads ? "slow" : "off",
    fault: isWarning ? "fast" : fault(state),
  };
}

function health({ isAnswering, isMember, wrong }: BoxState): Light {
  if (!isMember) return "slow";
  if (!isAnswering) return "off";
  return wrong === 0 ? "on" : "slow";
}

/** A box that waits for its token has no program that could answer: that is no fault. */
function fault({ isMember, isAnswering, hasQuorum, hasLeader }: BoxState): Light {
  if (!isMember) return "off";
  if (!isAnswering) return "on";
  return hasQuorum && hasLeader ? "off" : "slow";
}

const SLOW_HALF_MS = 500;
const FAST_HALF_MS = 125;

/** Whether a lamp with that light is lit at an instant; all lamps of one light blink together. */
export function isLit(light: Light, now: number): boolean {
  switch (light) {
    case "on":
      return true;
    case "off":
      return false;
    case "slow":
      return Math.floor(now / SLOW_HALF_MS) % 2 === 0;
    case "fast":
      return Math.floor(now / FAST_HALF_MS) % 2 === 0;
  }
}
