/** Longer lines are not ours; they are dropped whole, so that a host that sends rubbish costs no memory. */
const LINE_LENGTH_MAX = 4096;

/** Cuts a byte stream into lines of UTF-8 text. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  readonly #onLine: (line: string) => void;
  #rest = "";
  #isSkipping = false;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(bytes: Uint8Array): void {
    const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const line of parts) {
      if (!this.#isSkipping && line.length <= LINE_LENGTH_MAX) this.#onLine(line);
      this.#isSkipping = false;
    }
    if (this.#rest.length > LINE_LENGTH_MAX) {
      this.#rest = "";
      this.#isSkipping = true;
    }
  }
}
