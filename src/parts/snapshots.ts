import { type FileHandle, open } from "node:fs/promises";
import { CodedError, errorChain } from "../base/error.ts";
import type { ClusterId } from "../cluster/identity.ts";
import { decodeSnapshotMessage, encodeSnapshotMessage, type SnapshotMessage } from "../cluster/snapshot-frames.ts";
import { type Judgement, SnapshotReceiver } from "../cluster/snapshot-receiver.ts";
import { SnapshotSender, type SnapshotSource } from "../cluster/snapshot-sender.ts";
import { Incoming } from "../store/snapshot/incoming.ts";
import { SnapshotLibrary, type StoredSnapshot } from "../store/snapshot/library.ts";
import type { SnapshotManifest } from "../store/snapshot/manifest.ts";
import { openSqlitePackage } from "../store/state/sqlite-package.ts";
import type { State } from "../store/state/types.ts";
import type { Core } from "./core.ts";

export interface SnapshotsPorts {
  readonly state: Pick<State, "appliedIndex" | "copyTo" | "level">;
  readonly core: Pick<Core, "logAt" | "sendSnapshotFrame" | "reportSnapshot">;
  readonly cluster: ClusterId;
  /** The largest that this build knows. */
  readonly featureLevel: number;
  readonly directory: string;
  log(text: string): void;
  /** A received snapshot is ready: this process is to end in order, the next start installs it. */
  restart(): void;
}

/** While a snapshot is on its way out, ms: chunks leave at this pace. */
const TICK_MS = 5;
/** A snapshot that is further behind is taken anew: copying the state costs less than sending so many entries. */
const FRESH_ENTRIES = 10_000;

interface Source extends SnapshotSource {
  readonly file: FileHandle;
}

/** Joins cluster/'s two ends of a snapshot's way to the state, the disk and the core. Lives in the work thread. */
export class Snapshots {
  readonly #ports: SnapshotsPorts;
  readonly #library: SnapshotLibrary;
  readonly #sender: SnapshotSender<Source>;
  readonly #receiver: SnapshotReceiver;
  #taking: Promise<StoredSnapshot> | undefined;
  #incoming: Incoming | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: SnapshotsPorts) {
    this.#ports = ports;
    this.#library = new SnapshotLibrary(ports.directory, ports.log);
    this.#sender = new SnapshotSender<Source>({
      now: () => performance.now(),
      // What the core cannot send now is offered again: it says nothing of it.
      send: (to, message) => this.#send(to, message),
      prepare: (isForced, done) => {
        this.#prepare(isForced).then(done, (error: unknown) => {
          ports.log(errorChain(error));
          done(undefined);
        });
      },
      read: (source, offset, length, done) => {
        source.file.read(Buffer.allocUnsafe(length), 0, length, offset).then(
          ({ bytesRead, buffer }) => done(buffer.subarray(0, bytesRead)),
          () => done(undefined),
        );
      },
      release: (source) => {
        source.file.close().catch((error: unknown) => ports.log(errorChain(error)));
      },
      report: (to, ok) => ports.core.reportSnapshot(to, ok),
      log: ports.log,
    });
    this.#receiver = new SnapshotReceiver({
      send: (to, message) => void this.#send(to, message),
      judge: (manifest, isForced) => this.#judge(manifest, isForced),
      open: (manifest, isForced, done) => {
        this.#open(manifest, isForced).then(done, (error: unknown) => {
          ports.log(errorChain(error));
          done(undefined);
        });
      },
      append: (bytes, done) => {
        const appended = this.#incoming?.append(bytes) ?? Promise.reject(new Error("no snapshot is open"));
        appended.then(
          () => done(true),
          (error: unknown) => {
            ports.log(errorChain(error));
            done(false);
          },
        );
      },
      finish: (done) => {
        const finished = this.#incoming?.finish() ?? Promise.reject(new Error("no snapshot is open"));
        this.#incoming = undefined;
        finished.then(
          () => done(),
          (error: unknown) => done(errorChain(error)),
        );
      },
      install: () => ports.restart(),
      log: ports.log,
    });
  }

  /** Boxes that need what the log has no more. `isForced`: they are to start from the leader's state although they do not. */
  needed(to: readonly string[], isForced = false): void {
    for (const raftId of to) this.#sender.request(raftId, isForced);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  frame(from: string, payload: Uint8Array): void {
    let message: SnapshotMessage;
    try {
      message = decodeSnapshotMessage(payload);
    } catch (error) {
      this.#ports.log(`${from}: ${errorChain(error)}`);
      return;
    }
    if (message.kind === "offer" || message.kind === "chunk") this.#receiver.receive(from, message);
    else this.#sender.receive(from, message);
  }

  /** Whoever leads now sends what is needed. */
  leadershipLost(): void {
    this.#sender.abandon();
  }

  /** A new snapshot of what is applied now. */
  take(): Promise<StoredSnapshot> {
    this.#taking ??= this.#take().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sender.abandon();
  }

  #tick(): void {
    this.#sender.tick();
    if (this.#sender.isBusy) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #send(to: string, message: SnapshotMessage): boolean {
    const isChunk = message.kind === "chunk" || message.kind === "offer";
    this.#ports.core.sendSnapshotFrame(to, encodeSnapshotMessage(message), isChunk);
    return true;
  }

  async #prepare(isForced: boolean): Promise<Source> {
    const newest = this.#library.newest();
    const { firstIndex } = await this.#ports.core.logAt(0);
    const index = newest?.manifest.index ?? -1;
    // After a force-recover the library still has what the former generation took, which nobody takes any more.
    const isOurs = newest?.manifest.generation === this.#ports.cluster.generation;
    const isFresh = isOurs && index >= firstIndex - 1 && this.#ports.state.appliedIndex - index <= FRESH_ENTRIES;
    const { manifest, path } = newest !== undefined && isFresh && !isForced ? newest : await this.take();
    return { manifest, file: await open(path, "r") };
  }

  #take(): Promise<StoredSnapshot> {
    const { state, core, cluster } = this.#ports;
    return this.#library.take(async (path) => {
      const { index, term } = await state.copyTo(path);
      const { firstIndex, membership } = await core.logAt(index);
      if (membership === undefined || index < firstIndex - 1)
        throw new CodedError("snapshot-failed", `Cannot take a snapshot at ${index}: the log begins at ${firstIndex}`);
      return {
        ...{ index, term, membershipIndex: membership.index },
        // What the copy needs of its reader: the level in force, not what this build could do.
        featureLevel: state.level,
        ...{ membership: Buffer.from(membership.bytes).toString("base64") },
        ...{ lineage: cluster.lineage, generation: cluster.generation },
      };
    });
  }

  #judge(manifest: SnapshotManifest, isForced: boolean): Judgement {
    const { cluster, state, featureLevel } = this.#ports;
    if (manifest.lineage !== cluster.lineage || manifest.generation !== cluster.generation)
      return { kind: "refuse", why: "it is another cluster's" };
    if (manifest.featureLevel > featureLevel)
      return { kind: "refuse", why: `it needs feature level ${manifest.featureLevel}, this box knows ${featureLevel}` };
    return manifest.index <= state.appliedIndex && !isForced ? { kind: "have" } : { kind: "take" };
  }

  async #open(manifest: SnapshotManifest, isForced: boolean): Promise<number> {
    const { directory } = this.#ports;
    await this.#incoming?.leave();
    this.#incoming = undefined;
    this.#incoming = await Incoming.open(directory, { manifest, isForced }, openSqlitePackage);
    return this.#incoming.sizeBytes;
  }
}
