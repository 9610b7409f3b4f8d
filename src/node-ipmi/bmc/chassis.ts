import type { ChassisStatus, PowerAction } from "../codec/commands.ts";

/** The host's power as the BMC reaches it. `set` and `reset` resolve when it has really changed. */
export interface PowerPort {
  get(): Promise<boolean> | boolean;
  set(isOn: boolean): Promise<void> | void;
  reset(): Promise<void> | void;
}

/** The host's power with what a BMC remembers about it. Changes run one after the other. */
export class Chassis {
  restorePolicy: ChassisStatus["restorePolicy"] = "off";
  /** Every change that was carried out, in order; at most the last 100. */
  readonly changes: PowerAction[] = [];
  readonly #port: PowerPort;
  #lastCommand: "on" | "off" | undefined;
  #changing: Promise<unknown> = Promise.resolve();

  constructor(port: PowerPort) {
    this.#port = port;
  }

  async isOn(): Promise<boolean> {
    return this.#port.get();
  }

  change(action: PowerAction): Promise<void> {
    const change = this.#changing.then(async () => {
      if (action === "reset") await this.#port.reset();
      else await this.#port.set(action === "on");
      this.#lastCommand = action === "off" ? "off" : "on";
      this.changes.push(action);
      if (this.changes.length > 100) this.changes.shift();
    });
    this.#changing = change.catch(() => undefined);
    return change;
  }

  async status(isLying: boolean): Promise<ChassisStatus> {
    const isOn = await this.isOn();
    return {
      isPowerOn: isOn !== isLying,
      hasOverload: false,
      hasInterlock: false,
      hasPowerFault: false,
      hasControlFault: false,
      restorePolicy: this.restorePolicy,
      lastEvent: {
        // Off without our doing: the feed was cut.
        acFailed: !isOn && this.#lastCommand !== "off",
        overload: false,
        interlock: false,
        powerFault: false,
        turnedOnByCommand: isOn && this.#lastCommand === "on",
      },
    };
  }
}
