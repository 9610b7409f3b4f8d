import { decodeCall, type RpcValue } from "../../../src/api/xmlrpc/decode.ts";
import { encodeValue } from "../../../src/api/xmlrpc/encode.ts";
import type { Value } from "../../../src/one/method.ts";

/** A call as the fake front-end received it. */
export interface SeenCall {
  readonly method: string;
  readonly params: readonly RpcValue[];
  readonly requestId: string | null;
}

/** What it does with a call: a value, the whole body of an answer, or nothing at all with the connection cut. */
export type Reply = { readonly value: Value } | { readonly body: string } | "cut" | "silent";

export interface FakeFrontEnd {
  readonly endpoint: string;
  readonly calls: readonly SeenCall[];
  stop(): Promise<void>;
}

/** Serves /RPC2 on loopback; the box's own codec reads and writes the XML, so that both sides are tested as they are. */
export function fakeFrontEnd(reply: (call: SeenCall, index: number) => Reply): FakeFrontEnd {
  const calls: SeenCall[] = [];
  const server = Bun.listen<{ text: string; unsent: Buffer }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.data = { text: "", unsent: Buffer.alloc(0) };
      },
      drain: send,
      data: (socket, bytes) => {
        socket.data.text += bytes.toString("utf8");
        const [head = "", body = ""] = socket.data.text.split("\r\n\r\n");
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
        if (Buffer.byteLength(body) < length) return;
        socket.data.text = "";
        const requestId = /ringfence-request: (\S+)/i.exec(head)?.[1] ?? null;
        const call = { ...decodeCall(body), requestId };
        calls.push(call);
        const answer = reply(call, calls.length - 1);
        if (answer === "silent") return;
        if (answer === "cut") return void socket.terminate();
        const text = "body" in answer ? answer.body : encodeValue(answer.value);
        socket.data.unsent = Buffer.from(
          `HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
        );
        send(socket);
      },
    },
  });
  return {
    endpoint: `http://127.0.0.1:${server.port}/RPC2`,
    calls,
    stop: async () => server.stop(true),
  };
}

/** A socket takes as much as it has room for; the rest follows when it is drained. */
function send(socket: Bun.Socket<{ unsent: Buffer }>): void {
  socket.data.unsent = socket.data.unsent.subarray(socket.write(socket.data.unsent));
}
