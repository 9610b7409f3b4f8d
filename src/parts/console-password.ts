import { createHash, timingSafeEqual } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Attempts, afterAttempt, NO_ATTEMPTS, waitBefore } from "../console/policy.ts";
import type { Verdict } from "../console/types.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/** Argon2id: 19 MiB and two passes are a fifth of a second, and fit a box of 256 MB. */
const HASHING = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;

export interface PasswordFiles {
  readonly password: string;
  /** oneadmin's, which is asked for where no console password was set. */
  readonly oneAuth: string;
  /** In memory: a full or dead disk must not make attempts free. Ends with the boot, which costs a minute each. */
  readonly attempts: string;
}

/** The console's password of this box: a hash in a file, so that it needs no quorum, no network and no other process. */
export class ConsolePassword {
  readonly #files: PasswordFiles;
  readonly #now: () => number;

  /** `now`: monotonic ms of this boot, the same in every process. */
  constructor(files: PasswordFiles, now: () => number) {
    this.#files = files;
    this.#now = now;
  }

  async verify(password: string): Promise<Verdict> {
    const isHere = existsSync(this.#files.password);
    if (!isHere && !existsSync(this.#files.oneAuth)) return { kind: "none-kept" };
    const now = this.#now();
    const attempts = this.#attempts();
    const waitMs = waitBefore(attempts, now);
    if (waitMs > 0) return { kind: "too-early", waitSeconds: Math.ceil(waitMs / 1000) };
    this.#keep(afterAttempt(attempts, now));
    const isRight = isHere ? await this.#matchesHash(password) : this.#matchesOneAuth(password);
    if (!isRight) return { kind: "wrong" };
    this.#keep(NO_ATTEMPTS);
    return { kind: "right" };
  }

  /** Throws when the disk does not take it: the old one goes on. */
  async set(password: string): Promise<void> {
    mkdirSync(dirname(this.#files.password), { recursive: true });
    writeFileDurably(this.#files.password, `${await Bun.password.hash(password, HASHING)}\n`);
  }

  async #matchesHash(password: string): Promise<boolean> {
    // A torn or foreign file matches nothing.
    return Bun.password.verify(password, readFileSync(this.#files.password, "utf8").trim()).catch(() => false);
  }

  #matchesOneAuth(password: string): boolean {
    const line = readFileSync(this.#files.oneAuth, "utf8").split("\n")[0]?.trim() ?? "";
    const kept = line.slice(line.indexOf(":") + 1);
    const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
    return kept !== "" && timingSafeEqual(digest(password), digest(kept));
  }

  #attempts(): Attempts {
    try {
      const value = JSON.parse(readFileSync(this.#files.attempts, "utf8")) as Attempts;
      return Number.isFinite(value.wrong) && Number.isFinite(value.lastAt) ? value : NO_ATTEMPTS;
    } catch {
      return NO_ATTEMPTS;
    }
  }

  #keep(attempts: Attempts): void {
    mkdirSync(dirname(this.#files.attempts), { recursive: true });
    writeFileSync(this.#files.attempts, JSON.stringify(attempts), { mode: 0o600 });
  }
}
