import type { Prng } from "../../src/base/prng.ts";
import type { Reply, SimBox } from "./box.ts";
import type { Component, Stage } from "./component.ts";

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

/** Clients that write one thing at a time and retry until they hear an outcome, and readers. */
export class Clients implements Component {
  readonly name = "clients";
  readonly #clients: Client[] = [];
  #random!: Prng;
  #isStopping = false;
  #reads = 0;

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

  #next(stage: Stage, client: Client): void {
    if (this.#isStopping) return;
    client.sequence++;
    client.isWaiting = true;
    this.#ask(stage, client, this.#random.range(1, KEYS));
  }

  #ask(stage: Stage, client: Client, key: number): void {
    const { world } = stage;
    const attempt = ++client.attempt;
    const { number, sequence } = client;
    const box = this.#boxFor(stage, client);
    const retry = (delayMs: number): void => {
      world.after(delayMs, "retry", () => {
        if (client.attempt !== attempt) return;
        this.#ask(stage, client, key);
      });
    };
    world.after(this.#random.fraction() * 2, "request", () => {
      box.write({ client: number, sequence, key }, (reply) => {
        world.after(this.#random.fraction() * 2, "reply", () => {
          // The ledger counts every answer that arrives; the client goes on with the first.
          if (reply.kind === "done") stage.checks.acknowledged(number, sequence, reply.index, reply.value);
          if (client.attempt !== attempt) return;
          this.#answered(stage, client, reply, retry);
        });
      });
    });
    world.after(TIMEOUT_MS, "time-out", () => {
      if (client.attempt !== attempt) return;
      client.target++;
      world.count("outcome unknown, asked again");
      this.#ask(stage, client, key);
    });
  }

  #answered(stage: Stage, client: Client, reply: Reply, retry: (delayMs: number) => void): void {
    if (reply.kind === "not-leader") {
      const leader = stage.boxes.findIndex((box) => box.id === reply.leader);
      // A removed box remembers a leader of long ago: hints are not always followed.
      const isFollowed = leader >= 0 && this.#random.chance(0.7);
      client.target = isFollowed ? leader : this.#random.range(0, stage.boxes.length - 1);
      retry(5 + this.#random.fraction() * 20);
      return;
    }
    if (reply.kind === "failed") stage.checks.failed(client.number, client.sequence);
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
    box.read(++this.#reads, (index) => {
      world.count("reads answered");
      checks.read(index, acknowledgedBefore);
    });
    world.after(10 + this.#random.fraction() * 60, "read", () => this.#read(stage));
  }
}
