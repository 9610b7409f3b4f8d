import tls from "node:tls";
import { assert } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { encodeFrame, FrameReader, frameType } from "./frame.ts";
import { type Hello, hashOfPeer, type PeerMember } from "./hello.ts";
import type { Identity } from "./identity.ts";
import { decodeRefusal } from "./refusal.ts";

/** Asks one member to let us in; resolves with its answer, rejects with its refusal. One try, bounded by `deadlineMs`. */
export function askToJoin(
  member: Omit<PeerMember, "raftId">,
  hello: Hello,
  options: { readonly identity: Identity; readonly localAddress: string | undefined; readonly deadlineMs: number },
): Promise<unknown> {
  assert(hello.channel === "join", "a join hello");
  const colon = member.address.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: member.address.slice(0, colon),
      port: Number(member.address.slice(colon + 1)),
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      key: options.identity.privateKeyPem,
      cert: options.identity.certificatePem,
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
    });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(why));
    };
    const timer = setTimeout(
      () => fail(`no answer from ${member.address} in ${options.deadlineMs} ms`),
      options.deadlineMs,
    );
    const reader = new FrameReader();
    socket.on("secureConnect", () => {
      if (hashOfPeer(socket) !== member.certificateHash) fail(`${member.address} is not the box that the token names`);
      else socket.write(encodeFrame(frameType.hello, Buffer.from(JSON.stringify(hello))));
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, (type, payload) => {
          if (type === frameType.accept) resolve(JSON.parse(payload.toString("utf8")));
          else reject(new Error(`${member.address} says: ${decodeRefusal(payload).why}`));
          socket.destroy();
        });
      } catch (error) {
        fail(errorChain(error));
      }
    });
    socket.on("error", (error: Error) => reject(error));
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error(`${member.address} closed the connection`));
    });
  });
}
