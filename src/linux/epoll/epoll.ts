import { EPOLL } from "../epoll-calls.ts";
import { type Watch, watchReadiness } from "../readiness.ts";

type Callback = (error: Error | null, descriptor: number, events: number) => void;

/**
 * The `epoll` package's class (github.com/fivdi/epoll), as far as `onoff` uses it: package.json's `overrides` puts this in
 * the place of the add-on, which Bun cannot load. One object may watch several descriptors. Edge-triggered watches with
 * EPOLLET are armed anew after each callback: an edge that comes meanwhile is told then.
 */
export class Epoll {
  static readonly EPOLLIN = EPOLL.IN;
  static readonly EPOLLPRI = EPOLL.PRI;
  static readonly EPOLLOUT = EPOLL.OUT;
  static readonly EPOLLERR = EPOLL.ERR;
  static readonly EPOLLHUP = EPOLL.HUP;
  static readonly EPOLLET = EPOLL.ET;
  static readonly EPOLLONESHOT = EPOLL.ONESHOT;

  readonly #callback: Callback;
  readonly #watches = new Map<number, Watch>();
  #isClosed = false;

  constructor(callback: Callback) {
    this.#callback = callback;
  }

  /** Throws when it is watched already, cannot be watched, or after close. */
  add(descriptor: number, events: number): this {
    this.#mustBeOpen();
    if (this.#watches.has(descriptor)) throw new Error(`Cannot watch descriptor ${descriptor}: it is watched already`);
    const watch = watchReadiness(descriptor, (happened) => {
      this.#callback(null, descriptor, happened);
      // The callback may have ended it.
      if (this.#watches.get(descriptor) === watch && (events & EPOLL.ONESHOT) === 0) watch.arm(events);
    });
    watch.arm(events);
    this.#watches.set(descriptor, watch);
    return this;
  }

  modify(descriptor: number, events: number): this {
    return this.remove(descriptor).add(descriptor, events);
  }

  remove(descriptor: number): this {
    this.#mustBeOpen();
    const watch = this.#watches.get(descriptor);
    if (watch === undefined) throw new Error(`Cannot stop watching descriptor ${descriptor}: it is not watched`);
    watch.end();
    this.#watches.delete(descriptor);
    return this;
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.end();
    this.#watches.clear();
    this.#isClosed = true;
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new Error("Cannot use an Epoll object that is closed");
  }
}
