import { parseXml, type XmlElement, XmlError } from "../../one/xml.ts";
import { FAULT, Fault } from "./fault.ts";

/** A decoded value. What no method takes (double, date, base64, struct) keeps its type's name, so that it can be named. */
export type RpcValue = string | number | boolean | readonly RpcValue[] | { readonly type: string };

export interface MethodCall {
  readonly method: string;
  readonly params: readonly RpcValue[];
}

/** Parameters of one call: the longest method of OpenNebula takes ten. */
const PARAMS_MAX = 64;

/** Reads a `<methodCall>`. Throws {@link Fault} −503 on anything else. */
export function decodeCall(body: string): MethodCall {
  const root = parse(body);
  if (root.name !== "methodCall") throw malformed(`the document is <${root.name}>, not <methodCall>`);
  const method = root.children.find((child) => child.name === "methodName")?.text.trim();
  if (!method || !/^[A-Za-z0-9_.:/]{1,128}$/.test(method)) throw malformed("<methodName> is missing or no name");
  const params = root.children.find((child) => child.name === "params")?.children ?? [];
  if (params.length > PARAMS_MAX) throw malformed(`more than ${PARAMS_MAX} parameters`);
  return { method, params: params.map(param) };
}

function parse(body: string): XmlElement {
  try {
    return parseXml(body);
  } catch (error) {
    if (error instanceof XmlError) throw malformed(error.message);
    throw error;
  }
}

function param(element: XmlElement): RpcValue {
  const inner = element.children[0];
  if (element.name !== "param" || inner === undefined || inner.name !== "value") {
    throw malformed("<params> holds something other than <param><value>…</value></param>");
  }
  return value(inner);
}

function value(element: XmlElement): RpcValue {
  const typed = element.children[0];
  if (typed === undefined) return element.text;
  switch (typed.name) {
    case "string":
      return typed.text;
    case "i4":
    case "int":
    case "i8":
      return integer(typed.text.trim());
    case "boolean":
      return boolean(typed.text.trim());
    case "array":
      return array(typed);
    case "double":
    case "base64":
    case "struct":
    case "nil":
    case "dateTime.iso8601":
      return { type: typed.name };
    default:
      throw malformed(`<${typed.name}> is no type of value`);
  }
}

function integer(text: string): number {
  const number = Number(text);
  if (!/^[+-]?[0-9]{1,19}$/.test(text) || !Number.isSafeInteger(number)) {
    throw malformed(`"${text.slice(0, 24)}" is not an integer that can be used`);
  }
  return number;
}

function boolean(text: string): boolean {
  if (text !== "0" && text !== "1") throw malformed(`"${text.slice(0, 24)}" is not a boolean`);
  return text === "1";
}

function array(element: XmlElement): readonly RpcValue[] {
  const data = element.children[0];
  if (data?.name !== "data") throw malformed("<array> without <data>");
  return data.children.map((child) => {
    if (child.name !== "value") throw malformed("<data> holds something other than <value>");
    return value(child);
  });
}

function malformed(why: string): Fault {
  return new Fault(FAULT.parse, `Call is not valid XML-RPC: ${why}`);
}
