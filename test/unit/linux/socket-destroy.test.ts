import { test } from "uvu";
import * as assert from "uvu/assert";
import { destroyConnections } from "../../../src/linux/socket-destroy.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const net = createTestNet({ a: "10.99.0.1/24", client: "10.99.0.9/24" });
net.run("a", "ip addr add 10.99.0.100/32 dev eth0");

async function reaches(what: string, isReached: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !isReached(); await Bun.sleep(5)) {
    if (performance.now() > end) throw new Error(`not reached in 5 s: ${what}`);
  }
}

test("connections of the address end at both ends at once; those of other addresses and the listener stay", async () => {
  let accepted = 0;
  let closed = 0;
  const server = net.inside("a", () =>
    Bun.listen({
      hostname: "0.0.0.0",
      port: 2633,
      socket: { open: () => void accepted++, close: () => void closed++, data() {} },
    }),
  );
  const clientClosed: string[] = [];
  const connect = (hostname: string) =>
    net.inside("client", () =>
      Bun.connect({
        hostname,
        port: 2633,
        socket: { data() {}, close: () => void clientClosed.push(hostname), error() {} },
      }),
    );
  const sockets = [await connect("10.99.0.100"), await connect("10.99.0.100"), await connect("10.99.0.1")];
  await reaches("three connections", () => accepted === 3);
  assert.is(
    net.inside("a", () => destroyConnections("10.99.0.100")),
    2,
  );
  await reaches("two ends at the server", () => closed === 2);
  await reaches("two ends at the client", () => clientClosed.length === 2);
  assert.equal(clientClosed, ["10.99.0.100", "10.99.0.100"]);
  assert.is(
    net.inside("a", () => destroyConnections("10.99.0.100")),
    0,
  );
  sockets.push(await connect("10.99.0.100"));
  await reaches("the listener still accepts", () => accepted === 4);
  for (const socket of sockets) socket.end();
  server.stop(true);
});

// Sockets of a test that failed must not keep the file running.
test.after(() => void setTimeout(() => process.exit(), 100));
test.run();
