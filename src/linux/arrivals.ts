import { CodedError } from "../base/error.ts";
import { EPOLL, EPOLL_CTL, epoll } from "./epoll-calls.ts";
import { errnoText } from "./libc.ts";

/** Whether anything waits on some sockets that are looked at often: one call of 1 µs for all of them. */
export interface Arrivals {
  /** A descriptor that is closed leaves by itself. Throws `epoll` for what cannot be watched. */
  add(descriptor: number): void;
  /** True while one of them has something to read, or an error to tell. Never waits. */
  any(): boolean;
}

/** Opens an epoll descriptor for the calling thread's life. */
export function openArrivals(): Arrivals {
  const own = epoll.create();
  const first = new Uint8Array(epoll.layout.eventBytes);
  return {
    add: (descriptor) => {
      const errno = epoll.control(own, EPOLL_CTL.ADD, descriptor, EPOLL.IN, descriptor);
      if (errno !== 0) throw new CodedError("epoll", `Cannot watch descriptor ${descriptor}: ${errnoText(errno)}`);
    },
    // A call that failed (a signal) is no reason to look away.
    any: () => epoll.wait(own, first, 1, 0) !== 0,
  };
}
