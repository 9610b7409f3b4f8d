import { type Call, Executor } from "./execute.ts";
import { decodeForwarded, encodeAnswer } from "./forwarded.ts";
import { checkParameters, type Methods } from "./methods.ts";
import type { ApiPorts } from "./ports.ts";
import { decodeCall } from "./xmlrpc/decode.ts";
import { encodeFault, encodeRefusal, encodeValue } from "./xmlrpc/encode.ts";
import { FAULT, Fault } from "./xmlrpc/fault.ts";

/** XML-RPC in, XML-RPC out: what stands between the transport and the executor. */
export class FrontEnd {
  readonly #executor: Executor;
  readonly #methods: Methods;

  constructor(ports: ApiPorts, methods: Methods) {
    this.#executor = new Executor(ports);
    this.#methods = methods;
  }

  stop(): void {
    this.#executor.stop();
  }

  /** The body of a client's POST → the body of its answer. Never rejects: what cannot be understood is a fault. */
  async answer(body: string, requestId: string | undefined): Promise<string> {
    const call = this.#understand(body, requestId);
    if (call instanceof Fault) return encodeFault(call);
    const result = await this.#executor.execute(call);
    if (result.kind === "body") return result.body;
    return result.kind === "value" ? encodeValue(result.value) : encodeRefusal(call.method.name, result);
  }

  /** What another box's `ApiPorts.forward` sent → what that promise gives. */
  async forwarded(bytes: Uint8Array): Promise<Uint8Array> {
    const { requestId, body } = decodeForwarded(bytes);
    const call = this.#understand(body, requestId);
    if (call instanceof Fault) return encodeAnswer({ kind: "answer", body: encodeFault(call), index: 0 });
    const result = await this.#executor.executeForwarded(call, requestId);
    switch (result.kind) {
      case "unknown":
      case "not-leader":
        return encodeAnswer(result);
      case "body":
        return encodeAnswer({ kind: "answer", body: result.body, index: 0 });
      case "value":
        return encodeAnswer({ kind: "answer", body: encodeValue(result.value), index: result.index });
      case "refusal":
        return encodeAnswer({ kind: "answer", body: encodeRefusal(call.method.name, result), index: 0 });
    }
  }

  #understand(body: string, requestId: string | undefined): Call | Fault {
    try {
      const { method: name, params } = decodeCall(body);
      const method = this.#methods.get(name);
      if (method === undefined) return new Fault(FAULT.noMethod, `Method '${name}' not defined`);
      return { method, ...checkParameters(method, params), body, requestId };
    } catch (error) {
      if (error instanceof Fault) return error;
      throw error;
    }
  }
}
