// The leader puts into the log what the boxes announce: nothing on its own, nothing twice, a level only when it is free.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change, Outcome } from "../../../src/base/entry.ts";
import type { Announcement } from "../../../src/cluster/announcement.ts";
import { timingsFromText, timingsOf, timingsText } from "../../../src/config/timings.ts";
import { Agreement, type AgreementPorts } from "../../../src/parts/agreement.ts";
import type { BoxRole } from "../../../src/parts/cluster.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";

function text(items: Readonly<Record<string, string>>): string {
  const timings = timingsOf(items);
  if ("problem" in timings) throw new Error(timings.problem);
  return timingsText(timings);
}
const DEFAULT = text({});
const FAST = text({ PROFILE: "fast" });
const HOUR_MS = 3_600_000;

class Bed {
  now = 0;
  level = 1;
  /** Undefined: the cluster is not founded. */
  inForce: string | undefined = "";
  readonly proposed: { kind: string; change: Change; level: number | undefined }[] = [];
  readonly said: string[] = [];
  readonly announced = new Map<string, Announcement>();
  readonly agreement: Agreement;

  constructor(options: Partial<AgreementPorts> = {}) {
    const members = ["a", "b", "c"].map((raftId, serverId) => ({
      ...{ raftId, serverId, certificateHash: "", peerAddress: "", name: `box${serverId}` },
    }));
    for (const { raftId } of members) this.announce(raftId, {});
    const propose = async (kind: string, change: Change, level?: number): Promise<Outcome> => {
      this.proposed.push({ kind, change, level });
      if (level !== undefined) this.level = level;
      else this.inForce = String(change.statements[0]?.values[0]);
      return { kind: "done", index: 1, rows: [], changes: [] };
    };
    const state = {
      read: async (sql: string) => {
        if (sql.includes("sqlite_master")) return [[this.inForce === undefined ? 0 : 1]];
        return this.inForce === "" ? [] : [[this.inForce ?? null]];
      },
    };
    Object.defineProperty(state, "level", { get: () => this.level });
    this.agreement = new Agreement({
      cluster: {
        core: { status: async () => ({ announced: this.announced }) },
        state,
        membership: () => ({ ...EMPTY_MEMBERSHIP, voters: ["a", "b", "c"], members }),
        propose,
      } as unknown as AgreementPorts["cluster"],
      ...{ known: 2, lookEveryMs: 1, now: () => this.now, log: (line) => void this.said.push(line) },
      ...options,
    });
  }

  announce(raftId: string, some: Partial<Announcement>): void {
    this.announced.set(raftId, { featureLevel: 1, build: "1.0", timings: DEFAULT, ...some });
  }

  /** Leads for some looks. */
  async lead(): Promise<void> {
    this.agreement.roleChanged({ isReady: true } as BoxRole);
    await Bun.sleep(15);
    this.agreement.stop();
  }
}

test("a new cluster gets the timings that its boxes ask for, once", async () => {
  const bed = new Bed();
  await bed.lead();
  assert.equal(
    bed.proposed.map(({ kind, change }) => [kind, change.statements[0]?.values, change.tags]),
    [["cluster.timings", [DEFAULT], ["timings"]]],
  );
  assert.match(bed.said.join(), "timings of the cluster, as most boxes ask for: default (heartbeat 100 ms");
  await bed.lead();
  assert.is(bed.proposed.length, 1);
});

test("before the founding nothing is proposed, and a box that does not lead proposes nothing", async () => {
  const bed = new Bed();
  bed.inForce = undefined;
  await bed.lead();
  assert.equal(bed.proposed, []);
  bed.inForce = "";
  bed.agreement.roleChanged({ isReady: false } as BoxRole);
  await Bun.sleep(10);
  assert.equal(bed.proposed, []);
});

test("one edited file changes nothing, two of three do, and texts that prove nothing never count", async () => {
  const bed = new Bed();
  await bed.lead();
  bed.announce("a", { timings: FAST });
  await bed.lead();
  assert.is(bed.inForce, DEFAULT);
  bed.announce("c", { timings: FAST });
  await bed.lead();
  assert.is(bed.inForce, FAST);
  // A promise above the election time-out: no box of ours announces it.
  const broken = JSON.stringify({ ...(timingsFromText(FAST) as object), promiseMs: 400 });
  for (const id of ["a", "b", "c"]) bed.announce(id, { timings: broken });
  await bed.lead();
  for (const id of ["a", "b", "c"]) bed.announce(id, { timings: "of another build" });
  await bed.lead();
  assert.is(bed.inForce, FAST);
});

test("a level that every box knows waits for a person or a day, and any box in its way starts the day anew", async () => {
  const bed = new Bed();
  await bed.lead();
  for (const id of ["a", "b", "c"]) bed.announce(id, { featureLevel: 2 });
  bed.agreement.roleChanged({ isReady: true } as BoxRole);
  await Bun.sleep(10);
  assert.match(bed.said.join(), "every box knows feature level 2: it is raised in 24 h, or by ringfence level raise");
  bed.now = 23 * HOUR_MS;
  await Bun.sleep(10);
  bed.announced.delete("b");
  await Bun.sleep(10);
  bed.announce("b", { featureLevel: 2 });
  bed.now = 25 * HOUR_MS;
  await Bun.sleep(10);
  assert.is(bed.level, 1);
  bed.now = 50 * HOUR_MS;
  await Bun.sleep(10);
  bed.agreement.stop();
  assert.is(bed.level, 2);
  assert.equal(
    bed.proposed.filter(({ level }) => level !== undefined).map(({ kind, level }) => [kind, level]),
    [["feature.level", 2]],
  );
});

test("a person is told who stands in the way, or raises it at once; beyond this build's own level nobody can", async () => {
  const bed = new Bed();
  const refusal = async (): Promise<string> => bed.agreement.raiseLevel().then(String, (error: Error) => error.message);
  bed.announce("a", { featureLevel: 2 });
  bed.announced.delete("c");
  assert.is(await refusal(), "box1 has build 1.0, which knows level 1; box2 is not connected");
  assert.equal(bed.proposed, []);
  for (const id of ["a", "b", "c"]) bed.announce(id, { featureLevel: 3 });
  assert.is(await bed.agreement.raiseLevel(), 2);
  assert.is(bed.level, 2);
  assert.is(await refusal(), "level 2 is the highest that the build of this box knows");
});

test.run();
