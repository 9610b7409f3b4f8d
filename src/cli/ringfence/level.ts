import type { Context } from "../command.ts";
import { type BoxStatus, readAnswer } from "./answers.ts";
import { typed } from "./typed.ts";

/** Puts the next feature level in force, on a person's word: it is a one-way street. */
export async function raiseLevel(context: Context): Promise<void> {
  const { rpc, terminal } = context;
  const { cluster } = readAnswer<BoxStatus>(await rpc.read("ringfence.status"), "cluster");
  const next = String(cluster.level + 1);
  await typed(
    context,
    next,
    `Feature level ${cluster.level} is in force. After level ${next} no box can go back to a build that does not know it. To confirm, type ${next}: `,
  );
  terminal.out(`Feature level ${await rpc.once("ringfence.level.raise")} is in force.\n`);
}
