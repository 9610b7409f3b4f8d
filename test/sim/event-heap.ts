/** One thing that will happen. Equal times happen in the order in which they were scheduled. */
export interface Event {
  readonly at: number;
  readonly sequence: number;
  /** What kind, for the run's hash and the trace. */
  readonly label: string;
  readonly run: () => void;
}

/** A binary heap keyed by (time, sequence). */
export class EventHeap {
  readonly #items: Event[] = [];
  #sequence = 0;

  get size(): number {
    return this.#items.length;
  }

  /** When the next event happens; never, when there is none. */
  get nextAt(): number {
    return this.#items[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  push(at: number, label: string, run: () => void): void {
    const items = this.#items;
    const event: Event = { at, sequence: this.#sequence++, label, run };
    let child = items.length;
    items.push(event);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = items[parent] as Event;
      if (!isBefore(event, above)) break;
      items[child] = above;
      child = parent;
    }
    items[child] = event;
  }

  pop(): Event | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined || items.length === 0) return top;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1] as Event, items[child] as Event)) child++;
      const below = items[child] as Event;
      if (!isBefore(below, last)) break;
      items[parent] = below;
      parent = child;
    }
    items[parent] = last;
    return top;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
