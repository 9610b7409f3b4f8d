import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { must } from "../support/rack/command.ts";

/** Debian asks this program before it starts a daemon; 101 is "not allowed" (invoke-rc.d(8)). */
const POLICY = "/usr/sbin/policy-rc.d";
const INSTALL_TIMEOUT_MS = 180_000;

/**
 * Installs what is missing of a bench's peers, from Debian's release. No daemon is started: benches start their peers
 * by themselves, in namespaces. `programs` are the paths that tell that all is there.
 */
export async function installPeers(packages: readonly string[], programs: readonly string[]): Promise<void> {
  if (programs.every((program) => existsSync(program))) return;
  const isOurs = !existsSync(POLICY);
  if (isOurs) await writeFile(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const options = { timeoutMs: INSTALL_TIMEOUT_MS, env: { DEBIAN_FRONTEND: "noninteractive" } };
    await must(["apt-get", "update", "-qq"], options);
    await must(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages], options);
  } finally {
    if (isOurs) await rm(POLICY, { force: true });
  }
}
