import { CodedError } from "../base/error.ts";
import { errnoText, lastErrno, libc } from "./libc.ts";

const CLOCK_REALTIME = 0;

/** Sets the machine's wall clock, ms since 1970. Throws `clock`: not root, or a container's. */
export function setWallClock(ms: number): void {
  const timespec = new BigInt64Array([BigInt(Math.floor(ms / 1000)), BigInt(Math.floor((ms % 1000) * 1e6))]);
  if (libc.clock_settime(CLOCK_REALTIME, timespec) !== 0)
    throw new CodedError("clock", `Cannot set the clock to ${new Date(ms).toISOString()}: ${errnoText(lastErrno())}`);
}
