import { type ButtonEvent, INITIAL_BUTTON, isIdentifying, isWarning, step } from "./machine.ts";
import { type BoxState, isLit, LAMPS, lights } from "./policy.ts";
import type { PanelPorts } from "./ports.ts";

/** Between two looks at the box, ms. A lamp is read by people. */
const LOOK_EVERY_MS = 2000;
/** Before the first look: nothing is known, so nothing is claimed. */
const UNKNOWN: BoxState = {
  ...{ isAnswering: false, isMember: false, leads: false, holdsVip: false, hasLeader: false, hasQuorum: false },
  wrong: 0,
};

/** The lamps and the button of a box's front. Call {@link tick} eight times a second or more, for the fast blinking. */
export class Panel {
  readonly #ports: PanelPorts;
  readonly #shown = new Map<string, boolean>();
  #state: BoxState = UNKNOWN;
  #button = INITIAL_BUTTON;
  #lookedAt: number | undefined;
  #isLooking = false;

  constructor(ports: PanelPorts) {
    this.#ports = ports;
  }

  /** The button's level has changed, so many ms ago. */
  pressed(isPressed: boolean, agoMs = 0): void {
    this.#handle({ kind: isPressed ? "pressed" : "released" }, agoMs);
  }

  tick(): void {
    this.#handle({ kind: "ticked" });
    const now = this.#ports.now();
    if (!this.#isLooking && now - (this.#lookedAt ?? Number.NEGATIVE_INFINITY) >= LOOK_EVERY_MS) this.#look(now);
    const attention = { isIdentifying: isIdentifying(this.#button, now), isWarning: isWarning(this.#button, now) };
    const shown = lights(this.#state, attention);
    for (const lamp of LAMPS) this.#show(lamp, isLit(shown[lamp], now));
  }

  #show(lamp: (typeof LAMPS)[number], isOn: boolean): void {
    if (this.#shown.get(lamp) === isOn) return;
    this.#ports.lamps[lamp]?.set(isOn);
    this.#shown.set(lamp, isOn);
  }

  #look(now: number): void {
    this.#lookedAt = now;
    this.#isLooking = true;
    const done = (state: BoxState): void => {
      this.#state = state;
      this.#isLooking = false;
    };
    this.#ports.look().then(done, () => done({ ...UNKNOWN, isMember: true }));
  }

  #handle(event: ButtonEvent, agoMs = 0): void {
    const { state, effects } = step(this.#button, event, this.#ports.now() - agoMs);
    this.#button = state;
    for (const _ of effects) this.#ports.askReset();
  }
}
