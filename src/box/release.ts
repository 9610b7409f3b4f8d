/** What a slot's image says of itself: the text of its footer, and `release.json` inside it. */
export interface Release {
  readonly version: string;
  /** Git commit. */
  readonly build: string;
  /** Unix time of that commit, s: the floor of this box's clock. */
  readonly builtAt: number;
  /** `x86_64` or `arm64`, as the kernel and the package lists say it. */
  readonly architecture: string;
  /** Both file systems, padded to whole blocks of 4096 bytes; the hash tree begins there. */
  readonly imageBytes: number;
  /** Where the root's squashfs begins, bytes in whole blocks; before it lies the boot loader's, with kernel and initramfs. */
  readonly rootAt: number;
  readonly treeBytes: number;
  /** dm-verity's, hexadecimal. */
  readonly rootHash: string;
  readonly salt: string;
  /** The largest feature level that this build knows, and the smallest that it can still run with. */
  readonly featureLevel: number;
  readonly featureLevelMin: number;
  /** `test` images say so on every screen: their key is public. */
  readonly key: "test" | "release";
  /** Fingerprint of the OpenPGP key that has signed kernel and initramfs for GRUB, 40 hexadecimal digits; none: nobody has. */
  readonly bootKey?: string | undefined;
}

const BLOCK_BYTES = 4096;
const ARCHITECTURES: readonly string[] = ["x86_64", "arm64"];

/** The canonical text: the same release gives the same bytes, whoever builds it. */
export function formatRelease(release: Release): string {
  const { version, build, builtAt, architecture, imageBytes, rootAt, treeBytes, rootHash, salt } = release;
  const { featureLevel, featureLevelMin, key, bootKey } = release;
  return JSON.stringify({
    ...{ version, build, builtAt, architecture, imageBytes, rootAt, treeBytes, rootHash, salt },
    ...{ featureLevel, featureLevelMin, key, bootKey },
  });
}

/** Reads {@link formatRelease}'s text; keys that a newer build adds are passed over. A string says why it is none. */
export function parseRelease(text: string): Release | string {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return "it is no JSON";
  }
  if (typeof value !== "object" || value === null) return "it is no object";
  const isCount = (name: string, of = 1): boolean =>
    Number.isSafeInteger(value[name]) && Number(value[name]) >= 0 && Number(value[name]) % of === 0;
  const isHex = (name: string, least: number): boolean =>
    typeof value[name] === "string" && new RegExp(`^([0-9a-f]{2}){${least},256}$`).test(String(value[name]));
  const isWord = (name: string): boolean =>
    typeof value[name] === "string" && /^[\w.+~-]{1,80}$/.test(String(value[name]));
  const wrong = [
    ...["version", "build"].filter((name) => !isWord(name)),
    ...["builtAt", "featureLevel", "featureLevelMin"].filter((name) => !isCount(name)),
    ...["imageBytes", "rootAt", "treeBytes"].filter((name) => !isCount(name, BLOCK_BYTES)),
    ...(isHex("rootHash", 32) ? [] : ["rootHash"]),
    ...(isHex("salt", 0) ? [] : ["salt"]),
    ...(ARCHITECTURES.includes(String(value["architecture"])) ? [] : ["architecture"]),
    ...(value["key"] === "test" || value["key"] === "release" ? [] : ["key"]),
    ...(value["bootKey"] === undefined || isBootKey(value["bootKey"]) ? [] : ["bootKey"]),
  ];
  if (wrong.length > 0) return `${wrong.join(", ")} cannot be right`;
  return value as unknown as Release;
}

/** Bytes at the beginning of a slot that its footer speaks of. */
export function contentBytes({ imageBytes, treeBytes }: Pick<Release, "imageBytes" | "treeBytes">): number {
  return imageBytes + treeBytes;
}

/** Whether it is the fingerprint of an OpenPGP key (RFC 4880 §12.2). */
export function isBootKey(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{40}$/.test(value);
}
