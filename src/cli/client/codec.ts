import { escapeXml, parseXml, type XmlElement } from "../../one/xml.ts";

export type RpcArgument = string | number | boolean | readonly number[];

/** What a box answered: the value, or its refusal with OpenNebula's code. */
export type RpcAnswer =
  | { readonly ok: true; readonly value: string | number | boolean }
  | { readonly ok: false; readonly message: string; readonly code: number };

export function encodeCall(method: string, args: readonly RpcArgument[]): string {
  const params = args.map((arg) => `<param><value>${typed(arg)}</value></param>`).join("");
  return `<?xml version="1.0" encoding="UTF-8"?><methodCall><methodName>${method}</methodName><params>${params}</params></methodCall>`;
}

function typed(arg: RpcArgument): string {
  if (typeof arg === "string") return `<string>${escapeXml(arg)}</string>`;
  if (typeof arg === "boolean") return `<boolean>${arg ? 1 : 0}</boolean>`;
  if (typeof arg === "number") return `<i4>${arg}</i4>`;
  return `<array><data>${arg.map((one) => `<value><i4>${one}</i4></value>`).join("")}</data></array>`;
}

/** Reads a `<methodResponse>`. A fault is an answer too: nothing was done. Throws XmlError on what is no XML. */
export function decodeAnswer(body: string): RpcAnswer {
  const root = parseXml(body);
  const fault = find(root, "fault");
  if (fault !== undefined) {
    const members = find(fault, "value", "struct")?.children ?? [];
    const member = (name: string): string =>
      text(find(members.find((one) => find(one, "name")?.text === name) ?? fault, "value"));
    return { ok: false, message: member("faultString"), code: Number(member("faultCode")) };
  }
  const values = find(root, "params", "param", "value", "array", "data")?.children ?? [];
  const [ok, value, code] = values;
  if (ok === undefined || value === undefined) return { ok: false, message: "The answer is not OpenNebula's", code: 0 };
  if (text(ok) !== "1") return { ok: false, message: text(value), code: Number(text(code)) };
  const [inner] = value.children;
  if (inner?.name === "boolean") return { ok: true, value: inner.text === "1" };
  if (inner?.name === "i4" || inner?.name === "int" || inner?.name === "i8")
    return { ok: true, value: Number(inner.text) };
  return { ok: true, value: text(value) };
}

function find(element: XmlElement, ...path: readonly string[]): XmlElement | undefined {
  let at: XmlElement | undefined = element;
  for (const name of path) at = at?.children.find((child) => child.name === name);
  return at;
}

/** Of a `<value>`: what its type element holds, or its own text. */
function text(value: XmlElement | undefined): string {
  return value?.children[0]?.text ?? value?.text ?? "";
}
