import { randomBytes } from "node:crypto";
import { CodedError, errorChain } from "../base/error.ts";

/** How long a piece waits at the box for the one before it to be written, ms: well within what its sender waits for an answer. */
const ROOM_MS_MAX = 4000;
/** A sender that is silent for so long has gone, ms. */
const SILENT_MS_MAX = 60_000;

/** What became of an upload, as `ringfence.update.state` tells it. */
export interface UploadState {
  readonly kind: "receiving" | "installing" | "installed" | "failed";
  /** Bytes of the bundle that came. */
  readonly bytes: number;
  /** Of a failure: why. */
  readonly why: string;
  /** Of an installed one. */
  readonly slot: string;
  readonly version: string;
  readonly build: string;
}

export type Install = (
  chunks: AsyncIterable<Uint8Array>,
) => Promise<{ readonly slot: string; readonly release: { readonly version: string; readonly build: string } }>;

/**
 * A bundle that comes in pieces, each by a call of its own, and is installed while it comes: the next piece is taken when
 * the one before is written, so no more than one lies in memory beside the one that waits.
 */
export class Upload {
  readonly id = randomBytes(16).toString("hex");
  readonly #roomMs: number;
  readonly done: Promise<void>;
  #state: UploadState = { kind: "receiving", bytes: 0, why: "", slot: "", version: "", build: "" };
  /** Came, and is not written yet. */
  #piece: Uint8Array | undefined;
  /** Of that piece, or of the whole upload: its end. */
  #written = Promise.withResolvers<void>();
  #isWhole = false;
  #isGivenUp = false;
  #wake: () => void = () => undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(install: Install, silentMs: number = SILENT_MS_MAX, roomMs: number = ROOM_MS_MAX) {
    this.#roomMs = roomMs;
    this.#listen(silentMs);
    this.done = install(this.#chunks(silentMs)).then(
      ({ slot, release: { version, build } }) => this.#end({ kind: "installed", slot, version, build }),
      (error: unknown) => this.#end({ kind: "failed", why: errorChain(error) }),
    );
  }

  get state(): UploadState {
    return this.#state;
  }

  /**
   * Takes the piece that begins at `at`, as soon as the one before is written; when that takes longer than {@link ROOM_MS_MAX}
   * it is not taken, and is brought again. One that is here already (a repeated call) is passed over, and a failed
   * installation takes none. What came, the state says. Rejects with `update` when pieces are missing before it.
   */
  async put(at: number, bytes: Uint8Array): Promise<UploadState> {
    if (this.#piece !== undefined) await this.#room();
    const have = this.#state.bytes;
    if (this.#state.kind !== "receiving" || at + bytes.length <= have) return this.#state;
    if (at !== have || this.#isWhole)
      throw new CodedError("update", `The bundle's bytes from ${have} on are next, not those from ${at} on`);
    if (this.#piece !== undefined) return this.#state;
    this.#piece = bytes;
    this.#written = Promise.withResolvers();
    this.#state = { ...this.#state, bytes: have + bytes.length };
    this.#wake();
    return this.#state;
  }

  async #room(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#roomMs);
    this.#written.promise.then(resolve);
    await promise;
    clearTimeout(timer);
  }

  /** No more comes. */
  end(): void {
    if (this.#state.kind !== "receiving") return;
    this.#isWhole = true;
    this.#state = { ...this.#state, kind: "installing" };
    this.#wake();
  }

  /** Another update is begun instead: this one ends, at the latest when what came is written. */
  async giveUp(): Promise<void> {
    this.#isGivenUp = true;
    this.#wake();
    await this.done;
  }

  async *#chunks(silentMs: number): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      if (this.#isGivenUp) throw new CodedError("update", "Another update was begun");
      const piece = this.#piece;
      if (piece !== undefined) {
        yield piece;
        // It is asked for the next one, so this one is written.
        this.#piece = undefined;
        this.#written.resolve();
        this.#listen(silentMs);
      } else if (this.#isWhole) return;
      else if (this.#silence === undefined)
        throw new CodedError(
          "bundle-truncated",
          `Nothing came for ${silentMs / 1000} s, after ${this.#state.bytes} bytes`,
        );
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #listen(silentMs: number): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#silence = undefined;
      this.#wake();
    }, silentMs);
  }

  #end(end: Partial<UploadState>): void {
    clearTimeout(this.#silence);
    this.#state = { ...this.#state, ...end };
    this.#written.resolve();
  }
}
