/** What a box sends to the leader: the request's id and the call's body as the client sent it. */
export interface ForwardedCall {
  readonly requestId: string;
  readonly body: string;
}

/** What the leader answers. */
export type ForwardedAnswer =
  /** The body for the client, and where the log has the write (0: nowhere). */
  | { readonly kind: "answer"; readonly body: string; readonly index: number }
  /** It may have happened: ask the next leader with the same id. */
  | { readonly kind: "unknown" }
  /** It did not happen here: not the leader, or not yet ready. */
  | { readonly kind: "not-leader" };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** `id`, a line feed, the body; UTF-8. */
export function encodeForwarded(call: ForwardedCall): Uint8Array {
  return encoder.encode(`${call.requestId}\n${call.body}`);
}

/** Inverse of {@link encodeForwarded}. Throws on bytes that no box could have sent. */
export function decodeForwarded(bytes: Uint8Array): ForwardedCall {
  const text = decoder.decode(bytes);
  const end = text.indexOf("\n");
  if (end < 1 || end > 160) throw new Error("Cannot decode a forwarded call: it has no request id");
  return { requestId: text.slice(0, end), body: text.slice(end + 1) };
}

/** One letter; of an answer then the index, a line feed and the body. */
export function encodeAnswer(answer: ForwardedAnswer): Uint8Array {
  return encoder.encode(
    answer.kind === "answer" ? `A${answer.index}\n${answer.body}` : answer.kind === "unknown" ? "U" : "N",
  );
}

/** Inverse of {@link encodeAnswer}. Throws on bytes that no box could have sent. */
export function decodeAnswer(bytes: Uint8Array): ForwardedAnswer {
  const text = decoder.decode(bytes);
  const end = text.indexOf("\n");
  if (text[0] === "A" && end > 1)
    return { kind: "answer", index: Number(text.slice(1, end)), body: text.slice(end + 1) };
  if (text === "U") return { kind: "unknown" };
  if (text === "N") return { kind: "not-leader" };
  throw new Error("Cannot decode a leader's answer: its first letter is unknown");
}
