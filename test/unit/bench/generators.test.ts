import { test } from "uvu";
import * as assert from "uvu/assert";
import { HttpConnection } from "../../bench/http-connection.ts";
import type { KeepWritingJob, Outcome } from "../../bench/keep-writing-main.ts";
import type { LoadJob, LoadResult } from "../../bench/load-main.ts";

const BENCH = `${import.meta.dirname}/../../bench`;
const YES = "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>";

/** A front-end that says yes to everything, after what `before` waits for. */
function serve(before: (body: string) => Promise<unknown>): { readonly url: string; stop(): Promise<void> } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      await before(await request.text());
      return new Response(YES);
    },
  });
  return { url: `http://127.0.0.1:${server.port}/RPC2`, stop: () => server.stop(true) };
}

async function runLoad(job: LoadJob): Promise<LoadResult> {
  const child = Bun.spawn([process.execPath, `${BENCH}/load-main.ts`], { stdin: new Blob([JSON.stringify(job)]) });
  return JSON.parse(await child.stdout.text()) as LoadResult;
}

const LOAD = { kind: "template", session: "a:b", objects: [1, 2], valueBytes: 300, firstSequence: 1 } as const;

test("a stall counts for every write that was due while it lasted", async () => {
  let served = 0;
  const server = serve(async () => {
    served++;
    if (served === 40) await Bun.sleep(400);
  });
  try {
    const job = { ...LOAD, url: server.url, clients: 1, seconds: 1, ratePerSecond: 100 };
    const { latenciesMs } = await runLoad(job);
    const late = latenciesMs.filter((each) => each > 100).length;
    // 40 were due in 400 ms; without its schedule the one client would have seen one late answer.
    assert.ok(late >= 20, `${late} of ${latenciesMs.length} late`);
    assert.ok(latenciesMs.length >= 80 && latenciesMs.length <= 101, `${latenciesMs.length} writes`);
  } finally {
    await server.stop();
  }
});

test("without a rate each client has one write on the way, and no more", async () => {
  let [open, most] = [0, 0];
  const server = serve(async () => {
    most = Math.max(most, ++open);
    await Bun.sleep(5);
    open--;
  });
  try {
    const { latenciesMs, acknowledged } = await runLoad({ ...LOAD, url: server.url, clients: 2, seconds: 0.5 });
    assert.is(most, 2);
    assert.is(acknowledged.length, 2);
    assert.ok(latenciesMs.length > 20 && latenciesMs.every((each) => each >= 4));
  } finally {
    await server.stop();
  }
});

test("writes that nobody answers do not hold up the next client's, and fail after their limit", async () => {
  const server = serve((body) => (body.includes("<i4>7</i4>") ? new Promise(() => undefined) : Promise.resolve()));
  const job: KeepWritingJob = {
    ...{ kind: "template", session: "a:b", valueBytes: 300, firstSequence: 1, everyMs: 10, limitMs: 100 },
    clients: [7, 8, 9].map((object) => ({ url: server.url, object })),
  };
  const child = Bun.spawn([process.execPath, `${BENCH}/keep-writing-main.ts`], { stdin: "pipe" });
  try {
    child.stdin.write(`${JSON.stringify(job)}\n`);
    child.stdin.flush();
    const outcomes: Outcome[] = [];
    let text = "";
    for await (const chunk of child.stdout) {
      text += new TextDecoder().decode(chunk);
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) outcomes.push(...(JSON.parse(line) as Outcome[]));
      if (outcomes.filter(({ why }) => why !== undefined).length >= 2) await child.stdin.end();
    }
    const failed = outcomes.filter(({ why }) => why !== undefined);
    assert.ok(failed.every(({ client, why }) => client === 0 && why === "no answer in 100 ms"));
    assert.ok(failed.every(({ sentAtMs, endedAtMs }) => endedAtMs - sentAtMs >= 99));
    const others = outcomes.filter(({ client, why }) => client !== 0 && why === undefined);
    assert.ok(others.length > 8, `${others.length} writes of the others`);
  } finally {
    child.kill();
    await server.stop();
  }
});

test("a request on a connection that has ended fails at once", async () => {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Le") },
  });
  const connection = await HttpConnection.open(new URL(`http://127.0.0.1:${listener.port}/`));
  const failure = async (): Promise<string> => connection.post("x", "text/plain").catch((error) => String(error));
  assert.match(await failure(), "the peer closed the connection");
  assert.match(await failure(), "the peer closed the connection");
  listener.stop(true);
});

test("an answer in pieces is one answer", async () => {
  const pieces = ["HTTP/1.1 200 OK\r\nCont", "ent-Length: 5\r\n\r", "\nhe", "llo"];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: async (socket) => {
        for (const piece of pieces) {
          socket.write(piece);
          socket.flush();
          await Bun.sleep(10);
        }
      },
    },
  });
  const connection = await HttpConnection.open(new URL(`http://127.0.0.1:${listener.port}/`));
  assert.is(await connection.post("x", "text/plain"), "hello");
  assert.is(await connection.post("y", "text/plain"), "hello");
  connection.close();
  listener.stop(true);
});

test.run();
