import type { Config } from "../config/config.ts";

/** The part of `os.networkInterfaces()` that is looked at. */
export type InterfaceAddresses = Readonly<Record<string, readonly { readonly address: string }[] | undefined>>;

/**
 * The interfaces by which power commands leave, each with a gate in the kernel; by all others none leaves. BMC_INTERFACE when
 * it is given; else the one that has the address of this box in the BMC network, or in the management network; else all
 * that the box has, because it is not known by which one a BMC is reached.
 */
export function powerInterfaces({ box }: Pick<Config, "box">, present: InterfaceAddresses): readonly string[] {
  if (box.bmcInterface !== undefined) return [box.bmcInterface];
  const own = box.bmcAddress ?? box.managementAddress;
  const names = Object.keys(present).filter((name) => name !== "lo");
  const holders = names.filter((name) => present[name]?.some(({ address }) => address === own));
  return holders.length > 0 ? holders : names;
}
