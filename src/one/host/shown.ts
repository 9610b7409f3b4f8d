import { type Attributes, parseStored, renderTemplate, without } from "../attributes.ts";

interface Parts {
  readonly im_mad: string;
  readonly vm_mad: string;
  /** Inner XML each. */
  readonly template: string;
  readonly facts: string;
}

/** What TEMPLATE of a host shows: its drivers, what it told about itself, and over that what its user wrote. */
export function shownTemplate(parts: Parts): string {
  const user = parseStored(parts.template);
  const own: Attributes = [
    { name: "IM_MAD", value: parts.im_mad },
    { name: "VM_MAD", value: parts.vm_mad },
    { name: "RESERVED_CPU", value: "" },
    { name: "RESERVED_MEM", value: "" },
    ...parseStored(parts.facts),
  ];
  return renderTemplate([...without(own, ...user.map((attribute) => attribute.name)), ...user]);
}
