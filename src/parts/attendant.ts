import { CodedError, errorChain } from "../base/error.ts";
import { openCage } from "./cage.ts";

/** Waits between two starts double from the first to the last of these, ms: a console that is plugged in is there soon. */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 10_000;
/** A child that ran for so long was a good one: the next wait is the first again. */
const GOOD_MS = 10_000;

/** A child beside main, whose death means nothing for anything else. */
export interface Attendant {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Keeps a child running for the life of the supervisor: started again whenever it ends, never counted for a reset, never
 * waited for. What an earlier one left behind (a shell on the line) is killed before the next one starts.
 */
export function attend(attendant: Attendant, log: (text: string) => void): { stop(): void } {
  const cage = openCage(`ringfence-${attendant.name.replace(/[^\w-]/g, "-")}`, () => undefined);
  let waitMs = BACK_OFF_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastWhy = "";
  let isStopped = false;
  const again = (): void => {
    if (isStopped) return;
    timer = setTimeout(start, waitMs);
    waitMs = Math.min(BACK_OFF_MAX_MS, waitMs * 2);
  };
  const say = (why: string): void => {
    // The same end again and again (a line that is not there) is said once.
    if (why !== lastWhy) log(`${attendant.name} ${why}`);
    lastWhy = why;
  };
  const start = (): void => {
    const startedAt = performance.now();
    try {
      if (!cage.isEmpty()) {
        cage.kill();
        if (!cage.isEmpty()) throw new CodedError("attendant", "what it left behind has not ended yet");
      }
      const child = Bun.spawn(cage.enter(attendant.command), {
        env: { ...process.env, ...attendant.environment, RINGFENCE_PARENT: String(process.pid) },
        stdio: ["ignore", "inherit", "inherit"],
        detached: true,
        onExit: (_self, code, signal) => {
          if (performance.now() - startedAt > GOOD_MS) waitMs = BACK_OFF_MS;
          say(`ended with ${signal ?? `exit code ${code}`}`);
          again();
        },
      });
      cage.adopt(child.pid);
    } catch (error) {
      say(`cannot be started: ${errorChain(error)}`);
      again();
    }
  };
  start();
  return {
    stop: () => {
      isStopped = true;
      clearTimeout(timer);
      cage.kill();
    },
  };
}
