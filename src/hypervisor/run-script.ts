import { errorChain } from "../base/error.ts";
import type { CommandResult, HostLink, RunOptions } from "./ports.ts";
import type { SshSession } from "./ssh-session.ts";

/** A domain list of 1,000 VMs has 100 KiB; more output than this is a fault and ends the command. */
const OUTPUT_SIZE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * One exec channel, one `sh`, its script on standard input. A fresh channel costs 2.5 ms and gives an exit code, a standard
 * error and a deadline of its own; a kept `virsh` would save 10 ms of the 15 and share its fate among all VMs of the host.
 */
export async function runScript(
  session: SshSession,
  compose: Parameters<HostLink["run"]>[0],
  options: RunOptions,
): Promise<CommandResult> {
  let channel: Awaited<ReturnType<SshSession["exec"]>>;
  try {
    channel = await session.exec("exec /bin/sh -s");
  } catch (error) {
    return { kind: "not-sent", why: errorChain(error) };
  }
  return new Promise((resolve) => {
    let code: number | undefined;
    let sizeBytes = 0;
    const stdout: Uint8Array[] = [];
    const stderr: Uint8Array[] = [];
    const finish = (result: CommandResult): void => {
      clearTimeout(timer);
      channel.destroy();
      resolve(result);
    };
    const take = (into: Uint8Array[]) => (bytes: Uint8Array) => {
      sizeBytes += bytes.byteLength;
      if (sizeBytes <= OUTPUT_SIZE_BYTES_MAX) into.push(bytes);
      else finish({ kind: "unknown", why: `more than ${OUTPUT_SIZE_BYTES_MAX} bytes of output` });
    };
    const timer = setTimeout(
      () => finish({ kind: "unknown", why: `no answer in ${options.deadlineMs} ms` }),
      options.deadlineMs,
    );
    channel.on("data", take(stdout));
    channel.stderr.on("data", take(stderr));
    channel.on("error", (error: Error) => finish({ kind: "unknown", why: error.message }));
    channel.on("exit", (exitCode: number | null) => {
      code = exitCode ?? undefined;
    });
    channel.on("close", () => {
      if (code === undefined) finish({ kind: "unknown", why: "the connection was lost before the command ended" });
      else finish({ kind: "done", code, stdout: text(stdout), stderr: text(stderr) });
    });
    // Whatever a channel makes of the end of its connection.
    void session.ended.then((why) => finish({ kind: "unknown", why: `the connection ended: ${why}` }));
    const composed = compose();
    if ("send" in composed) channel.end(composed.send);
    else finish({ kind: "not-sent", why: composed.refuse });
  });
}

function text(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
