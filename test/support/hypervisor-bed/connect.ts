import { createPrng } from "../../../src/base/prng.ts";
import { HostConnection } from "../../../src/hypervisor/connection.ts";
import { createHandshakeGate } from "../../../src/hypervisor/handshake-gate.ts";
import type { HostKeys, HostSignal } from "../../../src/hypervisor/ports.ts";
import { type Bed, until } from "./bed.ts";

export interface TestConnection {
  readonly connection: HostConnection;
  readonly signals: HostSignal[];
  /** Waits until the connection is in this state. */
  reaches(kind: HostConnection["state"]["kind"], limitMs?: number): Promise<void>;
  /** Waits until libvirtd's first list came. */
  lists(): Promise<void>;
}

export interface ConnectOptions {
  readonly hostId?: number;
  readonly boxId?: string;
  readonly keys?: HostKeys;
  readonly privateKey?: string;
  readonly address?: string;
  readonly port?: number;
  readonly onSignal?: (signal: HostSignal) => void;
}

const open = new Set<HostConnection>();

/** For the end of a file: a connection that a failed test left open would keep the process alive. */
export async function stopAll(): Promise<void> {
  await Promise.all([...open].map((connection) => connection.stop()));
}

/** A started connection to the bed, as a box makes it. */
export function connectTo(bed: Bed, options: ConnectOptions = {}): TestConnection {
  const signals: HostSignal[] = [];
  const { hostId = 1, boxId = "box-1" } = options;
  const connection = new HostConnection(
    {
      host: {
        hostId,
        name: `node-${hostId}`,
        address: options.address ?? bed.address,
        port: options.port ?? bed.port,
        user: "root",
      },
      boxId,
      privateKey: options.privateKey ?? bed.privateKey,
      localAddress: bed.localAddress,
      datastores: bed.datastores,
    },
    {
      now: () => performance.now(),
      prng: createPrng(hostId),
      keys: options.keys ?? { pin: async (_host, offered) => offered },
      handshakes: createHandshakeGate(),
      onSignal: (signal) => {
        signals.push(signal);
        options.onSignal?.(signal);
      },
    },
  );
  open.add(connection);
  connection.start();
  return {
    connection,
    signals,
    reaches: (kind, limitMs = 5000) =>
      until(
        () => connection.state.kind === kind,
        limitMs,
        `the connection is ${kind}, it is ${JSON.stringify(connection.state)}`,
      ),
    lists: () =>
      until(
        () => signals.some((signal) => signal.kind === "line" && signal.line.kind === "domains-end"),
        15_000,
        "a domain list",
      ),
  };
}
