import { type Attribute, type Attributes, getVectors, type Vector } from "../attributes.ts";

/** What a sealed secret reads as, and what a client may send back to keep it. */
export const HIDDEN = "***";

/** FENCE sections as they are kept: PASSWORD sealed, everything else as given. */
export type FenceSections = readonly Vector[];

export interface SealedHostTemplate {
  /** The template with every PASSWORD of a FENCE section hidden; nothing else of it ever leaves the state. */
  readonly shown: Attributes;
  readonly sections: FenceSections;
}

/**
 * Seals the passwords of a host's FENCE sections. A password of `***` keeps the one that the section of the same method,
 * address and user had; where there is none the answer is what is wrong. Passwords outside of a FENCE section
 * (FENCE_PASSWORD beside FENCE_IP, as in OpenNebula's example) are sealed the same way, as a section of their own.
 */
export function sealFence(
  attributes: Attributes,
  before: FenceSections,
  seal: (text: string) => string,
): SealedHostTemplate | { readonly fault: string } {
  const sections: Vector[] = [];
  const shown: Attribute[] = [];
  for (const attribute of withFlatFence(attributes)) {
    if (attribute.name !== "FENCE" || typeof attribute.value === "string") {
      shown.push(attribute);
      continue;
    }
    const password = attribute.value["PASSWORD"];
    const sealed = password === HIDDEN ? sealedBefore(before, attribute.value) : password && seal(password);
    if (password === HIDDEN && sealed === undefined) {
      return { fault: `PASSWORD of FENCE at ${address(attribute.value)} is ${HIDDEN}, and none is known: give it` };
    }
    sections.push(sealed ? { ...attribute.value, PASSWORD: sealed } : attribute.value);
    shown.push(password ? { name: "FENCE", value: { ...attribute.value, PASSWORD: HIDDEN } } : attribute);
  }
  return { shown, sections };
}

/** FENCE_IP and its friends, OpenNebula's older form, as one FENCE section; the template is otherwise as it was. */
function withFlatFence(attributes: Attributes): Attributes {
  const flat: Record<string, string> = {};
  const rest: Attribute[] = [];
  for (const attribute of attributes) {
    const key = FLAT[attribute.name];
    if (key === undefined || typeof attribute.value !== "string") rest.push(attribute);
    else flat[key] = attribute.value;
  }
  if (Object.keys(flat).length === 0) return attributes;
  const known = getVectors(rest, "FENCE").some((section) => section["ADDRESS"] === flat["ADDRESS"]);
  return known ? rest : [...rest, { name: "FENCE", value: flat }];
}

const FLAT: Readonly<Record<string, string>> = {
  FENCE_IP: "ADDRESS",
  FENCE_PORT: "PORT",
  FENCE_USER: "USER",
  FENCE_PASSWORD: "PASSWORD",
};

function sealedBefore(before: FenceSections, section: Vector): string | undefined {
  const same = (key: string, other: Vector): boolean => (other[key] ?? "") === (section[key] ?? "");
  return before.find((other) => same("METHOD", other) && same("ADDRESS", other) && same("USER", other))?.["PASSWORD"];
}

function address(section: Vector): string {
  return section["ADDRESS"] ?? "(no ADDRESS)";
}
