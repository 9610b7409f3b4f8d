/** A console at the machine's level: what was typed goes in, what is said comes out. */
import type { Action } from "../../../src/console/actions.ts";
import { step } from "../../../src/console/machine.ts";
import { type ConsoleEffect, type ConsoleEvent, initialState } from "../../../src/console/state.ts";
import type { ActionResult, Facts, Verdict } from "../../../src/console/types.ts";

export const FACTS: Facts = {
  box: "box1",
  version: "0.1.0",
  uptimeSeconds: 93_784,
  slot: "none: not started from an image",
  lastEnd: "controlled stop",
  cluster: {
    ...{ serverId: 1, role: "follower", term: 3, leader: "box0", lastIndex: 40, commit: 40, applied: 40 },
    vip: "10.3.3.2/24 on eth0, not here; box0 leads",
    members: [0, 1, 2].map((serverId) => ({
      ...{ name: `box${serverId}`, serverId, isSelf: serverId === 1, isLeader: serverId === 0 },
      ...{ isVoter: true, isReachable: serverId !== 2 },
    })),
  },
  wrong: ["box2 does not answer"],
  missing: {},
};

export interface Ran {
  readonly action: string;
  readonly answers: readonly string[];
}

/** Answers every effect at once, unless `holds` says to keep it. */
export class Desk {
  facts: Facts = FACTS;
  password = "correct horse";
  verdict: Verdict | undefined;
  result: ActionResult = { isDone: true, text: "Done as told." };
  holds: ConsoleEffect["kind"] | undefined;
  now = 1000;
  said = "";
  readonly ran: Ran[] = [];
  readonly verifies: string[] = [];
  ended: boolean | undefined;
  #state;

  constructor(options: { readonly isSingle?: boolean; readonly isEchoing?: boolean } = {}) {
    this.#state = initialState(this.now, options);
    if (options.isSingle !== true) this.handle({ kind: "started" });
  }

  get mode(): string {
    return this.#state.mode.kind;
  }

  /** Types text, and gives what was said to it. */
  type(text: string): string {
    const from = this.said.length;
    this.handle({ kind: "received", bytes: [...Buffer.from(text, "latin1")] });
    return this.said.slice(from);
  }

  handle(event: ConsoleEvent): void {
    const { state, effects } = step(this.#state, event, this.now);
    this.#state = state;
    for (const effect of effects)
      if (effect.kind !== this.holds) this.#perform(effect);
      else this.#note(effect);
  }

  #note(effect: ConsoleEffect): void {
    if (effect.kind === "run") this.ran.push({ action: effect.action.name, answers: effect.answers });
  }

  #perform(effect: ConsoleEffect): void {
    this.#note(effect);
    if (effect.kind === "write") this.said += effect.text;
    else if (effect.kind === "end") this.ended = effect.isDone;
    else if (effect.kind === "look") this.handle({ kind: "looked", facts: this.facts });
    else if (effect.kind === "run") this.handle({ kind: "finished", result: this.result });
    else {
      this.verifies.push(effect.password);
      const verdict = this.verdict ?? { kind: effect.password === this.password ? "right" : "wrong" };
      this.handle({ kind: "verified", verdict });
    }
  }
}

export function dangerousNames(actions: readonly Action[]): readonly string[] {
  return actions.filter((action) => action.kind === "dangerous").map((action) => action.name);
}
