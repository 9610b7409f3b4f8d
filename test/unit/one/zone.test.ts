import { test } from "uvu";
import * as assert from "uvu/assert";
import { joinTokenSchema, storeToken } from "../../../src/cluster/join-token.ts";
import { SoloFrontEnd } from "../../support/solo-front-end.ts";

const removed: number[] = [];
const reset: number[] = [];
let box: SoloFrontEnd;
test.before(async () => {
  box = await SoloFrontEnd.start({
    schema: joinTokenSchema,
    membership: {
      cannotAdd: (endpoint, isFirst) =>
        isFirst && !endpoint.includes("10.0.0.1:") ? `The first server is this box, and ${endpoint} is not` : undefined,
      reset: async (id) => (id === 0 ? "Server 0 leads" : void reset.push(id)),
      remove: async (id) => {
        if (id === 1) return "server 1 holds the last copy";
        removed.push(id);
        return undefined;
      },
    },
  });
});
test.after(() => box.stop());

const add = (name: string, endpoint: string) =>
  box.call("one.zone.addserver", 0, `SERVER=[NAME="${name}",ENDPOINT="${endpoint}"]`);
const servers = async (): Promise<string> =>
  (await box.state.read("SELECT id,name FROM server ORDER BY id")).map((row) => row.join("=")).join(" ");

test("the first server is the box itself; the next get the highest id and one", async () => {
  const wrong = await add("server-0", "http://10.0.0.2:2633/RPC2");
  assert.equal(
    [wrong.code, wrong.text],
    [2048, "[one.zone.addserver] The first server is this box, and http://10.0.0.2:2633/RPC2 is not"],
  );
  assert.is(await servers(), "");
  for (const n of [1, 2, 3]) assert.is((await add(`server-${n - 1}`, `http://10.0.0.${n}:2633/RPC2`)).text, "0");
  assert.is(await servers(), "0=server-0 1=server-1 2=server-2");
});

test("a server needs a name, an endpoint that is one, and both for itself", async () => {
  assert.match(
    (await box.call("one.zone.addserver", 0, "SERVER=[ENDPOINT=http://x:1/]")).text,
    "Missing NAME in SERVER",
  );
  assert.match((await add("x", "ftp://x")).text, "is not an http address");
  assert.match((await add("server-1", "http://10.0.0.9:2633/RPC2")).text, "already taken by SERVER 1.");
  assert.match((await add("new", "http://10.0.0.2:2633/RPC2")).text, "already taken by SERVER 1.");
  assert.match((await box.call("one.zone.addserver", 0, "SERVER=[")).text, "Parse error");
});

test("a join token is for a server that has its row", async () => {
  assert.is(await box.value("ringfence.zone.jointoken", 2), "rf1.token-of-2");
  assert.match((await box.call("ringfence.zone.jointoken", 7)).text, "SERVER not found in zone");
});

test("a server leaves the group of consensus before its row goes, and stays when it cannot leave", async () => {
  const kept = await box.call("one.zone.delserver", 0, 1);
  assert.equal([kept.code, kept.text], [2048, "[one.zone.delserver] server 1 holds the last copy"]);
  assert.is(await servers(), "0=server-0 1=server-1 2=server-2");
  for (const id of [1, 2]) await box.apply(...storeToken(id, `secret ${id}`, 0).statements);
  assert.is((await box.call("one.zone.delserver", 0, 2)).text, "0");
  assert.equal(removed, [2]);
  assert.is(await servers(), "0=server-0 1=server-1");
  const tokens = await box.state.read("SELECT server_id FROM join_token");
  assert.equal(tokens, [[1]], "no token outlives its server: the next one may get the same id");
  assert.match((await box.call("one.zone.delserver", 9, 0)).text, "Error getting zone [9].");
});

test("a server is reset when it can be, and else the caller hears why not", async () => {
  assert.is((await box.call("one.zone.resetserver", 0, 1)).text, "0");
  assert.equal(reset, [1]);
  const answer = await box.call("one.zone.resetserver", 0, 0);
  assert.equal([answer.code, answer.text], [2048, "[one.zone.resetserver] Server 0 leads"]);
  assert.match((await box.call("one.zone.resetserver", 9, 1)).text, "Error getting zone [9].");
});

test("raftstatus tells this box's own numbers", async () => {
  box.setRole({ kind: "leader", ready: true, leaderKnown: true });
  assert.match(
    await box.value("one.zone.raftstatus"),
    /^<RAFT><SERVER_ID>0<\/SERVER_ID><STATE>3<\/STATE><TERM>44<\/TERM><VOTEDFOR>0<\/VOTEDFOR><COMMIT>\d+<\/COMMIT>/,
  );
  box.setRole({ kind: "solo", ready: true, leaderKnown: true });
});

test("zone 0 is the only one", async () => {
  assert.is((await box.call("one.zone.info", 3)).text, "[one.zone.info] Error getting zone [3].");
  assert.match(await box.value("one.zonepool.info"), /^<ZONE_POOL><ZONE><ID>0<\/ID>/);
});

test.run();
