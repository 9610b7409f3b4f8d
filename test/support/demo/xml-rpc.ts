/** A client of one box, small enough to be sure of: for the demo, the benches and the rack's tests. */

export type RpcArgument = string | number | boolean;

/** What a front-end said. `unreachable`: nothing came back in time, so it may have happened. */
export type RpcAnswer =
  | { readonly kind: "ok"; readonly value: string }
  | { readonly kind: "refused"; readonly message: string; readonly code: number }
  | { readonly kind: "unreachable"; readonly why: string };

export interface RpcOptions {
  readonly url: string;
  /** `user:password` */
  readonly session: string;
  readonly timeoutMs?: number;
  /** `client:sequence`; a retry with the same one is answered with the first outcome. */
  readonly requestId?: string;
}

/** One call; never throws. */
export async function callRpc(options: RpcOptions, method: string, args: readonly RpcArgument[]): Promise<RpcAnswer> {
  const params = [options.session, ...args].map((value) => `<param><value>${encode(value)}</value></param>`).join("");
  const body = `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${params}</params></methodCall>`;
  try {
    const response = await fetch(options.url, {
      method: "POST",
      body,
      headers: {
        "content-type": "text/xml",
        ...(options.requestId === undefined ? {} : { "ringfence-request": options.requestId }),
      },
      signal: AbortSignal.timeout(options.timeoutMs ?? 5000),
    });
    return decode(await response.text());
  } catch (error) {
    return { kind: "unreachable", why: String(error) };
  }
}

function encode(value: RpcArgument): string {
  if (typeof value === "number") return `<i4>${value}</i4>`;
  if (typeof value === "boolean") return `<boolean>${value ? 1 : 0}</boolean>`;
  return `<string>${value.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</string>`;
}

function decode(text: string): RpcAnswer {
  const values = [...text.matchAll(/<value>\s*<(string|i4|i8|int|boolean)>([\s\S]*?)<\/\1>\s*<\/value>/g)].map(
    (m) => m[2] ?? "",
  );
  if (text.includes("<fault>")) return { kind: "refused", message: unescapeXml(values.at(-1) ?? text), code: -1 };
  if (values[0] === "1") return { kind: "ok", value: unescapeXml(values[1] ?? "") };
  if (values[0] === "0")
    return { kind: "refused", message: unescapeXml(values[1] ?? ""), code: Number(values[2] ?? -1) };
  return { kind: "unreachable", why: `no XML-RPC answer: ${text.slice(0, 100)}` };
}

function unescapeXml(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&");
}
