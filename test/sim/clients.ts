import type { Prng } from "../../src/base/prng.ts";
import type { Reply, SimBox } from "./box.ts";
import type { Component, Stage } from "./component.ts";
import { COUNTER, type CounterInput } from "./counter-model.ts";
import { checkPerKey, type Operation } from "./linearizability.ts";
import { demand } from "./violation.ts";

/** One logical write, over all its tries; it returns with the first answer that arrives, to whichever of them. */
interface Call {
  readonly key: number;
  readonly client: number;
  readonly sequence: number;
  readonly calledAt: number;
  returnedAt: number;
  value: number | undefined;
}

interface Client {
  readonly number: number;
  sequence: number;
  /** The box to ask next. */
  target: number;
  /** Each try has a number; answers to older ones are late. */
  attempt: number;
  isWaiting: boolean;
}

const CLIENTS = 4;
const KEYS = 3;
/** A client gives up waiting and asks another box, with the same request. */
const TIMEOUT_MS = 400;
/** How often it gives up for good instead: it does not know the outcome, and goes on with something else. */
const GIVE_UP = 0.08;

/**
 * Clients that write one thing at a time and retry until they hear an outcome or give up, and readers. What they were
 * told must be explained by counters that do one thing at a time (linearizability.ts).
 */
export class Clients implements Component {
  readonly name = "clients";
  readonly #clients: Client[] = [];
  #random!: Prng;
  #isStopping = false;
  #reads = 0;
  readonly #calls: Call[] = [];
  readonly #readHistory: Operation<CounterInput, number>[] = [];

  start(stage: Stage): void {
    this.#random = stage.world.split();
    for (let number = 1; number <= CLIENTS; number++) {
      const client: Client = { number, sequence: 0, target: number, attempt: 0, isWaiting: false };
      this.#clients.push(client);
      stage.world.after(this.#random.fraction() * 500, "client", () => this.#next(stage, client));
    }
    stage.world.after(200, "read", () => this.#read(stage));
  }

  heal(): void {
    this.#isStopping = true;
  }

  missing(): string | undefined {
    const waiting = this.#clients.find((client) => client.isWaiting);
    return waiting === undefined ? undefined : `client ${waiting.number} waits for ${waiting.sequence}`;
  }

  finish(stage: Stage): void {
    const writes = this.#calls.map(
      ({ key, calledAt, returnedAt, value }): Operation<CounterInput, number> => ({
        input: { kind: "add", key },
        calledAt,
        returnedAt,
        output: value,
      }),
    );
    for (const { client, sequence, returnedAt } of this.#calls) {
      if (returnedAt === Number.POSITIVE_INFINITY && stage.checks.hasHappened(client, sequence))
        stage.world.count("unknown outcome found committed");
    }
    const verdict = checkPerKey([...writes, ...this.#readHistory], (input) => input.key, COUNTER);
    demand(verdict.kind !== "undecided", "client histories can be judged", () => "too many possibilities at once");
    demand(verdict.kind !== "violated", "client histories are linearizable", () => {
      return verdict.kind === "violated" ? `no order explains ${JSON.stringify(verdict.operation)}` : "";
    });
  }

  #next(stage: Stage, client: Client): void {
    if (this.#isStopping) return;
    client.sequence++;
    client.isWaiting = true;
    const call: Call = {
      key: this.#random.range(1, KEYS),
      client: client.number,
      sequence: client.sequence,
      calledAt: stage.world.now,
      returnedAt: Number.POSITIVE_INFINITY,
      value: undefined,
    };
    this.#calls.push(call);
    this.#ask(stage, client, call);
  }

  #ask(stage: Stage, client: Client, call: Call): void {
    const { world } = stage;
    const attempt = ++client.attempt;
    const { key, client: number, sequence } = call;
    const box = this.#boxFor(stage, client);
    const retry = (delayMs: number): void => {
      world.after(delayMs, "retry", () => {
        if (client.attempt !== attempt) return;
        this.#ask(stage, client, call);
      });
    };
    world.after(this.#random.fraction() * 2, "request", () => {
      box.write({ client: number, sequence, key }, (reply) => {
        world.after(this.#random.fraction() * 2, "reply", () => {
          // The ledger counts every answer that arrives; the client goes on with the first.
          if (reply.kind === "done") {
            stage.checks.acknowledged(number, sequence, reply.index, reply.value);
            call.value ??= reply.value;
            call.returnedAt = Math.min(call.returnedAt, world.now);
          }
          if (client.attempt !== attempt) return;
          this.#answered(stage, client, reply, retry);
        });
      });
    });
    world.after(TIMEOUT_MS, "time-out", () => {
      if (client.attempt !== attempt) return;
      client.target++;
      if (world.storm && this.#random.chance(GIVE_UP)) {
        world.count("outcome unknown, given up");
        this.#rest(stage, client);
        return;
      }
      world.count("outcome unknown, asked again");
      this.#ask(stage, client, call);
    });
  }

  #answered(stage: Stage, client: Client, reply: Reply, retry: (delayMs: number) => void): void {
    if (reply.kind === "not-leader") {
      const leader = stage.boxes.findIndex((box) => box.id === reply.leader);
      // A removed box remembers a leader of long ago: hints are not always followed.
      const isFollowed = leader >= 0 && this.#random.chance(0.7);
      // After the storm in turn: at random one may go on missing the only member among boxes that nobody let in.
      const other = this.#isStopping ? client.target + 1 : this.#random.range(0, stage.boxes.length - 1);
      client.target = isFollowed ? leader : other;
      retry(5 + this.#random.fraction() * 20);
      return;
    }
    if (reply.kind === "failed") stage.checks.failed(client.number, client.sequence);
    this.#rest(stage, client);
  }

  /** Done with this request, one way or the other. */
  #rest(stage: Stage, client: Client): void {
    client.attempt++;
    client.isWaiting = false;
    stage.world.after(this.#random.fraction() * 60, "client", () => this.#next(stage, client));
  }

  #boxFor(stage: Stage, client: Client): SimBox {
    return stage.boxes[client.target % stage.boxes.length] as SimBox;
  }

  #read(stage: Stage): void {
    if (this.#isStopping) return;
    const { world, checks } = stage;
    const box = this.#random.pick(stage.boxes);
    const acknowledgedBefore = checks.acknowledgedIndex;
    const input: CounterInput = { kind: "read", key: this.#random.range(1, KEYS) };
    const calledAt = world.now;
    box.read(++this.#reads, input.key, (value, index) => {
      world.count("reads answered");
      checks.read(index, acknowledgedBefore);
      this.#readHistory.push({ input, calledAt, returnedAt: world.now, output: value });
    });
    world.after(10 + this.#random.fraction() * 60, "read", () => this.#read(stage));
  }
}
