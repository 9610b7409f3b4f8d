import type { RaftId } from "../raft/types.ts";
import type { SnapshotManifest } from "../store/snapshot/manifest.ts";
import type { SnapshotMessage } from "./snapshot-frames.ts";
import { WINDOW_BYTES } from "./snapshot-sender.ts";

export type Judgement =
  | { readonly kind: "take" }
  | { readonly kind: "have" }
  | { readonly kind: "refuse"; why: string };

/** The snapshot on its way in: {@link ReceiverPorts}' file of it. */
export interface ReceiverPorts {
  send(to: RaftId, message: SnapshotMessage): void;
  /** Does this box want it? */
  judge(manifest: SnapshotManifest, isForced: boolean): Judgement;
  /** Begins, or takes up, the file of this snapshot; `done` gets what is there already. One is open at a time. */
  open(manifest: SnapshotManifest, isForced: boolean, done: (sizeBytes: number | undefined) => void): void;
  /** At the end of the file. */
  append(bytes: Uint8Array, done: (ok: boolean) => void): void;
  /** All bytes are there: proves them and makes them ready to be installed. `done` gets what is wrong with them. */
  finish(done: (why?: string) => void): void;
  /** It is ready and the sender knows: this process ends, the next one starts with it. */
  install(): void;
  log(text: string): void;
}

interface Arriving {
  from: RaftId;
  transfer: number;
  readonly manifest: SnapshotManifest;
  /** `failed`: its file is of no use any more; the next offer begins anew. */
  phase: "opening" | "receiving" | "verifying" | "ready" | "failed";
  sizeBytes: number;
  isWriting: boolean;
  /** In order, bounded by the sender's window. */
  waiting: { readonly offset: number; readonly bytes: Uint8Array }[];
}

/** The follower's side: one snapshot at a time, asked for piece by piece, and at its end a new start of this box. */
export class SnapshotReceiver {
  readonly #ports: ReceiverPorts;
  #arriving: Arriving | undefined;

  constructor(ports: ReceiverPorts) {
    this.#ports = ports;
  }

  receive(from: RaftId, message: SnapshotMessage): void {
    if (message.kind === "offer") this.#offered(from, message);
    else if (message.kind === "chunk") this.#chunk(from, message);
  }

  #offered(from: RaftId, { transfer, manifest, isForced }: Extract<SnapshotMessage, { kind: "offer" }>): void {
    const known = this.#arriving;
    if (known !== undefined && known.phase !== "failed" && known.manifest.sha256 === manifest.sha256) {
      // The same bytes, from whomever.
      known.from = from;
      known.transfer = transfer;
      this.#answer(known);
      return;
    }
    // One that is complete is not given up for another one, and its file is not free yet while it is opened or written.
    if (known !== undefined && (known.phase === "opening" || known.phase === "verifying" || known.phase === "ready"))
      return;
    if (known?.isWriting === true) return;
    const judgement = this.#ports.judge(manifest, isForced);
    if (judgement.kind === "have") this.#ports.send(from, { kind: "done", transfer });
    else if (judgement.kind === "refuse") this.#ports.send(from, { kind: "refuse", transfer, why: judgement.why });
    else this.#open(from, transfer, manifest, isForced);
  }

  #open(from: RaftId, transfer: number, manifest: SnapshotManifest, isForced: boolean): void {
    const arriving: Arriving = {
      ...{ from, transfer, manifest, phase: "opening", sizeBytes: 0, isWriting: false, waiting: [] },
    };
    this.#arriving = arriving;
    this.#ports.open(manifest, isForced, (sizeBytes) => {
      if (sizeBytes === undefined) {
        this.#failed(arriving, "its file cannot be opened");
        return;
      }
      arriving.phase = "receiving";
      arriving.sizeBytes = sizeBytes;
      const what = sizeBytes === 0 ? "receives" : `goes on at byte ${sizeBytes} of`;
      this.#ports.log(`${what} a snapshot up to ${manifest.index} (${manifest.sizeBytes} bytes) from ${from}`);
      if (!this.#isWhole(arriving)) this.#answer(arriving);
    });
  }

  #answer(arriving: Arriving): void {
    const { from, transfer, phase, sizeBytes } = arriving;
    if (phase === "ready") this.#ports.send(from, { kind: "done", transfer });
    else if (phase !== "opening") this.#ports.send(from, { kind: "want", transfer, offset: sizeBytes });
  }

  #chunk(from: RaftId, { transfer, offset, bytes }: Extract<SnapshotMessage, { kind: "chunk" }>): void {
    const arriving = this.#arriving;
    if (arriving === undefined || arriving.from !== from || arriving.transfer !== transfer) return;
    const last = arriving.waiting.at(-1);
    const expected = last === undefined ? arriving.sizeBytes : last.offset + last.bytes.length;
    // Lost ones are offered again, and what would be more than the sender may send is not its.
    if (arriving.phase !== "receiving" || offset !== expected) return;
    if (offset + bytes.length - arriving.sizeBytes > WINDOW_BYTES) return;
    arriving.waiting.push({ offset, bytes });
    this.#write(arriving);
  }

  #write(arriving: Arriving): void {
    const [next] = arriving.waiting;
    if (next === undefined || arriving.isWriting) return;
    arriving.isWriting = true;
    this.#ports.append(next.bytes, (ok) => {
      arriving.isWriting = false;
      if (!ok) {
        this.#failed(arriving, "it cannot be written");
        return;
      }
      arriving.waiting.shift();
      arriving.sizeBytes = next.offset + next.bytes.length;
      if (this.#isWhole(arriving)) return;
      this.#answer(arriving);
      this.#write(arriving);
    });
  }

  /** True when nothing is missing: then it is proven, and the box starts anew with it. */
  #isWhole(arriving: Arriving): boolean {
    const { manifest } = arriving;
    if (arriving.sizeBytes < manifest.sizeBytes) return false;
    arriving.phase = "verifying";
    this.#answer(arriving);
    this.#ports.finish((why) => {
      if (why !== undefined) {
        this.#failed(arriving, why);
        return;
      }
      arriving.phase = "ready";
      this.#answer(arriving);
      this.#ports.install();
    });
    return true;
  }

  #failed(arriving: Arriving, why: string): void {
    arriving.phase = "failed";
    arriving.waiting = [];
    this.#ports.log(`the snapshot up to ${arriving.manifest.index} is of no use: ${why}`);
    this.#ports.send(arriving.from, { kind: "refuse", transfer: arriving.transfer, why });
  }
}
