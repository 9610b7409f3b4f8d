/** A watcher's events: one JSON object a line, times in CLOCK_MONOTONIC ms. */
import { closeSync, openSync, writeSync } from "node:fs";

/** Collects lines and writes them now and then: a write a packet would cost the loop its time. */
export class EventFile {
  #file: number;
  #lines: string[] = [];

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  add(event: WatchEvent): void {
    this.#lines.push(JSON.stringify(event));
  }

  flush(): void {
    if (this.#lines.length === 0) return;
    writeSync(this.#file, `${this.#lines.join("\n")}\n`);
    this.#lines = [];
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
  }
}

/** All that watchers write. */
export type WatchEvent =
  /** The loop runs. */
  | { readonly kind: "ready"; readonly atMs: number }
  /** `target` answered an ICMP echo. */
  | { readonly kind: "answer"; readonly atMs: number; readonly target: string; readonly sequence: number }
  /** This loop did not get a processor in time, by so much: gaps around here are not the target's alone. */
  | { readonly kind: "late"; readonly atMs: number; readonly byMs: number }
  /** A station answered for the VIP; `round` is the question's number, `askedAtMs` when it was sent. */
  | {
      readonly kind: "holder";
      readonly atMs: number;
      readonly mac: string;
      readonly by: "arp" | "icmp";
      readonly round: number;
      readonly askedAtMs: number;
    }
  /** A guest's newest record on its disk changed. */
  | {
      readonly kind: "record";
      readonly atMs: number;
      readonly target: string;
      readonly number: number;
      readonly bootId: string;
      readonly counter: number;
    };
