/** A machine's second serial line, by QEMU's socket; and how any of them is waited for. */
import { connect, type Socket } from "node:net";
import { PATIENCE } from "../patience.ts";

/** Of what a line said, in a failure. */
export const TOLD_CHARACTERS = 4000;

export class Line {
  readonly #socket: Socket;
  /** All that came since it was plugged in. */
  text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      this.text += text;
    });
    socket.on("error", () => undefined);
  }

  /** Plugs a cable in. */
  static async of(path: string): Promise<Line> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Line(socket);
  }

  /** As at a keyboard, or as noise; returns when the machine has taken all of it. */
  type(words: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#socket.write(words, () => resolve()));
  }

  /** Waits until what came since `from` matches; where the match ends. */
  expect(pattern: RegExp, withinMs: number, from = 0): Promise<number> {
    return expectText(() => this.text, pattern, withinMs, from);
  }

  /** Types a line and waits for its answer; the answer. */
  async say(line: string, answer: RegExp, withinMs = 20_000): Promise<string> {
    const from = this.text.length;
    await this.type(`${line}\r`);
    const end = await this.expect(answer, withinMs, from);
    return this.text.slice(from, end);
  }

  /** Pulls the cable. */
  pull(): void {
    this.#socket.destroy();
  }
}

/** Waits until `text` from `from` on matches; where the match ends. Throws with the end of what was said instead. */
export async function expectText(text: () => string, pattern: RegExp, withinMs: number, from = 0): Promise<number> {
  const end = performance.now() + withinMs * PATIENCE;
  for (;;) {
    const match = pattern.exec(text().slice(from));
    if (match !== null) return from + match.index + match[0].length;
    if (performance.now() > end) {
      const said = text().slice(from).slice(-TOLD_CHARACTERS);
      throw new Error(`Waited ${(withinMs * PATIENCE) / 1000} s in vain for ${pattern}; the line said:\n${said}`);
    }
    await Bun.sleep(50);
  }
}
