const MIB = 1024 * 1024;

/** GPT's partitions in their order, MiB. The data partition is small here: a box grows it to its disk's end. */
export const PARTITIONS = [
  { name: "ringfence-bios", mib: 1, type: "21686148-6449-6E6F-744E-656564454649" },
  { name: "ringfence-esp", mib: 32, type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" },
  { name: "ringfence-a", mib: 96, type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4" },
  { name: "ringfence-b", mib: 96, type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4" },
  { name: "ringfence-data", mib: 64, type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4" },
] as const;
export type PartitionName = (typeof PARTITIONS)[number]["name"];

/** The first partition begins here: every disk's blocks are aligned to it. */
const FIRST_MIB = 1;
/** GPT's second copy. */
const LAST_MIB = 1;

/** Bytes. */
export function partitionSize(name: PartitionName): number {
  return (PARTITIONS.find((one) => one.name === name)?.mib ?? 0) * MIB;
}

/** Where it begins, bytes. */
export function partitionOffset(name: PartitionName): number {
  const index = PARTITIONS.findIndex((one) => one.name === name);
  return (FIRST_MIB + PARTITIONS.slice(0, index).reduce((sum, { mib }) => sum + mib, 0)) * MIB;
}

/** Bytes of the disk image. */
export const DISK_BYTES = (FIRST_MIB + PARTITIONS.reduce((sum, { mib }) => sum + mib, 0) + LAST_MIB) * MIB;
