import { CLOCK_RATE_ERROR } from "./lease.ts";

/** What the kernel says about the steering of its clock (linux/adjtimex.ts). */
export interface Steering {
  readonly frequencyPpm: number;
  readonly tickMicroseconds: number;
}

export interface ClockWatchPorts {
  readonly steering: () => Steering;
  /** CLOCK_MONOTONIC, by which the kernel ends a token, and CLOCK_MONOTONIC_RAW, by which promises are counted, ms. */
  readonly steered: () => number;
  readonly raw: () => number;
}

/** A tick without correction, µs: the kernel's unit for user space is 100 Hz everywhere. */
const TICK_MICROSECONDS = 10_000;
/** Above this share of its rate a clock is not to be relied on: ρ is for both clocks of a pair. */
export const STEERING_MAX = CLOCK_RATE_ERROR / 2;
/** The two clocks are compared over at least this, ms: reading both takes microseconds, a stopped process longer. */
const COMPARE_OVER_MS = 1000;
/** A comparison over less than this share more than it should be long is not spoilt by a pause between two readings. */
const READING_GAP_MS_MAX = 0.5;

/**
 * Whether this box's clock runs as promises and leases assume (consensus.md section 6). A kernel timer that is steered
 * slow would keep a token alive longer than voters keep their promises. Asked before each round: what somebody sets the
 * clock to counts from the next round on; what it did in fact is compared every second beside.
 */
export class ClockWatch {
  readonly #ports: ClockWatchPorts;
  #comparedAt: { readonly steered: number; readonly raw: number } | undefined;
  #measured = 0;

  constructor(ports: ClockWatchPorts) {
    this.#ports = ports;
  }

  /** Why no lease may be held now, or undefined. */
  obstacle(): string | undefined {
    const { frequencyPpm, tickMicroseconds } = this.#ports.steering();
    const told = tickMicroseconds / TICK_MICROSECONDS - 1 + frequencyPpm / 1e6;
    this.#compare();
    if (Math.abs(told) > STEERING_MAX) return wrong("is steered", told);
    if (Math.abs(this.#measured) > STEERING_MAX) return wrong("ran", this.#measured);
    return undefined;
  }

  #compare(): void {
    const before = this.#ports.raw();
    const since = this.#comparedAt;
    if (since !== undefined && before - since.raw < COMPARE_OVER_MS) return;
    const steered = this.#ports.steered();
    // A pause between the readings would look like a rate.
    if (this.#ports.raw() - before > READING_GAP_MS_MAX) return;
    if (since !== undefined) this.#measured = (steered - since.steered) / (before - since.raw) - 1;
    this.#comparedAt = { steered, raw: before };
  }
}

function wrong(what: string, rate: number): string {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  return `the clock of this box ${what} by ${percent(rate)}, more than ${percent(STEERING_MAX)}: no lease is safe with it. Let the time service steer slowly (chrony: maxslewrate 500)`;
}
