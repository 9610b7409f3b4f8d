/** This side of the rack's user: a process in the client's namespace that does calls and writes. */
import { CodedError } from "../../../src/base/error.ts";
import { PATIENCE } from "../patience.ts";
import { inCgroup } from "../rack/cgroup.ts";
import type { Place } from "../rack/place.ts";
import { VIP } from "../rack/plan.ts";
import { inNamespace } from "../rack/switch.ts";
import type { Acknowledged, ClientOrder } from "./client-main.ts";
import type { RpcAnswer, RpcArgument } from "./xml-rpc.ts";

export interface Written {
  readonly acknowledged: readonly Acknowledged[];
  readonly refused: readonly string[];
}

type OrderBody<T> = T extends unknown ? Omit<T, "id"> : never;

/** The endpoint of the whole cluster. */
export const VIP_URL = `http://${VIP}:2633/RPC2`;

export class RackClient {
  readonly #child;
  readonly #open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #nextId = 1;
  session = "";

  constructor(place: Place) {
    this.#child = Bun.spawn(
      [
        ...inCgroup(place, "watchers"),
        ...inNamespace(place, "client"),
        process.execPath,
        `${import.meta.dirname}/client-main.ts`,
      ],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    // A caller that waits for an answer that cannot come any more would end the whole program without a word.
    const ended = (): void => {
      const error = new CodedError(
        "RACK_CLIENT",
        "The client's process has ended: its rack was taken down, or it died",
      );
      for (const order of this.#open.values()) order.reject(error);
      this.#open.clear();
    };
    this.#read().then(ended, ended);
  }

  /** A call to the VIP, or to `url`. */
  async call(
    method: string,
    args: readonly RpcArgument[],
    options: { url?: string; timeoutMs?: number } = {},
  ): Promise<RpcAnswer> {
    const { url = VIP_URL, timeoutMs = 5000 } = options;
    return (await this.#order({ kind: "call", url, session: this.session, method, args, timeoutMs })) as RpcAnswer;
  }

  /** A call that has to succeed; tried again for `withinMs` while nobody answers. */
  async must(
    method: string,
    args: readonly RpcArgument[],
    options: { url?: string; withinMs?: number } = {},
  ): Promise<string> {
    const deadline = performance.now() + (options.withinMs ?? 10_000) * PATIENCE;
    for (;;) {
      const answer = await this.call(method, args, options);
      if (answer.kind === "ok") return answer.value;
      if (answer.kind === "refused" || performance.now() > deadline)
        throw new CodedError(
          "RACK_CALL",
          `Cannot call ${method}: ${answer.kind === "refused" ? answer.message : answer.why}`,
        );
      await Bun.sleep(50);
    }
  }

  /** `valueBytes`: that long is the description of each template; `pauseMs`: a writer rests so long before each. */
  async startWriting(
    writers: number,
    prefix: string,
    options: { url?: string; valueBytes?: number; pauseMs?: number } = {},
  ): Promise<void> {
    const { url = VIP_URL, valueBytes = 0, pauseMs = 0 } = options;
    await this.#order({ kind: "write", url, session: this.session, writers, prefix, valueBytes, pauseMs });
  }

  async stopWriting(): Promise<Written> {
    return (await this.#order({ kind: "stop-writing" })) as Written;
  }

  async stop(): Promise<void> {
    await this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2000);
    await this.#child.exited;
    clearTimeout(timer);
  }

  #order(body: OrderBody<ClientOrder>): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ ...body, id })}\n`);
      this.#child.stdin.flush();
    });
  }

  async #read(): Promise<void> {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) {
        const { id, value } = JSON.parse(line) as { id: number; value: unknown };
        this.#open.get(id)?.resolve(value);
        this.#open.delete(id);
      }
    }
  }
}
