import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseXml, type XmlElement } from "../../../src/one/xml.ts";

/** Outputs of OpenNebula's own commands; they are not part of the product. */
const REFERENCE = join(import.meta.dir, "../../../../shared/reference/cli");

export const hasReference: boolean = existsSync(REFERENCE);

/** Said by each test that can then show nothing. */
export const ABSENT = "skipped: ../shared/reference/cli is absent";

/** What a command printed, without the line that names the command. */
export function printed(file: string): string {
  const text = readFileSync(join(REFERENCE, file), "utf8");
  const body = text.slice(text.indexOf("\n") + 1);
  const match = /^--- stdout ---\n([\s\S]*?)--- stderr ---\n/.exec(body);
  return match?.[1] ?? body;
}

/** The document of a `-x` output, without the white space between its elements. */
export function document(file: string): XmlElement {
  return parseXml(compact(printed(file)));
}

export function compact(text: string): string {
  return text.replace(/>\s+</g, "><").trim();
}

/** Answers of a running oned. */
export function answer(file: string): string {
  return readFileSync(join(REFERENCE, "../oned-answers", file), "utf8");
}
