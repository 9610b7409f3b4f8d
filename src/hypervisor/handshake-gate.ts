import { assert } from "../base/assert.ts";
import type { Handshakes } from "./ports.ts";

/** ARCHITECTURE.md section 6: at most 4 handshakes at a time on a box. */
export const HANDSHAKES_MAX = 4;

/** First come, first served; the queue is as long as the caller has hosts. */
export function createHandshakeGate(capacity: number = HANDSHAKES_MAX): Handshakes {
  let inside = 0;
  const waiting: (() => void)[] = [];
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) inside--;
    else next();
  };
  return {
    enter: async () => {
      if (inside >= capacity) await new Promise<void>((resolve) => waiting.push(resolve));
      else inside++;
      let left = false;
      return () => {
        assert(!left, "a handshake leaves the gate once");
        left = true;
        leave();
      };
    },
  };
}
