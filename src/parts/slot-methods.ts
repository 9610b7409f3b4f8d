import { writeFileSync } from "node:fs";
import { CodedError, errorChain } from "../base/error.ts";
import { TrialWatch } from "../box/update/trial.ts";
import { UPLOAD_LOST } from "../cli/ringfence/answers.ts";
import { createClock } from "../linux/clock.ts";
import type { Caller } from "../one/caller.ts";
import type { Method, Parameter, Value } from "../one/method.ts";
import { CODE, refusal } from "../one/refusal.ts";
import { isImage } from "./image.ts";
import { healthOf, installUpdate, switchSlot } from "./install-update.ts";
import { ownStatus } from "./own-status.ts";
import { paths } from "./paths.ts";
import { openSlots, rebootMachine, type Slots, slotStatus } from "./slots.ts";
import { Upload, type UploadState } from "./update-upload.ts";

const LOOK_EVERY_MS = 1000;
/** Until the box is healthy for the first time: the boot's line waits for it. */
const FIRST_LOOKS_EVERY_MS = 250;
/** The caller has its answer by then, ms. */
const ANSWER_MS = 300;

export interface BoxSlots {
  /** For whoever may administrate the cluster; refused on a machine that is no image. */
  readonly methods: readonly Method[];
  /** Takes the bundle's bytes from `at` on, for the upload with this id. Rejects with `update`. */
  upload(id: string, at: number, bytes: Uint8Array): Promise<UploadState>;
  /** This box's front-end is there to be asked. */
  started(): void;
  stop(): void;
}

/** This box's slots: the watch over the one that runs, and what the commands `slot` and `update` ask. */
export function startSlots(log: (text: string) => void): BoxSlots {
  const none = (why: string): BoxSlots => ({
    ...slotMethods(why, log),
    started: () => undefined,
    stop: () => undefined,
  });
  if (!isImage()) return none("This machine was not started from an image of ringfence: it has no slots");
  let slots: Slots;
  try {
    slots = openSlots();
  } catch (error) {
    // The rest of the box works all the same.
    log(`ALERT ${errorChain(error)}`);
    return none(errorChain(error));
  }
  const clock = createClock();
  const { slot, release } = slots.report;
  const watch = new TrialWatch({
    ...{ env: slots.env, running: { slot, build: release.build }, log },
    record: () => slots.record(),
    keep: (record) => slots.keep(record),
    // Not before there is somebody to answer: on a slow machine asking is no small part of a start.
    health: async () => healthOf(isStarted ? await ownStatus() : undefined),
    isWhole: async (other) => typeof (await slots.release(other)) !== "string",
    now: () => clock.monotonicRaw(),
    bootMs: () => clock.bootTime(),
    reboot: rebootMachine,
  });
  let isStopped = false;
  let isStarted = false;
  let said = "";
  let isHealthy = false;
  const run = async (): Promise<void> => {
    while (!isStopped) {
      try {
        const isOver = await watch.look();
        if (!isHealthy && watch.missing.length === 0) writeFileSync(paths.healthy, "");
        isHealthy ||= watch.missing.length === 0;
        if (isOver) return;
      } catch (error) {
        const why = `the slots: ${errorChain(error)}`;
        if (why !== said) log(why);
        said = why;
      }
      await Bun.sleep(isHealthy ? LOOK_EVERY_MS : FIRST_LOOKS_EVERY_MS);
    }
  };
  void run();
  return {
    ...slotMethods({ slots, watch }, log),
    started: () => {
      isStarted = true;
    },
    stop: () => {
      isStopped = true;
    },
  };
}

interface Box {
  readonly slots: Slots;
  readonly watch: TrialWatch;
}

/** `box`: or why there is none. */
function slotMethods(box: Box | string, log: (text: string) => void): Pick<BoxSlots, "methods" | "upload"> {
  let upload: Upload | undefined;
  const local = (
    name: string,
    parameters: readonly Parameter[],
    run: (box: Box, args: readonly unknown[], caller: Caller) => Promise<Value>,
  ): Method => ({
    ...{ name, parameters, whileDisabled: true },
    command: {
      kind: "local",
      run: async (args, caller) => {
        if (!caller.isAdmin) return refusal(CODE.authorization, "Only members of group oneadmin may do this.");
        if (typeof box === "string") return refusal(CODE.action, `${box}.`);
        try {
          return await run(box, args, caller);
        } catch (error) {
          if (!(error instanceof CodedError)) throw error;
          return refusal(CODE.action, `${error.message}.`);
        }
      },
    },
  });
  const uploadOf = (id: unknown): Upload => {
    if (upload === undefined) throw new CodedError("update", UPLOAD_LOST);
    if (upload.id !== id) throw new CodedError("update", "Another update was begun in place of this one");
    return upload;
  };
  const methods = [
    /** Both slots, the boot, and the last update, as JSON. */
    local("ringfence.slot.status", [], async (here) =>
      JSON.stringify(await slotStatus(here.slots, here.watch.missing)),
    ),
    /** The next boot tries the other slot; its version is the answer. */
    local("ringfence.slot.switch", [], async ({ slots }, _args, { name }) => {
      const { slot, release } = await switchSlot(slots, await ownStatus());
      log(`${name} switches to slot ${slot}, version ${release.version}`);
      return release.version;
    }),
    /** Restarts this machine in order. */
    local("ringfence.box.restart", [], async (_here, _args, { name }) => {
      log(`${name} restarts this box`);
      setTimeout(rebootMachine, ANSWER_MS);
      return true;
    }),
    /** Begins an update; the answer is the id with which its bundle is brought (`POST /upload/ID/OFFSET`). An update under way is given up. */
    local(
      "ringfence.update.begin",
      [{ name: "downgrade", type: "boolean", default: false }],
      async (here, args, who) => {
        if (upload?.state.kind === "installing")
          throw new CodedError("update", "Another update of this box is under way");
        log(`${who.name} begins an update`);
        await upload?.giveUp();
        const status = await ownStatus();
        upload = new Upload((chunks) =>
          installUpdate(here.slots, chunks, { status, allowsDowngrade: args[0] === true, log }),
        );
        return upload.id;
      },
    ),
    /** No more pieces come; the answer is the upload's state. */
    local("ringfence.update.end", [{ name: "id", type: "string" }], async (_here, [id]) => {
      uploadOf(id).end();
      return JSON.stringify(uploadOf(id).state);
    }),
    local("ringfence.update.state", [{ name: "id", type: "string" }], async (_here, [id]) =>
      JSON.stringify(uploadOf(id).state),
    ),
  ];
  return { methods, upload: async (id, at, bytes) => uploadOf(id).put(at, bytes) };
}
