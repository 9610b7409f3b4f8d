import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { Client, ClientChannel } from "ssh2";
import { CodedError } from "../base/error.ts";
import type { Handshakes, HostAddress, HostKeys } from "./ports.ts";

/** A host in the rack answers in below a millisecond; 2 s covers one lost SYN (RFC 6298: 1 s). */
export const CONNECT_TIMEOUT_MS = 2000;
/** sshd greets at once. A frozen host accepts the connection and never greets: it must not hold a handshake place. */
export const GREETING_TIMEOUT_MS = 2000;
/** Silence of the host within a handshake: 30 ms on an idle one; one that boots a hundred guests may need a hundred times that. */
export const HANDSHAKE_TIMEOUT_MS = 5000;
/** All of a handshake, however slowly it goes on: a host that dribbles must not hold a handshake place either. */
const HANDSHAKE_MS_MAX = 60_000;
/** An open channel is one round trip and a fork. */
const CHANNEL_TIMEOUT_MS = 5000;
/** How often a handshake is looked at. */
const LOOK_MS = 100;

export interface SessionOptions {
  readonly host: HostAddress;
  /** Private ed25519 key, OpenSSH or PEM text. */
  readonly privateKey: string;
  /** This box's own address to connect from. */
  readonly localAddress?: string;
}

/** One SSH connection after its handshake. */
export interface SshSession {
  /** A channel that runs `command`; its standard input is still empty. */
  exec(command: string): Promise<ClientChannel>;
  /** Resolves with the reason when the connection is over, by whichever side. Never rejects. */
  readonly ended: Promise<string>;
  /** Ends at once, without a word to the host. */
  destroy(): void;
}

/** `SHA256:…` of a host key, as `ssh-keygen -l` and OpenSSH's messages print it. */
export function hostKeyFingerprint(key: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/**
 * Connects and logs in. Codes of its errors: `host.refused` (answered no), `host.silent` (no answer in time),
 * `host.channel` (logged in, but no command may be run), `host.key-mismatch`, `host.key-unknown` (the pinned key cannot be known now).
 */
export async function openSession(
  options: SessionOptions,
  ports: { readonly keys: HostKeys; readonly handshakes: Handshakes },
  abort: AbortSignal,
): Promise<SshSession> {
  const socket = await openSocket(options, abort);
  try {
    await greeting(options.host, socket, abort);
    // A third of main: a box without hosts starts without it.
    const { Client } = await import("ssh2");
    const leave = await ports.handshakes.enter();
    try {
      abort.throwIfAborted();
      return await handshake(new Client(), options, socket, ports.keys, abort);
    } finally {
      leave();
    }
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function where(host: HostAddress): string {
  return `host "${host.name}" at ${host.address}:${host.port}`;
}

function openSocket(options: SessionOptions, abort: AbortSignal): Promise<Socket> {
  const { host, localAddress } = options;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: host.address,
      port: host.port,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    // Without it Nagle's algorithm and the host's delayed ACK add 40 ms to a handshake and to a command.
    socket.setNoDelay(true);
    socket.pause();
    const end = (error?: Error): void => {
      clearTimeout(timer);
      abort.removeEventListener("abort", onAbort);
      socket.removeAllListeners("connect");
      if (error === undefined) {
        resolve(socket);
        return;
      }
      socket.destroy();
      reject(error);
    };
    const silent = (why: string, cause?: unknown): CodedError =>
      new CodedError("host.silent", `Cannot connect to ${where(host)}: ${why}`, cause);
    const onAbort = (): void => end(silent("stopped"));
    const timer = setTimeout(() => end(silent(`no answer in ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
    abort.addEventListener("abort", onAbort);
    socket.once("connect", () => end());
    // Stays for the socket's life: a late error of a socket that nobody waits for must not end the process.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") {
        end(new CodedError("host.refused", `Cannot connect to ${where(host)}: connection refused`));
      } else if (error.syscall === "getaddrinfo") {
        end(
          silent(
            `its name cannot be resolved (${error.code}): set the host's SSH_ADDRESS, or the DNS servers of this box`,
          ),
        );
      } else {
        end(silent(error.code ?? error.message));
      }
    });
  });
}

/** Waits until the host has said something, without taking it: sshd speaks first. */
function greeting(host: HostAddress, socket: Socket, abort: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (why?: string): void => {
      clearTimeout(timer);
      abort.removeEventListener("abort", onAbort);
      socket.removeListener("readable", onReadable);
      socket.removeListener("close", onClose);
      if (why === undefined) resolve();
      else reject(new CodedError("host.silent", `Cannot talk to ${where(host)}: ${why}`));
    };
    const onAbort = (): void => end("stopped");
    const onReadable = (): void => end();
    const onClose = (): void => end("closed the connection without a greeting");
    const timer = setTimeout(
      () => end(`connected, but no greeting in ${GREETING_TIMEOUT_MS} ms: frozen, or not an SSH port`),
      GREETING_TIMEOUT_MS,
    );
    abort.addEventListener("abort", onAbort);
    socket.once("readable", onReadable);
    socket.once("close", onClose);
  });
}

function handshake(
  client: Client,
  options: SessionOptions,
  socket: Socket,
  keys: HostKeys,
  abort: AbortSignal,
): Promise<SshSession> {
  const { host, privateKey } = options;
  let keyError: CodedError | undefined;
  // Pinning may take a write of the whole cluster: the host is not silent then, it waits for us.
  let isPinning = false;
  const verify = async (key: Buffer): Promise<boolean> => {
    isPinning = true;
    const offered = hostKeyFingerprint(key);
    try {
      const pinned = await keys.pin(host.hostId, offered);
      if (pinned === offered) return true;
      keyError = new CodedError(
        "host.key-mismatch",
        `Refused ${where(host)}: its host key is ${offered}, pinned is ${pinned}. If the host was installed anew: ringfence host trust ${host.name}`,
      );
    } catch (error) {
      keyError = new CodedError("host.key-unknown", `Cannot check the host key of ${where(host)}`, error);
    } finally {
      isPinning = false;
    }
    return false;
  };
  return new Promise((resolve, reject) => {
    let finish: (reason: string) => void = () => undefined;
    const ended = new Promise<string>((done) => {
      finish = done;
    });
    const destroy = (): void => {
      client.destroy();
      socket.destroy();
      finish("stopped");
    };
    const settled = (): void => {
      clearInterval(watch);
      abort.removeEventListener("abort", onAbort);
    };
    const fail = (error: CodedError): void => {
      settled();
      destroy();
      reject(keyError ?? error);
    };
    const silent = (why: string): void => fail(new CodedError("host.silent", `Cannot talk to ${where(host)}: ${why}`));
    const onAbort = (): void => silent("stopped");
    abort.addEventListener("abort", onAbort);
    let heardBytes = socket.bytesRead;
    let quietMs = 0;
    let leftMs = HANDSHAKE_MS_MAX;
    // Counted in looks, not by the clock: a time in which this box was too busy to look is not the host's silence.
    const watch = setInterval(() => {
      quietMs = isPinning || socket.bytesRead !== heardBytes ? 0 : quietMs + LOOK_MS;
      heardBytes = socket.bytesRead;
      leftMs -= LOOK_MS;
      if (quietMs >= HANDSHAKE_TIMEOUT_MS) silent(`no word in the handshake for ${HANDSHAKE_TIMEOUT_MS} ms`);
      else if (leftMs <= 0) silent(`no handshake in ${HANDSHAKE_MS_MAX} ms`);
    }, LOOK_MS);
    client.on("ready", () => {
      settled();
      resolve({ exec: (command) => openChannel(client, host, command), ended, destroy });
    });
    // Both may come after ready, too: then reject does nothing and `ended` tells.
    client.on("error", (error: Error & { level?: string }) => {
      finish(error.message);
      fail(loginError(host, options, error));
    });
    client.on("close", () => {
      finish("the connection was closed");
      silent("closed during the handshake");
    });
    client.connect({
      sock: socket,
      username: host.user,
      privateKey,
      // The watch above knows whose silence it is.
      readyTimeout: 0,
      // The loop is the sign of life; a second one would only add load.
      keepaliveInterval: 0,
      hostVerifier: (key: Buffer, decide: (accept: boolean) => void) => {
        // verify never rejects.
        void verify(key).then(decide);
      },
    });
  });
}

function loginError(host: HostAddress, options: SessionOptions, error: Error & { level?: string }): CodedError {
  if (error.level === "client-authentication") {
    return new CodedError(
      "host.refused",
      `Cannot log in to ${where(host)} as "${options.host.user}": the key was not accepted (ringfence ssh-key prints the one to install)`,
    );
  }
  return new CodedError("host.silent", `Cannot talk to ${where(host)}`, error);
}

function openChannel(client: Client, host: HostAddress, command: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const fail = (code: "host.channel" | "host.silent", why: string): void => {
      end();
      reject(new CodedError(code, `Cannot open a channel to ${where(host)}: ${why}`));
    };
    const onClose = (): void => fail("host.silent", "the connection was closed");
    const timer = setTimeout(() => fail("host.silent", `no answer in ${CHANNEL_TIMEOUT_MS} ms`), CHANNEL_TIMEOUT_MS);
    const end = (): void => {
      isOver = true;
      clearTimeout(timer);
      client.removeListener("close", onClose);
    };
    client.once("close", onClose);
    try {
      client.exec(command, (error, channel) => {
        if (error !== undefined) {
          fail("host.channel", error.message);
        } else if (isOver) {
          channel.close();
        } else {
          end();
          resolve(channel);
        }
      });
    } catch (error) {
      // ssh2 throws "Not connected" when the connection ended a moment ago.
      fail("host.silent", error instanceof Error ? error.message : String(error));
    }
  });
}
