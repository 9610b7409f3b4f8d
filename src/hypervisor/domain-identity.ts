import { createHash } from "node:crypto";

/** Which VM of which cluster a domain is, and for which of its deploys it was started. */
export interface DomainIdentity {
  readonly clusterId: string;
  readonly vmId: number;
  /** Counts the deploys of the VM: a domain of an older epoch was given up and must not run. */
  readonly epoch: number;
}

/** OpenNebula's name of a domain. */
export function domainName(vmId: number): string {
  return `one-${vmId}`;
}

/**
 * The libvirt UUID of a VM: the same on every host and after every resubmit (version 8 of RFC 9562, first 122 bits of a
 * SHA-256), so libvirt itself refuses a second domain of one VM on one host, and a domain of another cluster that
 * happens to have the same name is never taken for ours.
 */
export function domainUuid(clusterId: string, vmId: number): string {
  const hash = createHash("sha256").update(`ringfence vm ${clusterId} ${vmId}`).digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

/** The domain's title, which one `virsh list --title` shows for all domains at once: `ringfence <cluster> <vm> <epoch>`. */
export function encodeTitle(identity: DomainIdentity): string {
  return `ringfence ${identity.clusterId} ${identity.vmId} ${identity.epoch}`;
}

/** Inverse of {@link encodeTitle}; undefined for a domain that is not ours. */
export function decodeTitle(title: string): DomainIdentity | undefined {
  const match = /^ringfence (\S{1,64}) (\d{1,10}) (\d{1,15})$/.exec(title);
  if (match === null) return undefined;
  const [, clusterId = "", vmId, epoch] = match;
  return { clusterId, vmId: Number(vmId), epoch: Number(epoch) };
}
