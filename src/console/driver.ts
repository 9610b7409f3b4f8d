import { unreachable } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import type { Action } from "./actions.ts";
import { step } from "./machine.ts";
import type { ConsolePorts } from "./ports.ts";
import { type ConsoleEffect, type ConsoleEvent, type ConsoleState, initialState } from "./state.ts";
import type { ActionResult, Facts, Verdict } from "./types.ts";

/** Longer outcomes are in the action's own log. */
const OUTCOME_CHARACTERS_MAX = 300;

export interface DriverOptions {
  /** The line's name, for the record. */
  readonly line: string;
  readonly isSingle?: boolean;
  readonly isEchoing?: boolean;
}

/** Performs what the machine says. Call {@link tick} each second. */
export class ConsoleDriver {
  readonly #ports: ConsolePorts;
  readonly #line: string;
  #state: ConsoleState;
  /** What is under way, for an end that comes meanwhile. */
  #running: Promise<void> = Promise.resolve();

  constructor(ports: ConsolePorts, { line, ...options }: DriverOptions) {
    this.#ports = ports;
    this.#line = line;
    this.#state = initialState(ports.now(), options);
  }

  start(): void {
    this.#handle({ kind: "started" });
  }

  /** One command, as its words; the answers to its questions come by {@link receive}. */
  command(line: string): void {
    this.#handle({ kind: "commanded", line });
  }

  receive(bytes: Uint8Array): void {
    this.#handle({ kind: "received", bytes: [...bytes] });
  }

  endInput(): void {
    this.#handle({ kind: "input-ended" });
  }

  hangUp(): void {
    this.#handle({ kind: "hung-up" });
  }

  tick(): void {
    this.#handle({ kind: "ticked" });
  }

  #handle(event: ConsoleEvent): void {
    const { state, effects } = step(this.#state, event, this.#ports.now());
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: ConsoleEffect): void {
    switch (effect.kind) {
      case "write":
        this.#ports.write(effect.text);
        return;
      case "look":
        this.#later(async () => this.#handle({ kind: "looked", facts: await this.#ports.look() }));
        return;
      case "verify":
        this.#later(async () => this.#handle({ kind: "verified", verdict: await this.#verify(effect.password) }));
        return;
      case "run":
        this.#later(async () => this.#handle({ kind: "finished", result: await this.#run(effect) }));
        return;
      case "end": {
        const end = (): void => this.#ports.end(effect.isDone);
        // An action that was begun is not left in the middle because a cable was pulled.
        this.#running.then(end, end);
        return;
      }
      default:
        unreachable(effect);
    }
  }

  #later(act: () => Promise<void>): void {
    this.#running = act();
    // Looking and running give results, not errors; what is left is a mistake of ours, and the supervisor starts a new one.
    this.#running.catch((error: unknown) => {
      this.#ports.write(`\r\n${errorChain(error)}\r\n`);
      this.#ports.end(false);
    });
  }

  async #verify(password: string): Promise<Verdict> {
    const verdict = await this.#ports.verify(password);
    if (verdict.kind === "wrong")
      this.#ports.record({
        ...{ box: this.#state.facts?.box ?? "", line: this.#line, action: "password" },
        detail: "",
        outcome: "wrong password",
      });
    return verdict;
  }

  async #run({ action, answers, facts }: Extract<ConsoleEffect, { kind: "run" }>): Promise<ActionResult> {
    if (action.kind !== "dangerous") return this.#try(action, answers, facts);
    const detail = answers.filter((_, index) => action.questions[index]?.isSecret !== true).join(" ");
    const fact = { box: facts.box, line: this.#line, action: action.name, detail };
    // On the record before it is done: whatever happens in between, somebody can read who was there.
    const { id, why } = this.#ports.record({ ...fact, outcome: "begun" });
    if (why !== undefined) this.#ports.write(`Not safe on the record of this box (${why}); it goes on.\r\n`);
    const result = await this.#try(action, answers, facts);
    const outcome = `${result.isDone ? "done" : "failed"} ${result.text}`.replace(/\s+/g, " ").trim();
    this.#ports.record({ ...fact, id, outcome: outcome.slice(0, OUTCOME_CHARACTERS_MAX) });
    return result;
  }

  async #try(action: Action, answers: readonly string[], facts: Facts): Promise<ActionResult> {
    try {
      return await this.#ports.run(action, answers, facts);
    } catch (error) {
      return { isDone: false, text: errorChain(error) };
    }
  }
}
