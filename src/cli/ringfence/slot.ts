import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { type BootFacts, readAnswer, type SlotFacts, type SlotStatus } from "./answers.ts";
import { typed } from "./typed.ts";

/** Both slots of the box that is asked, how it was booted, and what came of its last update. */
export async function printSlots({ rpc, terminal, options }: Context): Promise<void> {
  const status = readAnswer<SlotStatus>(await rpc.read("ringfence.slot.status"), "slots");
  terminal.out(options.has("json") ? `${JSON.stringify(status, null, 2)}\n` : slotText(status));
}

export function slotText(status: SlotStatus): string {
  const { running, next, slots, missing, update, lastEnd } = status;
  const lines = [
    ...(["A", "B"] as const).map((slot) => {
      const marks = [slot === running ? "runs" : "", slot === next ? "next" : ""].filter((mark) => mark !== "");
      return `SLOT ${slot}    ${contentText(slots[slot])}${marks.length === 0 ? "" : `  <- ${marks.join(", ")}`}`;
    }),
    `BOOT      ${bootWords(status)}; before it: ${lastEnd || "not known"}`,
  ];
  if (missing.length > 0) lines.push(`TRIAL     not marked good yet: ${missing.join("; ")}`);
  if (update !== null) {
    const { from, to, at, outcome, why } = update;
    const end = {
      trial: "on trial",
      good: "has proved itself",
      fallback: `FELL BACK: ${why}`,
      left: "left by a person",
    }[outcome];
    lines.push(
      `UPDATE    ${at.slice(0, 19).replace("T", " ")} ${from.version} (${from.slot}) -> ${to.version} (${to.slot}): ${end ?? outcome}`,
    );
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Which image a box runs and how it was booted, in a line for people. */
export function imageText(boot: BootFacts): string {
  return `${boot.slot}: ${boot.version} ${boot.build.slice(0, 8)}, ${bootWords(boot)}`;
}

/** How a box was booted, in words for people. */
export function bootWords(boot: Pick<SlotStatus, "try" | "isVerified" | "isSecure" | "mode" | "key">): string {
  const { isVerified, isSecure, mode, key } = boot;
  return [
    `try ${boot.try}`,
    isVerified ? "verified" : "NOT verified",
    ...(isSecure ? ["secure"] : []),
    ...(mode === "normal" ? [] : [`${mode} mode`]),
    ...(key === "test" ? ["TEST key: anybody can make updates for it"] : []),
  ].join(", ");
}

function contentText({ version, build, featureLevel, why, isGood, tries }: SlotFacts): string {
  if (version === "") return `no image: ${why}`;
  const state = isGood ? "good" : tries < 3 ? "on trial" : "not booted";
  const failed = tries === 0 ? "" : `, ${tries} ${tries === 1 ? "try" : "tries"} since`;
  return `${version} ${build.slice(0, 8)}, level ${featureLevel}, ${state}${failed}`;
}

/** Starts the other slot's image on trial. */
export async function switchSlot({ rpc, terminal, options }: Context): Promise<void> {
  const { running, slots } = readAnswer<SlotStatus>(await rpc.read("ringfence.slot.status"), "slots");
  const other = running === "A" ? "B" : "A";
  const { version, why } = slots[other];
  if (version === "") throw new CommandFailure(`Slot ${other} holds no image: ${why}`);
  const what = `This box restarts with version ${version} of slot ${other}, on trial: if it does not become healthy, slot ${running} comes back.`;
  await typed({ terminal, options }, "yes", `${what} Type yes: `, "Nothing was done.");
  await rpc.once("ringfence.slot.switch");
  await rpc.once("ringfence.box.restart");
  terminal.out(`The box restarts with version ${version}; ringfence slot status says what comes of it.\n`);
}
