import { assert } from "../base/assert.ts";
import { type ListedDomain, parseDomainList } from "./domain-list.ts";
import { BEAT_DIRECTORY, shellQuote } from "./loop-script.ts";
import type { CommandResult, HostLink } from "./ports.ts";

const VIRSH = "virsh -q -c qemu:///system";
/** A list takes 15 ms; a libvirtd that needs longer than this is not answering. */
const LIST_TIMEOUT_S = 10;
/** A start takes 0.35 s under emulation; a shared disk that hangs may take any time. */
const CREATE_TIMEOUT_S = 60;
/** QEMU gets SIGTERM, after 10 s SIGKILL (libvirt's own order); a guest in uninterruptible I/O takes longer. */
const DESTROY_TIMEOUT_S = 30;
/** The host must read a command that changes something within this time after we were allowed to send it. */
export const COMMAND_READ_WITHIN_MS = 5000;
/** What the network may add before we call the outcome unknown. */
const NETWORK_MARGIN_MS = 5000;
/** BSD's EX_TEMPFAIL: the script's word for "came too late, nothing was done". */
const TOO_LATE = 75;
/** timeout(1): it was cut off. */
const TIMED_OUT = [124, 137, 143];

/** Words shared by all scripts: no profile, messages in English, whatever the login shell set. */
const PROLOGUE = `PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C; export PATH LC_ALL\n`;

/** All domains of the host, as its libvirtd answers now; undefined with the reason when it does not. */
export async function listDomains(
  link: HostLink,
): Promise<{ readonly domains: readonly ListedDomain[] } | { readonly why: string }> {
  const result = await link.run(
    () => ({ send: `${PROLOGUE}timeout ${LIST_TIMEOUT_S} ${VIRSH} list --all --title </dev/null\n` }),
    {
      deadlineMs: LIST_TIMEOUT_S * 1000 + NETWORK_MARGIN_MS,
      key: "list",
    },
  );
  if (result.kind !== "done") return { why: result.why };
  if (result.code !== 0) return { why: complaint(result) };
  return { domains: parseDomainList(result.stdout) };
}

export type CreateOutcome =
  | { readonly kind: "started" }
  /** A domain of this name or UUID is there already; a list tells which. */
  | { readonly kind: "exists" }
  | { readonly kind: "not-started"; readonly why: string; readonly isRefused: boolean }
  | { readonly kind: "unknown"; readonly why: string };

/**
 * Creates a transient domain. `refuse` is asked at the last moment before the command's bytes are written, and the host
 * itself drops a command that it reads later than {@link COMMAND_READ_WITHIN_MS} by its own clock: what was held up in a frozen
 * box, a full queue or a stalled network can start nothing behind a later leader's back.
 */
export async function createDomain(
  link: HostLink,
  vm: { readonly vmId: number; readonly xml: string; readonly directories: readonly string[] },
  refuse: () => string | undefined,
): Promise<CreateOutcome> {
  const result = await link.run(
    () => {
      const uptimeMs = link.hostUptimeMs();
      if (uptimeMs === undefined) return { refuse: "the host's loop was not heard" };
      const why = refuse();
      if (why !== undefined) return { refuse: why };
      return { send: createScript(vm, uptimeMs) };
    },
    { deadlineMs: CREATE_TIMEOUT_S * 1000 + COMMAND_READ_WITHIN_MS + NETWORK_MARGIN_MS, key: `vm ${vm.vmId}` },
  );
  if (result.kind === "not-sent") return { kind: "not-started", why: result.why, isRefused: true };
  if (result.kind === "unknown") return { kind: "unknown", why: result.why };
  if (result.code === 0) return { kind: "started" };
  if (result.code === TOO_LATE)
    return { kind: "not-started", why: "the host read the command too late", isRefused: true };
  if (TIMED_OUT.includes(result.code))
    return { kind: "unknown", why: `libvirtd did not finish in ${CREATE_TIMEOUT_S} s` };
  if (/already (exists|active|running|being started)|is active/i.test(result.stderr)) return { kind: "exists" };
  // libvirtd went away or its connection broke with our call inside: it may carry it out, or may have.
  if (/end of file|cannot recv|broken pipe|keepalive|disconnected/i.test(result.stderr)) {
    return { kind: "unknown", why: complaint(result) };
  }
  return { kind: "not-started", why: complaint(result), isRefused: false };
}

function createScript(vm: { readonly xml: string; readonly directories: readonly string[] }, uptimeMs: number): string {
  // Escaped text cannot hold it: only RAW could, and then it is the author's fault.
  const mark = "RINGFENCE_DOMAIN_END";
  assert(!vm.xml.includes(mark), "the XML of a domain does not hold the mark that ends it");
  const directories = vm.directories.map(shellQuote).join(" ");
  return `main() {
${notLater(uptimeMs)}${directories === "" ? "" : `mkdir -p ${directories}\n`}timeout ${CREATE_TIMEOUT_S} ${VIRSH} create /dev/stdin <<'${mark}'
${vm.xml}${mark}
}
main
`;
}

/** The first lines of every script that changes something: the host drops it when it reads it too late by its own clock. */
function notLater(uptimeMs: number): string {
  const latestS = Math.ceil((uptimeMs + COMMAND_READ_WITHIN_MS) / 1000);
  return `${PROLOGUE}read -r up rest </proc/uptime\n[ "\${up%%.*}" -le ${latestS} ] || exit ${TOO_LATE}\n`;
}

/** Ends a domain at once. True: it is not there any more, whoever ended it. */
export async function destroyDomain(
  link: HostLink,
  vm: { readonly vmId: number; readonly uuid: string },
  refuse: () => string | undefined,
): Promise<{ readonly isGone: boolean; readonly why: string }> {
  const result = await perform(link, vm, `destroy ${shellQuote(vm.uuid)}`, DESTROY_TIMEOUT_S, refuse);
  if (result.kind !== "done") return { isGone: false, why: result.why };
  const isGone = result.code === 0 || /failed to get domain|domain is not running|no domain with/i.test(result.stderr);
  return { isGone, why: isGone ? "" : complaint(result) };
}

/** Presses the guest's power button; whether it obeys is seen later. */
export async function shutdownDomain(
  link: HostLink,
  vm: { readonly vmId: number; readonly uuid: string },
  refuse: () => string | undefined,
): Promise<CommandResult> {
  return perform(link, vm, `shutdown ${shellQuote(vm.uuid)} --mode acpi`, LIST_TIMEOUT_S, refuse);
}

/** A command about one VM that the host drops when it reads it too late: a later leader may have started the VM there anew. */
function perform(
  link: HostLink,
  vm: { readonly vmId: number },
  words: string,
  timeoutS: number,
  refuse: () => string | undefined,
): Promise<CommandResult> {
  return link.run(
    () => {
      const uptimeMs = link.hostUptimeMs();
      if (uptimeMs === undefined) return { refuse: "the host's loop was not heard" };
      const why = refuse();
      if (why !== undefined) return { refuse: why };
      return { send: `main() {\n${notLater(uptimeMs)}timeout ${timeoutS} ${VIRSH} ${words} </dev/null\n}\nmain\n` };
    },
    { deadlineMs: timeoutS * 1000 + NETWORK_MARGIN_MS, key: `vm ${vm.vmId}` },
  );
}

/**
 * The last disk beat of another host, read through this one. The text changes with each beat; two equal answers t ms apart mean
 * that no beat was written for t ms, without any trust in clocks. Undefined: this host sees no such file.
 */
export async function readStorageBeat(
  link: HostLink,
  datastores: string,
  hostUuid: string,
): Promise<{ readonly beat: string | undefined } | { readonly why: string }> {
  const path = shellQuote(`${datastores}/${BEAT_DIRECTORY}/${hostUuid}`);
  const script = `IFS= read -r line <${path} && printf '%s\\n' "$line"\n`;
  const result = await link.run(() => ({ send: script }), { deadlineMs: 2000, key: `beat ${hostUuid}` });
  if (result.kind !== "done") return { why: result.why };
  const line = result.stdout.trim();
  return { beat: line.endsWith(" .") ? line : undefined };
}

/** One try to bring a hung libvirtd back: guests go on running, libvirtd finds them again. */
export async function restartLibvirtd(link: HostLink): Promise<CommandResult> {
  const script = `${PROLOGUE}if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then timeout 30 systemctl restart libvirtd
else timeout 30 service libvirtd restart
fi </dev/null\n`;
  return link.run(() => ({ send: script }), { deadlineMs: 40_000, key: "libvirtd" });
}

/** virsh's complaint on one line, without its prefix, for a person. */
function complaint(result: { readonly code: number; readonly stderr: string }): string {
  const lines = result.stderr
    .split("\n")
    .map((line) => line.replace(/^error: /, "").trim())
    .filter((line) => line !== "" && !line.startsWith("Failed to create domain from"));
  return lines.join("; ").slice(0, 500) || `virsh ended with code ${result.code}`;
}
