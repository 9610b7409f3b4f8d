import { parseTemplateText } from "./template-text.ts";
import { cdata, NOT_XML, parseXml, type XmlElement, XmlError } from "./xml.ts";

/** `DISK = [ IMAGE_ID = "0", TARGET = "vda" ]`: keys in upper case. */
export type Vector = Readonly<Record<string, string>>;

/** One attribute of a template: `CPU = "1"` or a vector. The name is in upper case and may occur more than once. */
export interface Attribute {
  readonly name: string;
  readonly value: string | Vector;
}

export type Attributes = readonly Attribute[];

/** Longest template that is read: well under an entry's size with its guards and its XML around it. */
export const TEMPLATE_LENGTH_MAX = 256 * 1024;

/** A template that cannot be read; the message is for the person who wrote it. */
export interface TemplateError {
  readonly error: string;
}

/** Reads a template as clients send it: OpenNebula's text syntax, or XML when it begins with `<`. */
export function parseTemplate(source: string): Attributes | TemplateError {
  if (source.length > TEMPLATE_LENGTH_MAX)
    return { error: `Template is longer than ${TEMPLATE_LENGTH_MAX} characters` };
  // What no XML document can carry would make every later answer unreadable.
  if (NOT_XML.test(source)) {
    return { error: "Template contains a control character" };
  }
  if (!/^\s*</.test(source)) return parseTemplateText(source);
  try {
    return fromXml(parseXml(source));
  } catch (error) {
    if (error instanceof XmlError) return { error: `Parse error: ${error.message}` };
    throw error;
  }
}

export function isTemplateError(parsed: Attributes | TemplateError): parsed is TemplateError {
  return "error" in parsed;
}

/** Reads back what {@link renderTemplate} wrote. */
export function parseStored(innerXml: string): Attributes {
  return innerXml === "" ? [] : fromXml(parseXml(`<T>${innerXml}</T>`));
}

/** Canonical inner XML of TEMPLATE: attributes by name, keys by name, values in CDATA; as OpenNebula writes it. */
export function renderTemplate(attributes: Attributes): string {
  return [...attributes]
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ name, value }) => `<${name}>${typeof value === "string" ? cdata(value) : renderVector(value)}</${name}>`)
    .join("");
}

function renderVector(vector: Vector): string {
  return Object.keys(vector)
    .sort()
    .map((key) => `<${key}>${cdata(vector[key] ?? "")}</${key}>`)
    .join("");
}

/** The last value of a simple attribute; undefined when there is none. */
export function getText(attributes: Attributes, name: string): string | undefined {
  for (let i = attributes.length - 1; i >= 0; i--) {
    const attribute = attributes[i];
    if (attribute?.name === name && typeof attribute.value === "string") return attribute.value;
  }
  return undefined;
}

/** All vectors of that name, in order. */
export function getVectors(attributes: Attributes, name: string): readonly Vector[] {
  return attributes.flatMap((attribute) =>
    attribute.name === name && typeof attribute.value !== "string" ? [attribute.value] : [],
  );
}

export function without(attributes: Attributes, ...names: readonly string[]): Attributes {
  return attributes.filter((attribute) => !names.includes(attribute.name));
}

/** `changes` over `base`: a name that occurs in `changes` replaces all of that name in `base`. */
export function mergeAttributes(base: Attributes, changes: Attributes): Attributes {
  return [...without(base, ...changes.map((attribute) => attribute.name)), ...changes];
}

function fromXml(root: XmlElement): Attributes {
  return root.children.map((child) => ({
    name: child.name.toUpperCase(),
    value:
      child.children.length === 0
        ? child.text
        : Object.fromEntries(child.children.map((part) => [part.name.toUpperCase(), part.text])),
  }));
}
