import { Worker } from "node:worker_threads";
import { CodedError } from "../base/error.ts";
import { program } from "../base/program.ts";
import { EPOLL, EPOLL_CTL, epoll } from "./epoll-calls.ts";
import type { EpollReport } from "./epoll-worker.ts";
import { errnoText } from "./libc.ts";

/** A descriptor whose readiness is told. */
export interface Watch {
  /**
   * The next time that one of `events` holds, `ready` is called, once; then arm it again. Arming replaces what was armed
   * before. A level that holds already is told at once. HUP and ERR are told in any case. Throws `epoll` for what cannot
   * be watched, as regular files.
   */
  arm(events: number): void;
  /** Before the descriptor is closed. Nothing is told afterwards, not even what was already on its way. */
  end(): void;
}

/**
 * Tells when a descriptor (terminal, GPIO value, pipe) may be read or written: one epoll descriptor for the whole
 * process, and one Worker that blocks in epoll_wait. A process whose watches have all ended may end by itself.
 * `ready` gets the events.
 */
export function watchReadiness(file: number, ready: (events: number) => void): Watch {
  hub ??= new Hub();
  return hub.watch(file, ready);
}

let hub: Hub | undefined;

class Hub {
  readonly #descriptor = epoll.create();
  readonly #watches = new Map<number, (events: number) => void>();
  readonly #worker: Worker;
  #lastId = 0;

  constructor() {
    this.#worker = new Worker(new URL(program("./epoll-worker.ts", import.meta.url), import.meta.url), {
      workerData: this.#descriptor,
    });
    this.#worker.unref();
    // Without it every line and button is dead, and nothing would say so.
    this.#worker.on("exit", () => {
      throw new CodedError("epoll", "The thread that waits for descriptors has ended");
    });
    this.#worker.on("message", (report: EpollReport) => {
      for (const [events, id] of report) this.#watches.get(id)?.(events);
    });
  }

  watch(file: number, ready: (events: number) => void): Watch {
    // A number of its own, never the descriptor's: those are used again, and a late report must not find the next owner.
    const id = ++this.#lastId;
    const control = (action: number, events: number): void => {
      const errno = epoll.control(this.#descriptor, action, file, events, id);
      if (errno !== 0)
        throw new CodedError(
          "epoll",
          `Cannot watch descriptor ${file} for 0x${events.toString(16)}: ${errnoText(errno)}`,
        );
    };
    this.#watches.set(id, ready);
    if (this.#watches.size === 1) this.#worker.ref();
    let [isAdded, isOver] = [false, false];
    return {
      arm: (events) => {
        if (isOver) return;
        // Added only now: HUP cannot be masked, and would be told before anybody asked.
        control(isAdded ? EPOLL_CTL.MOD : EPOLL_CTL.ADD, events | EPOLL.ONESHOT);
        isAdded = true;
      },
      end: () => {
        if (isOver) return;
        isOver = true;
        this.#watches.delete(id);
        if (this.#watches.size === 0) this.#worker.unref();
        if (isAdded) control(EPOLL_CTL.DEL, 0);
      },
    };
  }
}
