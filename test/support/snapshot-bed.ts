/** A leader's state and a follower's directories, for tests of snapshots on real files. */
import * as fs from "node:fs";
import { encodeEntry } from "../../src/base/entry.ts";
import { openLog } from "../../src/store/log/log.ts";
import type { Log, LogEntry, Recovered } from "../../src/store/log/types.ts";
import { Incoming } from "../../src/store/snapshot/incoming.ts";
import { completeInstall } from "../../src/store/snapshot/install.ts";
import { type CopyFacts, SnapshotLibrary, type StoredSnapshot } from "../../src/store/snapshot/library.ts";
import { openSqlitePackage } from "../../src/store/state/sqlite-package.ts";
import { openState } from "../../src/store/state/state.ts";
import type { State } from "../../src/store/state/types.ts";

export const SEGMENT_BYTES = 16_384;
export const CLUSTER = { lineage: "00112233aabbccdd", generation: 1 };
/** What the snapshot's membership is made of: opaque to the store. */
export const MEMBERSHIP = { index: 2, bytes: new Uint8Array([7, 7, 7]) };

/** Entry `index` of the one log that all boxes of a test hold. */
export function entryAt(index: number, term = 1): LogEntry {
  const statements =
    index === 1
      ? [{ sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL)", values: [] }]
      : [{ sql: "INSERT INTO item VALUES (?, ?)", values: [index, `${index}/${term} ${"x".repeat(200)}`] }];
  const data = encodeEntry({
    ...{ version: 1, requestId: `box1:${index}`, kind: "test", at: 0, guards: [], tags: [] },
    statements,
  });
  return { term, index, kind: "normal", data };
}

export function entriesOf(first: number, last: number, term = 1): LogEntry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => entryAt(first + at, term));
}

/** Everything below one directory. */
export class Bed {
  readonly root: string;
  readonly said: string[] = [];
  readonly log = (text: string): void => void this.said.push(text);

  constructor(name: string) {
    this.root = `/tmp/ringfence-test-${name}-${process.pid}`;
    this.clear();
  }

  clear(): void {
    fs.rmSync(this.root, { recursive: true, force: true });
    fs.mkdirSync(this.root, { recursive: true });
    this.said.length = 0;
  }

  openState(box: string): Promise<State> {
    return openState(`${this.root}/${box}/state`, { featureLevel: 1 });
  }

  openLog(box: string): Promise<{ log: Log; recovered: Recovered }> {
    return openLog(`${this.root}/${box}/log`, { segmentSizeBytes: SEGMENT_BYTES, writer: "inline" });
  }

  /** A box whose log holds `logged` and whose state has applied up to `applied`. */
  async box(name: string, logged: readonly LogEntry[], applied: number): Promise<void> {
    const { log } = await this.openLog(name);
    await log.append({ entries: logged, membership: { index: 1, bytes: new Uint8Array([1]) }, commit: applied });
    await log.close();
    const state = await this.openState(name);
    await state.apply(logged.filter((entry) => entry.index <= applied));
    await state.close();
  }

  library(box: string): SnapshotLibrary {
    return new SnapshotLibrary(`${this.root}/${box}/snapshots`, this.log);
  }

  async take(box: string, state: State, facts: Partial<CopyFacts> = {}): Promise<StoredSnapshot> {
    return this.library(box).take(async (path) => ({
      ...(await state.copyTo(path)),
      ...{ membershipIndex: MEMBERSHIP.index, membership: Buffer.from(MEMBERSHIP.bytes).toString("base64") },
      ...{ featureLevel: 1, ...CLUSTER, ...facts },
    }));
  }

  /** Sends it in pieces, as it comes over the network. */
  async receive(box: string, { manifest, path }: StoredSnapshot, isForced = false): Promise<void> {
    const bytes = fs.readFileSync(path);
    const incoming = await Incoming.open(`${this.root}/${box}/snapshots`, { manifest, isForced }, openSqlitePackage);
    while (incoming.sizeBytes < bytes.length)
      await incoming.append(bytes.subarray(incoming.sizeBytes, incoming.sizeBytes + 5000));
    await incoming.finish();
  }

  install(box: string, step?: (name: string) => void): Promise<number | undefined> {
    const directory = `${this.root}/${box}`;
    return completeInstall({
      ...{ logDirectory: `${directory}/log`, stateDirectory: `${directory}/state` },
      ...{ snapshotDirectory: `${directory}/snapshots`, cluster: CLUSTER, log: this.log },
      ...{ logOptions: { segmentSizeBytes: SEGMENT_BYTES }, step },
    });
  }
}
