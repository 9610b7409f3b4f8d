import { getText, parseStored } from "../one/attributes.ts";
import type { HostRow } from "../one/host/row.ts";
import type { VmRow } from "../one/vm/row.ts";
import type { Demand } from "./fit.ts";
import type { Attributes } from "./requirements.ts";

/** What a VM asks for, from its row: the user's attributes win over the template's. */
export function demandOf(vm: VmRow): Demand {
  const user = parseStored(vm.user_template);
  const own = parseStored(vm.template);
  const read = (name: string): string => getText(user, name) ?? getText(own, name) ?? "";
  return {
    vmId: vm.id,
    cpu: vm.cpu,
    memory: vm.memory,
    requirements: read("SCHED_REQUIREMENTS"),
    rank: read("SCHED_RANK"),
    excluded: new Map(),
  };
}

/** A host's attributes by name, from its template and its facts, for requirements and ranks. */
export function hostAttributes(host: HostRow): Attributes {
  const found: Record<string, string> = {};
  for (const text of [host.facts, host.template])
    for (const { name, value } of parseStored(text)) if (typeof value === "string") found[name] = value;
  return found;
}
