import type { Value } from "../../one/method.ts";
import type { Refusal } from "../../one/refusal.ts";
import { NOT_XML } from "../../one/xml.ts";
import type { Fault } from "./fault.ts";

// Lines end as OpenNebula's server ends them: some clients were written against its bytes.
const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\r\n<methodResponse>\r\n';
const ARRAY = `${HEAD}<params>\r\n<param><value><array><data>\r\n`;
const END = "</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n";
const DONE = `<value><boolean>1</boolean></value>\r\n`;
const NOT_DONE = `<value><boolean>0</boolean></value>\r\n`;
const ZERO = `<value><i4>0</i4></value>\r\n`;

/** `[true, value, 0]`. */
export function encodeValue(value: Value): string {
  return `${ARRAY}${DONE}<value>${typed(value)}</value>\r\n${ZERO}${END}`;
}

/** `[false, "[method] message", code, object id, -1]`. */
export function encodeRefusal(method: string, { code, message, objectId }: Refusal): string {
  const text = printable(`[${method}] ${message}`);
  return `${ARRAY}${NOT_DONE}<value><string>${escapeText(text)}</string></value>\r\n<value><i4>${code}</i4></value>\r\n<value><i4>${objectId}</i4></value>\r\n<value><i8>-1</i8></value>\r\n${END}`;
}

export function encodeFault(fault: Fault): string {
  return `${HEAD}<fault>\r\n<value><struct>\r\n<member><name>faultCode</name>\r\n<value><i4>${fault.code}</i4></value></member>\r\n<member><name>faultString</name>\r\n<value><string>${escapeText(printable(fault.message))}</string></value></member>\r\n</struct></value>\r\n</fault>\r\n</methodResponse>\r\n`;
}

function typed(value: Value): string {
  if (typeof value === "string") return `<string>${escapeText(value)}</string>`;
  if (typeof value === "boolean") return `<boolean>${value ? 1 : 0}</boolean>`;
  return value > 0x7fffffff || value < -0x80000000 ? `<i8>${value}</i8>` : `<i4>${value}</i4>`;
}

/** Messages quote what a client sent: without what an XML document cannot carry. */
function printable(text: string): string {
  return text.replace(new RegExp(NOT_XML, "gu"), "?");
}

/** Bun's own: a quarter of the time of three passes. It escapes quotation marks too, which says the same in XML. */
function escapeText(text: string): string {
  return Bun.escapeHTML(text);
}
