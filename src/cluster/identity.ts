import { createHash, randomBytes, webcrypto } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "../base/error.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/** Which cluster a box belongs to. A restore or a force-recover keeps the lineage and raises the generation. */
export interface ClusterId {
  /** 16 hex digits, made when the cluster is founded. */
  readonly lineage: string;
  readonly generation: number;
}

/** What tells one machine from another; null for what it does not tell. */
export interface Machine {
  /** SMBIOS UUID or device tree serial number of the board. */
  readonly board: string | null;
  /** Serial of the disk with the data directory. */
  readonly disk: string | null;
}

/** Who a box is. Bound to its data directory: a wiped box gets a new one and never votes with the old. */
export interface Identity {
  /** 16 lower hex digits; what Raft counts. */
  readonly raftId: string;
  readonly privateKeyPem: string;
  readonly certificatePem: string;
  /** SHA-256 of the certificate's DER form, 64 lower hex digits; peers pin it. */
  readonly certificateHash: string;
  /** Null until the box has founded or joined a cluster. */
  readonly cluster: ClusterId | null;
  /** Where it runs; undefined before its first start. A copy of the data directory on another machine does not run. */
  readonly machine?: Machine;
}

const FILE = "identity.json";

/** Makes a new identity. The certificate only carries the key: its names and dates mean nothing, peers pin its hash. */
export async function createIdentity(cluster: ClusterId | null): Promise<Identity> {
  // Once in a box's life: loaded only then, it is a third of what every program of ours would start with.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const raftId = randomBytes(8).toString("hex");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${raftId}`,
      name: `CN=ringfence ${raftId}`,
      notBefore: new Date("2000-01-01T00:00:00Z"),
      notAfter: new Date("2999-12-31T00:00:00Z"),
      signingAlgorithm: algorithm,
      keys,
    },
    webcrypto as unknown as Crypto,
  );
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    raftId,
    privateKeyPem: `-----BEGIN PRIVATE KEY-----\n${key.replace(/(.{64})/g, "$1\n").trimEnd()}\n-----END PRIVATE KEY-----\n`,
    certificatePem: certificate.toString("pem"),
    certificateHash: createHash("sha256").update(Buffer.from(certificate.rawData)).digest("hex"),
    cluster,
  };
}

/** The identity of a data directory, or undefined when it was never initialised. Throws `identity-unreadable`. */
export function loadIdentity(directory: string): Identity | undefined {
  const path = join(directory, FILE);
  if (!existsSync(path)) return undefined;
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as Identity;
    if (!/^[0-9a-f]{16}$/.test(value.raftId)) throw new Error(`raftId "${value.raftId}" is not 16 hex digits`);
    return value;
  } catch (error) {
    throw new CodedError("identity-unreadable", `Cannot read identity "${path}"`, error);
  }
}

/** Stores the identity durably (0600; file and directory synced). */
export function saveIdentity(directory: string, identity: Identity): void {
  writeFileDurably(join(directory, FILE), `${JSON.stringify(identity, null, 2)}\n`);
}
