import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { decodePacket, type Packet } from "./codec/packet.ts";
import type { Deadline } from "./deadline.ts";
import { IpmiError } from "./errors.ts";

export interface LinkOptions {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string | undefined;
  /** Both inclusive. Without it the kernel chooses. */
  readonly localPorts: { readonly first: number; readonly last: number } | undefined;
}

/** A connected UDP socket: the kernel drops what comes from elsewhere and reports that nothing listens there. */
export interface UdpLink {
  readonly localPort: number;
  /** Hands one datagram to the kernel; `onError` is told when the kernel refuses it. Throws `closed` after `close`. */
  send(datagram: Buffer): void;
  /** Listens until the returned function is called. Datagrams that are not IPMI are left out. */
  listen(onPacket: (packet: Packet) => void, onError: (error: IpmiError) => void): () => void;
  /** Closes after what was sent has reached the kernel. Whoever still listens is told `closed`. */
  close(): void;
}

/** Binds, within `localPorts` but not to a port in `avoid`, and connects. */
export async function openLink(options: LinkOptions, deadline: Deadline, avoid: ReadonlySet<number>): Promise<UdpLink> {
  for (const port of candidatePorts(options.localPorts, avoid)) {
    const socket = await bind(options, port, deadline);
    if (!socket) continue;
    await connect(socket, options, deadline);
    return linkOf(socket, options);
  }
  const { first, last } = options.localPorts ?? { first: 0, last: 0 };
  throw new IpmiError("no-local-port", `Cannot bind a UDP socket: all ports from ${first} to ${last} are taken`);
}

/** Every usable port of the range, from a random one on: two sessions started together rarely collide. */
function candidatePorts(range: LinkOptions["localPorts"], avoid: ReadonlySet<number>): number[] {
  if (!range) return [0];
  const count = range.last - range.first + 1;
  const start = Math.floor(Math.random() * count);
  const ports = Array.from({ length: count }, (_, index) => range.first + ((start + index) % count));
  const fresh = ports.filter((port) => !avoid.has(port));
  return fresh.length > 0 ? fresh : ports;
}

/** Undefined when the port is taken. */
async function bind(options: LinkOptions, port: number, deadline: Deadline): Promise<Socket | undefined> {
  const socket = createSocket(isIPv6(options.address) ? "udp6" : "udp4");
  try {
    const isBound = await deadline.wait<boolean>(Number.POSITIVE_INFINITY, (resolve, reject) => {
      socket.once("error", (error: NodeJS.ErrnoException) =>
        error.code === "EADDRINUSE" ? resolve(false) : reject(networkError("bind a UDP socket", options, error)),
      );
      socket.bind({ port, exclusive: true, ...(options.localAddress ? { address: options.localAddress } : {}) }, () =>
        resolve(true),
      );
      return () => socket.removeAllListeners("error");
    });
    if (isBound) return socket;
    socket.close();
    if (isBound === false) return undefined;
    throw new IpmiError("no-answer", `Cannot bind a UDP socket within ${deadline.limitMs} ms`);
  } catch (error) {
    closeQuietly(socket);
    throw error;
  }
}

async function connect(socket: Socket, options: LinkOptions, deadline: Deadline): Promise<void> {
  try {
    const isConnected = await deadline.wait<boolean>(Number.POSITIVE_INFINITY, (resolve, reject) => {
      socket.once("error", (error) => reject(networkError("reach", options, error)));
      socket.connect(options.port, options.address, () => resolve(true));
      return () => socket.removeAllListeners("error");
    });
    if (!isConnected)
      throw new IpmiError("no-answer", `Cannot look up ${options.address} within ${deadline.limitMs} ms`);
  } catch (error) {
    closeQuietly(socket);
    throw error;
  }
}

function linkOf(socket: Socket, options: LinkOptions): UdpLink {
  const packetListeners = new Set<(packet: Packet) => void>();
  const errorListeners = new Set<(error: IpmiError) => void>();
  let sendsInFlight = 0;
  let isClosed = false;
  const closeWhenSent = () => {
    if (isClosed && sendsInFlight === 0) closeQuietly(socket);
  };
  const report = (error: Error) => {
    const translated = networkError("reach", options, error);
    for (const listener of [...errorListeners]) listener(translated);
  };
  socket.on("error", report);
  socket.on("message", (datagram) => {
    const packet = decodePacket(datagram);
    if (packet) for (const listener of [...packetListeners]) listener(packet);
  });
  return {
    localPort: socket.address().port,
    send(datagram) {
      if (isClosed) throw closedError(options);
      sendsInFlight++;
      socket.send(datagram, (error) => {
        sendsInFlight--;
        if (error) report(error);
        closeWhenSent();
      });
    },
    listen(onPacket, onError) {
      packetListeners.add(onPacket);
      errorListeners.add(onError);
      return () => {
        packetListeners.delete(onPacket);
        errorListeners.delete(onError);
      };
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      for (const listener of [...errorListeners]) listener(closedError(options));
      closeWhenSent();
    },
  };
}

function closedError(options: LinkOptions): IpmiError {
  return new IpmiError("closed", `Cannot go on with ${options.address}: the session was closed`);
}

function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // Closed already: Node throws for that and there is nothing to do about it.
  }
}

function networkError(action: string, options: LinkOptions, error: NodeJS.ErrnoException): IpmiError {
  const place = `${options.address} port ${options.port}`;
  const cause = { cause: error };
  switch (error.code) {
    case "ECONNREFUSED":
      return new IpmiError("no-bmc", `Cannot ${action} ${place}: nothing listens there`, cause);
    case "EPERM":
    case "EACCES":
      return new IpmiError("refused-by-kernel", `Cannot send to ${place}: the local packet filter refused it`, cause);
    default:
      return new IpmiError("unreachable", `Cannot ${action} (${place}): ${error.code ?? error.message}`, cause);
  }
}
