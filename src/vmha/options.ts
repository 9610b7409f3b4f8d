/** How lost VMs are recovered: what OpenNebula's `host_error` takes as its arguments. */
export interface RecoveryOptions {
  /** `-m`: on another host, with their disks; `-r`: anew, with fresh disks; `-d`: not at all, they are deleted. */
  readonly mode: "migrate" | "recreate" | "delete";
  /** `-f`: VMs that were suspended or powered off on the host too. */
  readonly isForced: boolean;
  /** `-p N`: monitoring cycles to wait before anything is done; 0 = none. */
  readonly cycles: number;
  /** `--no-fencing`: without powering the host off first. */
  readonly isFencingWaived: boolean;
}

/** What happens when no HOST_HOOK says otherwise. */
export const RECOVERY_OPTIONS_DEFAULT: RecoveryOptions = {
  mode: "migrate",
  isForced: false,
  cycles: 0,
  isFencingWaived: false,
};

/** The longest wait that `-p` may ask for: an hour of 2 s cycles; more is a mistake. */
const CYCLES_MAX = 1_800;

/**
 * Reads ARGUMENTS of a HOST_HOOK whose command is `host_error.rb`. `$TEMPLATE`, `$ID` and `$HID` stand for the host and
 * are passed over. The older form `-r n` and `-d y` is read too: the letter says whether suspended VMs are meant.
 * Returns a sentence when it cannot be read.
 */
export function parseHostErrorArguments(text: string): RecoveryOptions | string {
  const words = text.split(/\s+/).filter((word) => word !== "");
  let { mode, isForced, cycles, isFencingWaived } = RECOVERY_OPTIONS_DEFAULT;
  let modes = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const next = words[at + 1] ?? "";
    const newMode = MODES[word];
    if (newMode !== undefined) {
      mode = newMode;
      modes++;
      if (/^[yn]$/.test(next)) {
        isForced = next === "y";
        at++;
      }
    } else if (word === "-f" || word === "--force") isForced = true;
    else if (word === "--no-fencing") isFencingWaived = true;
    else if (word === "-p" || word === "--pause") {
      if (!/^\d{1,4}$/.test(next) || Number(next) > CYCLES_MAX)
        return `-p needs a number of cycles from 0 to ${CYCLES_MAX}`;
      cycles = Number(next);
      at++;
    } else if (!/^\$(TEMPLATE|ID|HID)$/.test(word))
      return `"${word}" is not an option of host_error: -m -r -d -f -p N --no-fencing`;
  }
  if (modes > 1) return "only one of -m, -r and -d can be chosen";
  return { mode, isForced, cycles, isFencingWaived };
}

/** Whether a VM_HOOK with `on="FAILED"` asks for what is built in: that a crashed VM is started again. */
export function isResubmitHook(command: string, on: string): boolean {
  return on.toUpperCase() === "FAILED" && /\bonevm\s+(resubmit|recover\s+--(recreate|retry))\b/.test(command);
}

const MODES: Readonly<Record<string, RecoveryOptions["mode"]>> = {
  "-m": "migrate",
  "--migrate": "migrate",
  "-r": "recreate",
  "--recreate": "recreate",
  "-d": "delete",
  "--delete": "delete",
};
