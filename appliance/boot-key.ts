import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodedError } from "../src/base/error.ts";
import { command } from "./command.ts";

/** What signs what GRUB starts. GRUB knows OpenPGP and no ed25519, so it is not the key of footers and bundles (keys.ts). */
export interface BootKey {
  readonly kind: "test" | "release";
  /** OpenPGP's, 40 hexadecimal digits: as a release and `rf.bootkey` name the key. */
  readonly fingerprint: string;
  /** As GRUB reads it. */
  readonly publicKey: Uint8Array;
  /** Writes a detached signature to `file.sig`. The same content gives the same one. */
  sign(file: string): Promise<void>;
}

/** Where the TEST key is, which anybody can read. */
const TEST_BOOT_KEY = "appliance/keys/TEST-boot-private.asc";
/** OpenPGP's numbers of algorithms (RFC 4880 §9.1). */
const RSA = ["1", "3"];

/**
 * The OpenPGP secret key in a file (RSA, without a passphrase); without one, the TEST key. `atSeconds`, Unix time: when it signs,
 * or when it was made if that is later. Throws `boot-key`.
 */
export async function readBootKey(repository: string, file: string | undefined, atSeconds: number): Promise<BootKey> {
  const testFile = `${repository}/${TEST_BOOT_KEY}`;
  const test = await describeKey(testFile);
  const { fingerprint, publicKey, madeAt } = file === undefined ? test : await describeKey(file);
  const time = `${Math.max(atSeconds, madeAt)}!`;
  return {
    // Under another name it is no less public.
    kind: fingerprint === test.fingerprint ? "test" : "release",
    fingerprint,
    publicKey,
    sign: (signed) =>
      withKey(file ?? testFile, async (gpg) => {
        // SHA-256 is the digest that GRUB gets (grub.ts).
        const how = ["--digest-algo", "SHA256", "--faked-system-time", time, "--pinentry-mode", "loopback"];
        await gpg([...how, "--passphrase", "", "--yes", "--output", `${signed}.sig`, "--detach-sign", signed]);
      }),
  };
}

interface KeyFacts {
  readonly fingerprint: string;
  readonly publicKey: Uint8Array;
  /** Unix time. */
  readonly madeAt: number;
}

async function describeKey(file: string): Promise<KeyFacts> {
  return withKey(file, async (gpg, home) => {
    const records = (await gpg(["--with-colons", "--list-secret-keys"])).split("\n").map((line) => line.split(":"));
    const keys = records.filter(([kind]) => kind === "sec" || kind === "ssb");
    const [fingerprint] = records.filter(([kind]) => kind === "fpr").map((record) => record[9]);
    // Its sixth field is the time, its fourth the algorithm, its twelfth what it may do (doc/DETAILS of GnuPG).
    const signers = keys.filter((record) => record[11]?.includes("s") === true);
    if (fingerprint === undefined || keys.filter(([kind]) => kind === "sec").length !== 1)
      throw failure(file, "it does not hold one OpenPGP secret key");
    if (signers.length === 0 || !signers.every((record) => RSA.includes(record[3] ?? "")))
      throw failure(file, "it is no RSA key that signs, and GRUB gets the module of RSA only");
    await gpg(["--output", `${home}/public`, "--export-options", "export-minimal", "--export", fingerprint]);
    return {
      fingerprint: fingerprint.toLowerCase(),
      publicKey: readFileSync(`${home}/public`),
      madeAt: Math.max(...signers.map((record) => Number(record[5]))),
    };
  });
}

/** GnuPG with nothing but the file's key, and gone afterwards with its agent. */
async function withKey<T>(
  file: string,
  use: (gpg: (words: readonly string[]) => Promise<string>, home: string) => Promise<T>,
): Promise<T> {
  if (!existsSync(file)) throw failure(file, "there is no such file");
  const home = mkdtempSync(join(tmpdir(), "ringfence-gpg-"));
  const gpg = (words: readonly string[]): Promise<string> =>
    command(["gpg", "--homedir", home, "--batch", "--quiet", "--no-auto-check-trustdb", ...words]);
  try {
    await gpg(["--import", file]);
    return await use(gpg, home);
  } catch (error) {
    throw error instanceof CodedError && error.code === "boot-key" ? error : failure(file, "GnuPG refuses it", error);
  } finally {
    await command(["gpgconf", "--homedir", home, "--kill", "all"]);
    rmSync(home, { recursive: true, force: true });
  }
}

function failure(file: string, why: string, cause?: unknown): CodedError {
  return new CodedError("boot-key", `Cannot sign what is booted with "${file}": ${why}`, cause);
}
