import { CodedError } from "../../base/error.ts";

/** Raised when an older box could not read what a newer one sends. */
const FORMAT = 1;

/** What a snapshot is: a copy of the state database at one index, and what a box must know besides to go on from there. */
export interface SnapshotManifest {
  readonly format: number;
  /** Last entry that the copy has applied, and its term; the database says the same of itself. */
  readonly index: number;
  readonly term: number;
  /** The membership in force at `index`, and the entry that made it. Bytes as in the log's record, base64. */
  readonly membershipIndex: number;
  readonly membership: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Of the box that took it; one that knows less cannot apply what follows. */
  readonly featureLevel: number;
  /** The cluster whose state it is. */
  readonly lineage: string;
  readonly generation: number;
}

export type ManifestContent = Omit<SnapshotManifest, "format">;

export function createManifest(content: ManifestContent): SnapshotManifest {
  return { format: FORMAT, ...content };
}

/** Reads what `JSON.stringify` wrote. Throws `snapshot-invalid`. */
export function parseManifest(text: string): SnapshotManifest {
  let value: Partial<SnapshotManifest>;
  try {
    value = JSON.parse(text) as Partial<SnapshotManifest>;
  } catch (error) {
    throw new CodedError("snapshot-invalid", "Cannot read the snapshot's manifest: it is no JSON", error);
  }
  const wrong = problemOf(value);
  if (wrong !== undefined) throw new CodedError("snapshot-invalid", `Cannot read the snapshot's manifest: ${wrong}`);
  return value as SnapshotManifest;
}

function problemOf(value: Partial<SnapshotManifest> | null): string | undefined {
  if (typeof value !== "object" || value === null) return "it is no object";
  if (value.format !== FORMAT) return `format ${String(value.format)} is not ${FORMAT}`;
  for (const name of ["index", "term", "membershipIndex", "sizeBytes", "featureLevel", "generation"] as const) {
    const number = value[name];
    if (!Number.isSafeInteger(number) || (number ?? -1) < 0) return `${name} ${String(number)} is no count`;
  }
  if ((value.membershipIndex ?? 0) > (value.index ?? 0)) return "its membership is newer than its state";
  if (!/^[0-9a-f]{64}$/.test(value.sha256 ?? "")) return "sha256 is not 64 hex digits";
  if (typeof value.membership !== "string" || typeof value.lineage !== "string") return "a text is missing";
  return undefined;
}
