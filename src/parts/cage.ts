import { errorChain } from "../base/error.ts";
import { openProcessGroup, type ProcessGroup } from "../linux/cgroup.ts";
import type { Cage } from "../watchdog/ports.ts";

/**
 * Main and all that it starts: a cgroup where the kernel lets us have one, which also holds what an *earlier* supervisor
 * left behind, and the process group of the child in any case.
 */
export function openCage(
  name: string,
  report: (text: string) => void,
): Cage & { readonly enter: (command: readonly string[]) => string[] } {
  let group: ProcessGroup | undefined;
  let leader: number | undefined;
  try {
    group = openProcessGroup(name);
  } catch (error) {
    report(`${errorChain(error)}: what main starts is held by its process group only`);
  }
  return {
    // The shell moves itself before it becomes main: on a loaded machine main may have children before adopt gets its turn.
    enter: (command) =>
      group === undefined
        ? [...command]
        : ["/bin/sh", "-c", 'echo $$ >"$0"; exec "$@"', `${group.path}/cgroup.procs`, ...command],
    adopt: (pid) => {
      leader = pid;
      try {
        group?.add(pid);
      } catch (error) {
        report(errorChain(error)); // It may have ended at once; its process group holds the rest.
      }
    },
    kill: () => {
      if (leader !== undefined) signalGroup(leader, "SIGKILL");
      group?.kill();
    },
    isEmpty: () => {
      if (leader !== undefined && !signalGroup(leader, 0)) leader = undefined;
      return leader === undefined && group?.isEmpty() !== false;
    },
  };
}

/** False when the process group has no member left. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch {
    return false;
  }
}
