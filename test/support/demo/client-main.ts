/**
 * The rack's user, in the client's namespace: does calls and runs writers as it is told on standard input, one JSON object
 * a line, and answers on standard output. `client-main.ts`; ends with its standard input.
 */
import { monotonicMs } from "../rack/command.ts";
import { callRpc, type RpcArgument } from "./xml-rpc.ts";

/** What the user is told to do. */
export type ClientOrder =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly url: string;
      readonly session: string;
      readonly method: string;
      readonly args: readonly RpcArgument[];
      readonly timeoutMs?: number;
    }
  | {
      readonly kind: "write";
      readonly id: number;
      readonly url: string;
      readonly session: string;
      readonly writers: number;
      readonly prefix: string;
      readonly valueBytes: number;
      /** Between two writes of a writer. */
      readonly pauseMs: number;
    }
  | { readonly kind: "stop-writing"; readonly id: number };

/** One acknowledged write: its name, and how long it took with all its retries. */
export interface Acknowledged {
  readonly name: string;
  readonly atMs: number;
  readonly tookMs: number;
  readonly tries: number;
}

let isWriting = false;
let writing: Promise<unknown> = Promise.resolve();
let acknowledged: Acknowledged[] = [];
let refused: string[] = [];

function answer(id: number, value: unknown): void {
  process.stdout.write(`${JSON.stringify({ id, value })}\n`);
}

async function obey(order: ClientOrder): Promise<void> {
  switch (order.kind) {
    case "call":
      answer(order.id, await callRpc(order, order.method, order.args));
      return;
    case "write":
      isWriting = true;
      acknowledged = [];
      refused = [];
      writing = Promise.all(Array.from({ length: order.writers }, (_, writer) => write(order, writer)));
      answer(order.id, true);
      return;
    case "stop-writing":
      isWriting = false;
      await writing;
      answer(order.id, { acknowledged, refused });
      return;
  }
}

/** Creates templates with names of its own, one after the other; a retry keeps its name and its request id. */
async function write(order: Extract<ClientOrder, { kind: "write" }>, writer: number): Promise<void> {
  for (let number = 0; isWriting; number++) {
    if (order.pauseMs > 0) await Bun.sleep(order.pauseMs);
    const name = `${order.prefix}-${writer}-${number}`;
    const startedAt = monotonicMs();
    for (let tries = 1; ; tries++) {
      const result = await callRpc(
        { ...order, timeoutMs: 1000, requestId: `${order.prefix}-${writer}:${number + 1}` },
        "one.template.allocate",
        [
          `NAME = "${name}"\nCPU = 1\nMEMORY = 64${order.valueBytes === 0 ? "" : `\nDESCRIPTION = "${"x".repeat(order.valueBytes)}"`}`,
        ],
      );
      if (result.kind === "ok") {
        const atMs = monotonicMs();
        acknowledged.push({ name, atMs, tookMs: atMs - startedAt, tries });
        break;
      }
      if (result.kind === "refused" && !/leader|election|replicating/i.test(result.message)) {
        refused.push(`${name}: ${result.message}`);
        break;
      }
      // Nobody answers: the address is on its way to another box.
      await Bun.sleep(5);
      if (monotonicMs() - startedAt > 30_000) {
        refused.push(`${name}: no answer in 30 s`);
        break;
      }
    }
  }
}

let pending = "";
for await (const chunk of process.stdin) {
  pending += chunk;
  const lines = pending.split("\n");
  pending = lines.pop() ?? "";
  for (const line of lines)
    if (line !== "") obey(JSON.parse(line) as ClientOrder).catch((error: unknown) => console.error(error));
}
process.exit(0);
