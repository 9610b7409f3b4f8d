import {
  type Attribute,
  type Attributes,
  getText,
  getVectors,
  mergeAttributes,
  renderTemplate,
  type Vector,
  without,
} from "../attributes.ts";
import type { ImageRow } from "../image/kind.ts";
import { escapeXml } from "../xml.ts";

/** What a VM needs of the state to be made: the columns of its row that its template gives. */
export interface Specification {
  /** Hundredths of a core, KiB. */
  readonly cpu: number;
  readonly memory: number;
  /** Inner XML of TEMPLATE, USER_TEMPLATE and of the pool's short TEMPLATE. */
  readonly template: string;
  readonly userTemplate: string;
  readonly shortTemplate: string;
  readonly images: readonly ImageRow[];
}

/** Attributes that make the machine; everything else is the user's own and changes nothing. */
const MACHINE: ReadonlySet<string> = new Set([
  "CONTEXT",
  "CPU",
  "CPU_COST",
  "CPU_MODEL",
  "DISK",
  "DISK_COST",
  "EMULATOR",
  "FEATURES",
  "GRAPHICS",
  "HYPERV_OPTIONS",
  "INPUT",
  "MEMORY",
  "MEMORY_COST",
  "MEMORY_MAX",
  "MEMORY_SLOTS",
  "NIC",
  "NUMA_NODE",
  "OS",
  "PCI",
  "RAW",
  "SPICE_OPTIONS",
  "TOPOLOGY",
  "TPM",
  "VCPU",
  "VCPU_MAX",
  "VIDEO",
  "VMGROUP",
]);

/** Attributes that only we write; in a template that was copied from a VM they mean nothing. */
const OURS = [
  "VMID",
  "TEMPLATE_ID",
  "TM_MAD_SYSTEM",
  "AUTOMATIC_REQUIREMENTS",
  "ERROR",
  "NAME",
  "SUBMIT_ON_HOLD",
] as const;

/** Attributes that reach the hypervisor unexamined: an administrator's only. */
const RESTRICTED: readonly string[] = ["EMULATOR", "RAW", "PCI"];

/** Bounds that keep one VM's row and its domain readable. */
const DISKS_MAX = 32;
const NICS_MAX = 32;

/** How a DISK names its image. */
export function imageReferences(attributes: Attributes): readonly (number | string)[] {
  return getVectors(attributes, "DISK").flatMap((disk): (number | string)[] => {
    const id = disk["IMAGE_ID"];
    if (id !== undefined) return [/^[0-9]{1,9}$/.test(id) ? Number(id) : id];
    return disk["IMAGE"] === undefined ? [] : [disk["IMAGE"]];
  });
}

/**
 * Checks a VM's template and completes it: disks get their image's path, id and target, NICs their MAC, the machine its
 * UUID. `images` are the images that {@link imageReferences} names, as far as they exist.
 */
export function specify(
  attributes: Attributes,
  images: readonly ImageRow[],
  context: { readonly templateId: number | undefined; readonly isAdmin: boolean; randomHex(bytes: number): string },
): Specification | { readonly fault: string } {
  const given = without(attributes, ...OURS);
  const restricted = given.find(({ name }) => RESTRICTED.includes(name));
  if (restricted !== undefined && !context.isAdmin) {
    return { fault: `VM Template includes a restricted attribute ${restricted.name}.` };
  }
  const cpu = Number(getText(given, "CPU") ?? Number.NaN);
  if (!(cpu > 0 && cpu <= 4096)) return { fault: "CPU attribute must be a positive float or integer value." };
  const memoryMb = Number(getText(given, "MEMORY") ?? Number.NaN);
  if (!(Number.isInteger(memoryMb) && memoryMb > 0 && memoryMb <= 2 ** 28)) {
    return { fault: "MEMORY attribute must be a positive integer value." };
  }
  const vcpu = getText(given, "VCPU");
  if (vcpu !== undefined && !/^[1-9][0-9]{0,3}$/.test(vcpu))
    return { fault: "VCPU attribute must be a positive integer value." };
  const disks = completeDisks(getVectors(given, "DISK"), images, context.isAdmin);
  if ("fault" in disks) return disks;
  const nics = completeNics(getVectors(given, "NIC"), context.randomHex);
  if ("fault" in nics) return nics;
  const os = getVectors(given, "OS")[0] ?? {};
  const machine = mergeAttributes(
    given.filter(({ name }) => MACHINE.has(name) && name !== "DISK" && name !== "NIC"),
    [{ name: "OS", value: { UUID: uuid(context.randomHex(16)), ...os } }],
  );
  const all: Attributes = [
    ...machine,
    ...disks.disks.map((value): Attribute => ({ name: "DISK", value })),
    ...nics.nics.map((value): Attribute => ({ name: "NIC", value })),
    { name: "TM_MAD_SYSTEM", value: "shared" },
    ...(context.templateId === undefined ? [] : [{ name: "TEMPLATE_ID", value: String(context.templateId) }]),
  ];
  return {
    cpu: Math.ceil(cpu * 100),
    memory: memoryMb * 1024,
    template: renderTemplate(all),
    userTemplate: renderTemplate(given.filter(({ name }) => !MACHINE.has(name))),
    shortTemplate: short(all),
    images: disks.images,
  };
}

/** CPU, MEMORY, VCPU as plain text, then DISK, NIC and GRAPHICS: what a list needs. */
function short(all: Attributes): string {
  const plain = ["CPU", "MEMORY", "VCPU"]
    .map((name) => `<${name}>${escapeXml(getText(all, name) ?? "")}</${name}>`)
    .join("");
  const vectors = (name: string): string => renderTemplate(all.filter((attribute) => attribute.name === name));
  return plain + vectors("DISK") + vectors("NIC") + vectors("GRAPHICS");
}

function completeDisks(
  disks: readonly Vector[],
  images: readonly ImageRow[],
  mayUsePaths: boolean,
): { readonly disks: readonly Vector[]; readonly images: readonly ImageRow[] } | { readonly fault: string } {
  if (disks.length > DISKS_MAX) return { fault: `DISK occurs ${disks.length} times, more than ${DISKS_MAX}` };
  const done: Vector[] = [];
  const used: ImageRow[] = [];
  for (const [index, disk] of disks.entries()) {
    const own = {
      DISK_ID: String(index),
      TARGET: disk["TARGET"] ?? `vd${String.fromCharCode(97 + (index % 26))}`,
      TYPE: "FILE",
    };
    if (disk["IMAGE_ID"] === undefined && disk["IMAGE"] === undefined) {
      const fault = pathFault(disk, mayUsePaths);
      if (fault !== undefined) return { fault: `DISK ${index}: ${fault}` };
      done.push({ FORMAT: "raw", ...disk, ...own });
      continue;
    }
    const image = images.find((one) =>
      disk["IMAGE_ID"] === undefined ? one.name === disk["IMAGE"] : String(one.id) === disk["IMAGE_ID"],
    );
    if (image === undefined)
      return { fault: `DISK ${index}: image ${disk["IMAGE_ID"] ?? disk["IMAGE"]} does not exist or is not yours` };
    if (image.state !== IMAGE_READY && !(image.state === IMAGE_USED && image.persistent === 0)) {
      return { fault: `Cannot get image [${image.id}]: it is in use or not ready` };
    }
    if (image.persistent === 1 && used.includes(image))
      return { fault: `DISK ${index}: persistent image ${image.id} is used twice` };
    used.push(image);
    done.push({
      ...disk,
      ...own,
      IMAGE: image.name,
      IMAGE_ID: String(image.id),
      SOURCE: image.source,
      FORMAT: image.format,
      DATASTORE_ID: String(image.datastore_id),
      SIZE: String(image.size_mb),
      PERSISTENT: image.persistent === 1 ? "YES" : "NO",
    });
  }
  return { disks: done, images: [...new Set(used)] };
}

const IMAGE_READY = 1;
const IMAGE_USED = 2;

/** A disk that names a file itself is the administrator's: any file that the hypervisor can open could stand there. */
function pathFault(disk: Vector, mayUsePaths: boolean): string | undefined {
  const source = disk["SOURCE"];
  if (source === undefined) return "IMAGE_ID, IMAGE or SOURCE is needed";
  if (!mayUsePaths) return "only an administrator may name a file by SOURCE";
  return /^\/[A-Za-z0-9._/@:+-]+$/.test(source) && !source.split("/").includes("..")
    ? undefined
    : `SOURCE "${source}" is not an absolute path of plain characters`;
}

function completeNics(
  nics: readonly Vector[],
  randomHex: (bytes: number) => string,
): { readonly nics: readonly Vector[] } | { readonly fault: string } {
  if (nics.length > NICS_MAX) return { fault: `NIC occurs ${nics.length} times, more than ${NICS_MAX}` };
  const done: Vector[] = [];
  for (const [index, nic] of nics.entries()) {
    if (nic["BRIDGE"] === undefined) {
      return { fault: `NIC ${index}: BRIDGE is needed; virtual networks are not managed yet` };
    }
    if (!/^[A-Za-z0-9_.-]{1,15}$/.test(nic["BRIDGE"]))
      return { fault: `NIC ${index}: BRIDGE "${nic["BRIDGE"]}" is no interface name` };
    const mac = nic["MAC"] ?? `02:00:${(randomHex(4).match(/../g) ?? []).join(":")}`;
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac))
      return { fault: `NIC ${index}: MAC "${mac}" is not six bytes in hex` };
    done.push({ ...nic, NIC_ID: String(index), MAC: mac.toLowerCase() });
  }
  return { nics: done };
}

/** Version 4 of 16 random bytes in hex. */
function uuid(hex: string): string {
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`;
}
