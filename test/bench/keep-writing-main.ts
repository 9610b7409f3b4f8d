/**
 * Writes on and on in the client's namespace, whatever happens to who is written to, until standard input ends.
 * `keep-writing-main.ts`, the job as the first line of standard input; outcomes on standard output, a JSON array a line.
 */
import { monotonicMs } from "../support/rack/command.ts";
import { openWriter, type Writer, type WriterKind } from "./writer.ts";

export interface KeepWritingJob {
  readonly kind: WriterKind;
  readonly session: string;
  readonly valueBytes: number;
  readonly firstSequence: number;
  /** Each a client with a connection of its own and at most one write on the way. */
  readonly clients: readonly { readonly url: string; readonly object: number }[];
  /**
   * So often the next client that waits for nothing starts a write, whatever became of the others, and in the end nobody
   * waits for what is under way; without it each client writes one after the other, to the last outcome.
   */
  readonly everyMs?: number;
  /** A write without an answer for so long has failed; its client opens a new connection for the next one. */
  readonly limitMs: number;
}

/** One write, CLOCK_MONOTONIC ms. */
export interface Outcome {
  readonly client: number;
  readonly sequence: number;
  readonly sentAtMs: number;
  /** When it was acknowledged, or failed. */
  readonly endedAtMs: number;
  /** Why it failed; absent when it was acknowledged. */
  readonly why?: string;
}

/** Outcomes are told so often: one by one they would cost more than the writes. */
const TELL_EVERY_MS = 20;
/** A client whose write failed waits a little: a closed port answers in no time. */
const AFTER_FAILURE_MS = 5;

class Client {
  readonly #job: KeepWritingJob;
  readonly #number: number;
  readonly #tell: (outcome: Outcome) => void;
  #sequence: number;
  #writer: Writer | undefined;
  isWriting = false;

  constructor(job: KeepWritingJob, number: number, tell: (outcome: Outcome) => void) {
    this.#job = job;
    this.#number = number;
    this.#tell = tell;
    this.#sequence = job.firstSequence;
  }

  async write(): Promise<boolean> {
    const sequence = this.#sequence++;
    const sentAtMs = monotonicMs();
    this.isWriting = true;
    const why = await this.#attempt(sequence);
    this.isWriting = false;
    const outcome = { client: this.#number, sequence, sentAtMs, endedAtMs: monotonicMs() };
    this.#tell(why === undefined ? outcome : { ...outcome, why });
    return why === undefined;
  }

  async #attempt(sequence: number): Promise<string | undefined> {
    const { limitMs } = this.#job;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${limitMs} ms`)), limitMs);
    });
    try {
      await Promise.race([this.#send(sequence), limit]);
      return undefined;
    } catch (error) {
      this.close();
      return error instanceof Error ? error.message : String(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(sequence: number): Promise<void> {
    const { kind, session, valueBytes, clients } = this.#job;
    const { url, object } = clients[this.#number] ?? { url: "", object: 0 };
    const writer = this.#writer ?? (await openWriter(kind, { url, object, session, valueBytes }));
    // The connection came after the limit: the write has failed, and a later one may have its own connection.
    if (!this.isWriting || sequence !== this.#sequence - 1) {
      writer.close();
      return;
    }
    this.#writer = writer;
    await writer.write(sequence);
  }

  close(): void {
    this.#writer?.close();
    this.#writer = undefined;
  }
}

let isOver = false;

async function oneAfterTheOther(client: Client): Promise<void> {
  while (!isOver) if (!(await client.write())) await Bun.sleep(AFTER_FAILURE_MS);
}

async function every(clients: readonly Client[], everyMs: number): Promise<void> {
  let next = 0;
  for (let dueAt = monotonicMs() + everyMs; !isOver; dueAt += everyMs) {
    const client = Array.from(clients, () => clients[next++ % clients.length]).find((one) => one?.isWriting === false);
    void client?.write();
    await Bun.sleep(Math.max(0, dueAt - monotonicMs()));
  }
}

const input = console[Symbol.asyncIterator]();
const job = JSON.parse((await input.next()).value as string) as KeepWritingJob;
let outcomes: Outcome[] = [];
const tell = (): void => {
  if (outcomes.length > 0) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
  outcomes = [];
};
const clients = job.clients.map((_, number) => new Client(job, number, (outcome) => outcomes.push(outcome)));
const telling = setInterval(tell, TELL_EVERY_MS);
const writing = job.everyMs === undefined ? Promise.all(clients.map(oneAfterTheOther)) : every(clients, job.everyMs);
while (!(await input.next()).done);
isOver = true;
await writing;
clearInterval(telling);
tell();
process.exit(0);
