import { randomInt } from "node:crypto";
import type { Exchange, SessionKeys } from "../codec/keys.ts";
import { SequenceWindow } from "../codec/sequence-window.ts";
import type { Suite } from "../codec/suites.ts";

/** A session that never got past RAKP is forgotten after this time, so that lost packets do not fill the slots. */
const HALF_OPEN_MS = 3_000;
/** An open session without requests is closed after 60 s (IPMI 2.0 §6.12.15). */
const IDLE_MS = 60_000;

/** One session as the BMC sees it, from Open Session on. */
export interface BmcSession {
  readonly bmcId: number;
  readonly consoleId: number;
  readonly suite: Suite;
  /** The highest privilege that was asked for in Open Session; 0 means the highest there is. */
  readonly askedPrivilege: number;
  readonly window: SequenceWindow;
  /** After RAKP 1. */
  exchange?: Exchange;
  userKey?: Buffer;
  /** The most that Set Session Privilege gives. */
  privilegeLimit: number;
  /** What the session may do now. Starts at User. */
  privilege: number;
  /** After RAKP 3: the session is open. */
  keys?: SessionKeys;
  sequence: number;
  /** The last request and its answer, for repetitions. No answer yet: it is being worked on. */
  last?: { readonly key: string; readonly at: number; answer?: Buffer };
  usedAt: number;
}

/** The session slots of a BMC. They are few, and they fill up. */
export class SessionTable {
  readonly slots: number;
  readonly #sessions = new Map<number, BmcSession>();

  constructor(slots: number) {
    this.slots = slots;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Undefined when all slots are taken. */
  open(consoleId: number, suite: Suite, askedPrivilege: number, now: number): BmcSession | undefined {
    this.#expire(now);
    if (this.#sessions.size >= this.slots) return;
    let bmcId: number;
    do bmcId = randomInt(1, 2 ** 32);
    while (this.#sessions.has(bmcId));
    const session: BmcSession = {
      bmcId,
      consoleId,
      suite,
      askedPrivilege,
      window: new SequenceWindow(),
      privilegeLimit: 0,
      privilege: 2,
      sequence: 0,
      usedAt: now,
    };
    this.#sessions.set(bmcId, session);
    return session;
  }

  find(bmcId: number, now: number): BmcSession | undefined {
    this.#expire(now);
    return this.#sessions.get(bmcId);
  }

  close(session: BmcSession): void {
    this.#sessions.delete(session.bmcId);
  }

  #expire(now: number): void {
    for (const session of this.#sessions.values()) {
      if (now - session.usedAt > (session.keys ? IDLE_MS : HALF_OPEN_MS)) this.close(session);
    }
  }
}
