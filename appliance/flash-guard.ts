/** A block device, as `lsblk --json --bytes` tells of it. */
export interface BlockDevice {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly ro: boolean;
  readonly rm: boolean;
  readonly hotplug: boolean;
  readonly tran: string | null;
  readonly model: string | null;
  readonly mountpoints: readonly (string | null)[];
  readonly children?: readonly BlockDevice[];
}

/** Why an image must not be written there: every reason, in a person's words. Empty: it may. */
export function whyNotFlash(device: BlockDevice, imageBytes: number, isFixedAllowed: boolean): readonly string[] {
  const { path, type, size } = device;
  const used = mountsOf(device);
  const isSystem = used.some(({ where }) => where === "/" || where.startsWith("/boot") || where === "/usr");
  const isRemovable = device.rm || device.hotplug || device.tran === "usb" || device.tran === "mmc";
  return [
    ...(type === "disk" || type === "loop"
      ? []
      : [`${path} is a ${type === "part" ? "partition" : type}, not a whole disk`]),
    ...(isSystem ? [`this system runs from ${path}`] : []),
    ...used.map(({ by, where }) => (where === "[SWAP]" ? `${by} is swap in use` : `${by} is mounted on ${where}`)),
    ...(device.ro ? [`${path} is write-protected`] : []),
    ...(size < imageBytes ? [`${path} is too small: ${size} bytes, and the image has ${imageBytes}`] : []),
    ...(isRemovable || isFixedAllowed || type === "loop"
      ? []
      : [`${path} is built in (not removable): --fixed-disk says that it is meant`]),
  ];
}

/** A line by which a person knows the device again. */
export function describeDevice({ path, size, model, tran }: BlockDevice): string {
  return [path, `${(size / 1e9).toFixed(1)} GB`, model?.trim() ?? "", tran ?? ""]
    .filter((word) => word !== "")
    .join(", ");
}

function mountsOf(device: BlockDevice): readonly { readonly by: string; readonly where: string }[] {
  return [
    ...device.mountpoints.flatMap((where) => (where === null ? [] : [{ by: device.path, where }])),
    ...(device.children ?? []).flatMap(mountsOf),
  ];
}
