import { createHash, timingSafeEqual } from "node:crypto";
import { type AclRow, isAbout } from "../one/acl.ts";
import type { Caller } from "../one/caller.ts";
import type { Row } from "../one/query.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import type { ApiPorts } from "./ports.ts";
import type { ReadGate } from "./read-gate.ts";

/** Who calls, and whether the zone takes writes. */
export interface Identity {
  readonly caller: Caller;
  readonly zoneEnabled: boolean;
  /** Wall seconds after which the login token is no longer good; −1 for never. */
  readonly expires: number;
}

/** Sessions that are remembered between changes of users, rules and zone. */
const REMEMBERED_MAX = 1024;

/** The first user. */
const ONEADMIN = 0;
/** Group of the administrators. */
const ONEADMIN_GROUP = 0;

const FAILED = "User couldn't be authenticated, aborting call.";

const USER_SQL = `SELECT user.id,user.name,user.gid,user.gname,user.password,user.auth_driver,user.enabled,
 (SELECT state FROM zone WHERE id=0) AS zone_state FROM user WHERE name=?`;

interface UserRow {
  readonly id: number;
  readonly name: string;
  readonly gid: number;
  readonly gname: string;
  readonly password: string;
  readonly auth_driver: string;
  readonly enabled: number;
  readonly zone_state: number;
}

/**
 * Checks sessions: `user:secret`, split at the first colon; the secret is the password, a login token, or of oneadmin this
 * box's own. A good session
 * is remembered by its hash until an entry changes any user, group, rule or the zone, so that a busy client costs one
 * hash a call.
 */
export class Authenticator {
  readonly #ports: ApiPorts;
  readonly #gate: ReadGate;
  readonly #ownHash: string;
  readonly #remembered = new Map<string, Identity>();
  /** Counts the changes: what was read before one is not remembered after it. */
  #generation = 0;
  readonly #stop: () => void;

  constructor(ports: ApiPorts, gate: ReadGate) {
    this.#ports = ports;
    this.#gate = gate;
    this.#ownHash = sha256(ports.ownSession);
    this.#stop = ports.onApplied((tags) => {
      if (!tags.some((tag) => /^(?:user|acl|group|zone)/.test(tag))) return;
      this.#generation++;
      this.#remembered.clear();
    });
  }

  stop(): void {
    this.#stop();
  }

  async check(session: string): Promise<Identity | Refusal> {
    const key = sha256(session);
    const known = this.#remembered.get(key);
    if (known !== undefined && !isOver(known.expires, this.#ports.wallMs())) return known;
    const generation = this.#generation;
    const identity = await this.#read(session, key);
    if (identity === undefined) return refusal(CODE.authentication, FAILED);
    if (generation === this.#generation) {
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(key, identity);
    }
    return identity;
  }

  async #read(session: string, key: string): Promise<Identity | undefined> {
    const colon = session.indexOf(":");
    if (colon < 1 || session.length > 1024) return undefined;
    const hash = sha256(session.slice(colon + 1));
    const [row] = await this.#query<UserRow>(USER_SQL, [session.slice(0, colon)]);
    if (row === undefined || row.enabled !== 1) return undefined;
    const isOwn = row.id === ONEADMIN && isSame(key, this.#ownHash);
    const expires = isOwn ? -1 : await this.#secretExpiry(row, hash);
    if (expires === undefined) return undefined;
    const { id: uid, name, gid, gname } = row;
    const isAdmin = gid === ONEADMIN_GROUP;
    const rules = isAdmin ? [] : await this.#query<AclRow>("SELECT * FROM acl ORDER BY id", []);
    const own = rules.filter((rule) => isAbout(rule, uid, gid));
    const caller: Caller = {
      uid,
      name,
      gid,
      gname,
      isAdmin,
      rules: own.map((rule) => ({ resource: BigInt(`0x${rule.resource}`), rights: Number.parseInt(rule.rights, 16) })),
    };
    return { caller, zoneEnabled: row.zone_state === 0, expires };
  }

  /** When the secret stops being good: −1 never, undefined when it is not good now. */
  async #secretExpiry(user: UserRow, hash: string): Promise<number | undefined> {
    if (user.auth_driver === "core" && isSame(user.password, hash)) return -1;
    const [token] = await this.#query<{ readonly expires: number }>(
      "SELECT expires FROM login_token WHERE uid=? AND token=?",
      [user.id, hash],
    );
    return token === undefined || isOver(token.expires, this.#ports.wallMs()) ? undefined : token.expires;
  }

  async #query<R>(sql: string, values: readonly (string | number)[]): Promise<readonly R[]> {
    const rows: readonly Row[] = await this.#gate.query(sql, values);
    return rows as readonly unknown[] as readonly R[];
  }
}

/** Lower-case hex, as passwords and tokens are kept. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function isOver(expires: number, wallMs: number): boolean {
  return expires !== -1 && wallMs >= expires * 1000;
}

/** Compares in a time that does not tell how much of it was right. */
function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
