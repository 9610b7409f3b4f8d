import { type Attributes, getText } from "../attributes.ts";

/** Hundredths of a core and KiB that VMs may not have; negative ones are lent to them. */
export interface ReservedCapacity {
  readonly cpu: number;
  readonly mem: number;
}

/**
 * RESERVED_CPU (hundredths of a core) and RESERVED_MEM (KiB) of a host's template, plain or in percent of what the host
 * has; undefined when one of them is neither. A share is computed again whenever the host tells what it has.
 */
export function reservedCapacity(
  attributes: Attributes,
  totalCpu: number,
  totalMem: number,
): ReservedCapacity | undefined {
  const cpu = amount(getText(attributes, "RESERVED_CPU") ?? "", totalCpu);
  const mem = amount(getText(attributes, "RESERVED_MEM") ?? "", totalMem);
  return cpu === undefined || mem === undefined ? undefined : { cpu, mem };
}

function amount(value: string, total: number): number | undefined {
  if (value === "") return 0;
  const match = /^(-?[0-9]{1,12}(?:\.[0-9]+)?)(%?)$/.exec(value);
  if (match === null) return undefined;
  return Math.round(match[2] === "%" ? (Number(match[1]) / 100) * total : Number(match[1]));
}
