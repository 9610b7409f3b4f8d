import { parseSettings } from "../config/syntax.ts";
import type { Attributes, TemplateError } from "./attributes.ts";

/** Reads OpenNebula's template syntax, which is that of its configuration, with what a document of XML can carry. */
export function parseTemplateText(source: string): Attributes | TemplateError {
  const settings = parseSettings(source);
  if ("message" in settings) {
    return { error: `Parse error: ${settings.message} at line ${settings.line}, column ${settings.column}` };
  }
  for (const { name, value, line } of settings) {
    if (value.length === 0 && typeof value !== "string") return wrong(`${name} has no keys`, line);
    const names = typeof value === "string" ? [name] : [name, ...value.map((item) => item.name)];
    // A colon is a prefix in XML, and readers of XML refuse one that is not declared.
    const prefixed = names.find((one) => one.includes(":"));
    if (prefixed !== undefined) return wrong(`a name cannot hold a colon: ${prefixed}`, line);
  }
  return settings.map(({ name, value }) => ({
    name,
    value: typeof value === "string" ? value : Object.fromEntries(value.map((item) => [item.name, item.value])),
  }));
}

function wrong(what: string, line: number): TemplateError {
  return { error: `Parse error: ${what} at line ${line}` };
}
