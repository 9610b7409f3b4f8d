/** QEMU's monitor (QMP): commands, and what happened to the machine with its instant. */
import { connect, type Socket } from "node:net";

/** What QEMU tells by itself: `RESET`, `WATCHDOG`, `SHUTDOWN`. */
export interface MachineEvent {
  readonly name: string;
  /** performance.now() of its arrival. */
  readonly at: number;
}

const ANSWER_MS = 30_000;

export class Monitor {
  readonly #socket: Socket;
  readonly events: MachineEvent[] = [];
  readonly #answers: string[] = [];
  #rest = "";

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.setEncoding("utf8");
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (text) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    });
  }

  /** As `stop`, which freezes the machine, or `system_reset`, its button. Throws when QEMU does not do it. */
  async command(name: string): Promise<void> {
    const before = this.#answers.length;
    this.#socket.write(`${JSON.stringify({ execute: name })}\n`);
    const end = performance.now() + ANSWER_MS;
    while (this.#answers.length === before) {
      if (performance.now() > end) throw new Error(`The emulator does not answer "${name}"`);
      await Bun.sleep(20);
    }
    const answer = this.#answers[before] ?? "";
    if (answer.includes('"error"')) throw new Error(`The emulator does not do "${name}": ${answer}`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(line: string): void {
    if (line.trim() === "") return;
    const message = JSON.parse(line) as { readonly event?: string; readonly QMP?: object };
    if (message.event !== undefined) this.events.push({ name: message.event, at: performance.now() });
    else if (message.QMP === undefined) this.#answers.push(line);
  }
}
