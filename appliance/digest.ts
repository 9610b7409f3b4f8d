import { createHash } from "node:crypto";

/** The SHA-256 of a file, hex. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

/** 32 bytes that `commit` and `name` decide: the same commit has the same salt and the same uuids. */
export function derived(commit: string, name: string): Buffer {
  return createHash("sha256").update(`ringfence ${name} ${commit}`).digest();
}

/** A uuid (RFC 4122 version 8: of the maker's own making) from {@link derived}. */
export function derivedUuid(commit: string, name: string): string {
  const bytes = derived(commit, name).subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
