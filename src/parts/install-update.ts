import { existsSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import { openBundle } from "../box/bundle.ts";
import { otherSlot, type Slot, switchTo } from "../box/grub-env.ts";
import type { Release } from "../box/release.ts";
import { Installation } from "../box/update/driver.ts";
import { type Health, NO_HEALTH, switchObstacle } from "../box/update/policy.ts";
import type { BoxStatus } from "../cli/ringfence/answers.ts";
import { lockFile } from "../linux/process.ts";
import { paths } from "./paths.ts";
import type { Slots } from "./slots.ts";

/** What works on this box, as its own front-end says; undefined: it says nothing. */
export function healthOf(status: BoxStatus | undefined): Health {
  const isMember = isMemberBox();
  if (status === undefined) return { ...NO_HEALTH, isMember };
  const { cluster, vip, hosts, readiness } = status;
  return {
    ...{ isMember, isAnswering: true, hasLeader: (cluster.leader ?? "") !== "" },
    ...{ applied: cluster.applied, commit: cluster.commit },
    isVipConsistent: vip === null || vip.addresses.length === 0 || vip.holding === (cluster.role === "leader"),
    hosts: hosts.filter(({ state }) => state === "ready").map(({ hostId }) => hostId),
    fenceable: readiness.filter(({ isReady }) => isReady).map(({ hostId }) => hostId),
  };
}

function isMemberBox(): boolean {
  return existsSync(`${paths.data}/identity.json`);
}

export interface UpdateOptions {
  /** This box as its front-end sees it; undefined: its program does not answer. */
  readonly status: BoxStatus | undefined;
  readonly allowsDowngrade: boolean;
  /** Bytes of the slot that are written, of so many. */
  progressed?(bytes: number, of: number): void;
  log(text: string): void;
}

/**
 * Installs a bundle into the slot that does not run; the next boot tries it. Throws `update` with the reason, `bundle-…`
 * for a bad bundle; then this box boots what it booted before.
 */
export async function installUpdate(
  slots: Slots,
  chunks: AsyncIterable<Uint8Array>,
  options: UpdateOptions,
): Promise<{ readonly slot: Slot; readonly release: Release }> {
  const lock = lockFile(`${paths.run}/update.lock`);
  if (lock === undefined) throw new CodedError("update", "Another update of this box is under way");
  try {
    const bundle = await openBundle(chunks, slots.verify);
    const { status, allowsDowngrade, progressed, log } = options;
    const installation = new Installation(
      {
        env: slots.env,
        openSlot: (slot) => slots.open(slot),
        keep: async (record) => slots.keep(record),
        wallTime: () => new Date().toISOString(),
        log,
      },
      bundle,
      {
        running: { slot: slots.report.slot, release: slots.report.release },
        levelInForce: levelInForce(status),
        bootKey: slots.report.bootKey,
        allowsDowngrade,
        before: healthOf(status),
        ...(progressed === undefined ? {} : { progressed }),
      },
    );
    const slot = await installation.run();
    const { release } = bundle.footer;
    log(`version ${release.version} is in slot ${slot}: the next boot tries it`);
    return { slot, release };
  } finally {
    lock.release();
  }
}

/** The next boot tries the other slot. Throws `update` with the reason why it must not. */
export async function switchSlot(
  slots: Slots,
  status: BoxStatus | undefined,
): Promise<{ readonly slot: Slot; readonly release: Release }> {
  const { slot: running, release: own, bootKey } = slots.report;
  const slot = otherSlot(running);
  const release = await slots.release(slot);
  if (typeof release === "string") throw new CodedError("update", `Slot ${slot} holds no image: ${release}`);
  const obstacle = switchObstacle(release, levelInForce(status), bootKey);
  if (obstacle !== undefined) throw new CodedError("update", `Slot ${slot} is not started: ${obstacle}`);
  const end = (where: Slot, of: Release) => ({ slot: where, version: of.version, build: of.build });
  slots.keep({
    ...{ from: end(running, own), to: end(slot, release), at: new Date().toISOString() },
    ...{ before: healthOf(status), outcome: "trial", why: "" },
  });
  await slots.env.change((env) => switchTo(env, slot));
  return { slot, release };
}

/** 0 on a box of no cluster; undefined when the box's program does not say. */
function levelInForce(status: BoxStatus | undefined): number | undefined {
  return status?.cluster.level ?? (isMemberBox() ? undefined : 0);
}
