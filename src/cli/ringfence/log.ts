import { existsSync } from "node:fs";
import { decodeEntry } from "../../base/entry.ts";
import { decodeMembershipChange } from "../../raft/membership-codec.ts";
import { type Inspection, inspectLog, type LogReport, type SegmentReport, type Span } from "../../store/log/inspect.ts";
import { openRealDisk } from "../../store/log/real-disk.ts";
import type { LogEntry } from "../../store/log/types.ts";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { maskSecrets } from "./mask-secrets.ts";

const LOG_DIRECTORY = "/var/lib/one/log";
/** The log is not to be voted with. */
const EXIT_REFUSED = 1;
/** There is no log to look at, or the command was not understood. */
const EXIT_USAGE = 2;

/** Tells of each segment what it holds, and what a start of the box would make of the log. */
export async function verifyLog({ terminal, options, words }: Context): Promise<void> {
  const { directory, inspection } = inspect(words);
  const { report } = inspection;
  if (options.has("json")) terminal.out(`${JSON.stringify({ directory, ...withTexts(report) }, null, 2)}\n`);
  else terminal.out(`${describe(directory, report)}\n`);
  failIfRefused(report);
}

/** Prints entries; with damage those before it. */
export async function dumpLog({ terminal, options, words }: Context): Promise<void> {
  const from = indexOption("from", options.get("from"), 1);
  const count = indexOption("count", options.get("count"), Number.MAX_SAFE_INTEGER);
  const { inspection } = inspect(words);
  const { firstIndex, lastIndex, commit } = inspection.report;
  if (from < firstIndex && options.has("from"))
    terminal.err(`The log starts at entry ${firstIndex}: what is before it was purged\n`);
  let printed = 0;
  for (const entry of inspection.entries(from)) {
    if (printed++ >= count) break;
    const content = contentOf(entry);
    if (options.has("json")) {
      const { index, term } = entry;
      terminal.out(`${JSON.stringify({ index, term, committed: index <= commit, ...content })}\n`);
    } else terminal.out(entryText(entry, content, commit));
  }
  if (printed === 0 && !options.has("json")) terminal.err(`No entry from ${from} on: the last one is ${lastIndex}\n`);
  failIfRefused(inspection.report);
}

function inspect(words: readonly string[]): { readonly directory: string; readonly inspection: Inspection } {
  const directory = words[0] ?? LOG_DIRECTORY;
  if (!existsSync(directory)) throw new CommandFailure(`There is no directory ${directory}`, { exitCode: EXIT_USAGE });
  const disk = openRealDisk(directory);
  if (!disk.list().some((name) => name.startsWith("log-")))
    throw new CommandFailure(`There is no log in ${directory}: its segments are named log-000000000001 and so on`, {
      exitCode: EXIT_USAGE,
    });
  try {
    return { directory, inspection: inspectLog(disk) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`The log in ${directory} cannot be read, and a box would not start with it: ${why}`, {
      exitCode: EXIT_REFUSED,
    });
  }
}

function indexOption(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,15}$/.test(text))
    throw new CommandFailure(`invalid argument: --${name} ${text}`, { exitCode: EXIT_USAGE });
  return Number(text);
}

function failIfRefused({ verdict }: LogReport): void {
  if (verdict.kind !== "refused") return;
  throw new CommandFailure(
    `DAMAGED at segment ${verdict.at.segment} offset ${verdict.at.offset}: ${verdict.reason}. A box does not vote with this log`,
    { exitCode: EXIT_REFUSED },
  );
}

function describe(directory: string, report: LogReport): string {
  const { segments, hardState, durableTo, end, verdict } = report;
  const lines = [
    `${directory}: ${segments.length} segments${report.hasSpare ? " and a spare" : ""}, entries ${spanText({ first: report.firstIndex, last: report.lastIndex })}, commit ${report.commit}`,
    `term ${hardState?.term ?? 0}, vote ${hardState?.vote === undefined || hardState.vote === "" ? "none" : hardState.vote}, largest promise ${hardState?.promiseMs ?? 0} ms, membership of entry ${report.membership?.index ?? "none"}`,
    ...segments.map(segmentText),
    `durable to segment ${durableTo.segment} offset ${durableTo.offset}; ends at segment ${end.segment} offset ${end.offset}`,
  ];
  if (verdict.kind === "good") lines.push("good: every record is whole");
  if (verdict.kind === "cut")
    lines.push(
      `good: a start cuts ${verdict.bytes} bytes at segment ${verdict.at.segment} offset ${verdict.at.offset} that were never reported durable: ${verdict.reason}`,
    );
  return lines.join("\n");
}

function segmentText(one: SegmentReport): string {
  if (one.salt === undefined) return `  segment ${one.segment}: NO HEADER, ${one.fileBytes} bytes`;
  const entries =
    one.indexes === undefined || one.terms === undefined
      ? "no entries"
      : `entries ${spanText(one.indexes)}, terms ${spanText(one.terms)}`;
  return `  segment ${one.segment}: salt ${saltText(one.salt)}, ${one.usedBytes} of ${one.fileBytes} bytes, ${one.groups} groups, ${one.records} records, ${entries}`;
}

function spanText({ first, last }: Span): string {
  return last < first ? "none" : `${first} to ${last}`;
}

function saltText(salt: number): string {
  return salt.toString(16).padStart(8, "0");
}

/** Numbers and words only: bytes of a membership are no JSON. */
function withTexts({ membership, segments, ...report }: LogReport): object {
  return {
    ...report,
    membershipIndex: membership?.index ?? null,
    segments: segments.map((one) => ({ ...one, salt: one.salt === undefined ? null : saltText(one.salt) })),
  };
}

/** What an entry says; of bytes that no box can read, why. */
type Content =
  | { readonly kind: "no-op" }
  | { readonly kind: "membership"; readonly change: unknown }
  | {
      readonly kind: "change";
      readonly what: string;
      readonly requestId: string;
      readonly at: string;
      readonly tags: readonly string[];
      readonly guards: readonly { readonly sql: string; readonly values: readonly unknown[]; readonly why: string }[];
      readonly statements: readonly { readonly sql: string; readonly values: readonly unknown[] }[];
    }
  | { readonly kind: "unreadable"; readonly why: string };

function contentOf(entry: LogEntry): Content {
  if (entry.data.length === 0) return { kind: "no-op" };
  try {
    if (entry.kind === "membership") return { kind: "membership", change: decodeMembershipChange(entry.data) };
    const { kind, requestId, at, tags, guards, statements } = decodeEntry(entry.data);
    return {
      kind: "change",
      what: kind,
      requestId,
      at: new Date(at).toISOString(),
      tags,
      guards: guards.map(({ sql, values, why }) => ({ sql, values: values.map(maskSecrets), why })),
      statements: statements.map(({ sql, values }) => ({ sql: maskSecrets(sql), values: values.map(maskSecrets) })),
    };
  } catch (error) {
    return { kind: "unreadable", why: error instanceof Error ? error.message : String(error) };
  }
}

function entryText({ index, term }: LogEntry, content: Content, commit: number): string {
  const head = `${index} term ${term}${index <= commit ? "" : " (not known to be committed)"}`;
  switch (content.kind) {
    case "no-op":
      return `${head} no-op\n`;
    case "membership":
      return `${head} membership ${JSON.stringify(content.change)}\n`;
    case "unreadable":
      return `${head} UNREADABLE: ${content.why}\n`;
    case "change":
      return [
        `${head} ${content.what} request ${content.requestId} at ${content.at} ${content.tags.join(" ")}`.trimEnd(),
        ...content.guards.map((guard) => `  guard ${oneLine(guard.sql)} ${JSON.stringify(guard.values)}`),
        ...content.statements.map((one) => `  ${oneLine(one.sql)} ${JSON.stringify(one.values)}`),
        "",
      ].join("\n");
  }
}

function oneLine(sql: string): string {
  return sql.replace(/\s+/g, " ").trim();
}
