/** A pair of pseudo-terminals: the far end of a serial cable, for the tests. */
import { closeSync, constants, openSync } from "node:fs";
import * as assert from "uvu/assert";
import { EPOLL } from "../../src/linux/epoll-calls.ts";
import { libc } from "../../src/linux/libc.ts";
import { type Watch, watchReadiness } from "../../src/linux/readiness.ts";
import { PATIENCE } from "./patience.ts";

const TIOCGPTN = 0x80045430n;
const TIOCSPTLCK = 0x40045431n;
const TIOCSWINSZ = 0x5414n;
const DEADLINE_MS = 15_000 * PATIENCE;
const CHUNK_BYTES = 64 * 1024;

export class FarEnd {
  /** What the other side opens. */
  readonly path: string;
  readonly #file: number;
  readonly #watch: Watch;
  readonly #buffer = new Uint8Array(CHUNK_BYTES);
  /** All that came, as Latin-1 text. */
  text = "";
  /** Bytes that came; counted also when nobody wants the text. */
  byteCount = 0;
  /** Set false where megabytes are sent. */
  keepsText = true;
  /** Slows reading down: so many bytes a second; undefined takes all. */
  bytesASecond: number | undefined;
  #isOpen = true;

  constructor() {
    this.#file = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    const number = new Int32Array(1);
    assert.is(libc.ioctl(this.#file, TIOCSPTLCK, new Int32Array([0])), 0);
    assert.is(libc.ioctl(this.#file, TIOCGPTN, number), 0);
    this.path = `/dev/pts/${number[0]}`;
    this.#watch = watchReadiness(this.#file, () => this.#read());
    this.#watch.arm(EPOLL.IN);
  }

  #read(): void {
    // A terminal that nobody has open hangs up on its far end: asked again a little later.
    if (!this.#isOpen) return;
    const most = this.bytesASecond === undefined ? CHUNK_BYTES : Math.max(1, Math.floor(this.bytesASecond / 100));
    const count = Number(libc.read(this.#file, this.#buffer, most));
    if (count > 0) {
      this.byteCount += count;
      if (this.keepsText) this.text += Buffer.from(this.#buffer.subarray(0, count)).toString("latin1");
    }
    const again = (): void => {
      if (this.#isOpen) this.#watch.arm(EPOLL.IN);
    };
    if (count <= 0 || this.bytesASecond !== undefined) setTimeout(again, 10);
    else again();
  }

  /** Bytes or text, all at once; a full line is an error of the test. */
  send(content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    assert.is(Number(libc.write(this.#file, bytes, bytes.length)), bytes.length);
  }

  /** Sends as much as goes; the count. */
  offer(bytes: Uint8Array): number {
    return Math.max(0, Number(libc.write(this.#file, bytes, bytes.length)));
  }

  setSize(columns: number, rows: number): void {
    assert.is(libc.ioctl(this.#file, TIOCSWINSZ, new Uint16Array([rows, columns, 0, 0])), 0);
  }

  async until(what: string, isTrue: () => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    for (const end = performance.now() + deadlineMs; !isTrue(); await Bun.sleep(5))
      assert.ok(performance.now() < end, `waited in vain until ${what}; the line said:\n${this.text.slice(-4000)}`);
  }

  /** Waits until what came since `from` matches, and gives the text up to the match's end. */
  async expect(pattern: RegExp, from = 0, deadlineMs = DEADLINE_MS): Promise<string> {
    await this.until(`it says ${pattern}`, () => pattern.test(this.text.slice(from)), deadlineMs);
    const text = this.text.slice(from);
    const match = pattern.exec(text);
    return text.slice(0, (match?.index ?? 0) + (match?.[0].length ?? 0));
  }

  /** The cable is pulled. */
  hangUp(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.end();
    closeSync(this.#file);
  }
}
