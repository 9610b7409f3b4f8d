import { test } from "uvu";
import * as assert from "uvu/assert";
import { OWN_SESSION, SoloFrontEnd } from "../../support/solo-front-end.ts";

let box: SoloFrontEnd;
test.before.each(async () => {
  box = await SoloFrontEnd.start();
});
test.after.each(() => box.stop());

const REFUSED = "[one.zone.info] User couldn't be authenticated, aborting call.";
const login = async (session: string): Promise<boolean> => {
  const answer = await box.callAs(session, "one.zone.info", 0);
  if (!answer.ok) assert.equal([answer.code, answer.text, answer.objectId], [256, REFUSED, -1]);
  return answer.ok;
};

test("a session is a name, the first colon and a secret; anything else is refused the same way", async () => {
  assert.ok(await login("oneadmin:secret"));
  await box.value("one.user.allocate", "colon", "a:b", "core");
  assert.ok(await login("colon:a:b"));
  for (const bad of [
    "oneadmin:Secret",
    "oneadmin:",
    "oneadmin",
    ":secret",
    "",
    "nobody:secret",
    `oneadmin:${"x".repeat(2000)}`,
  ]) {
    assert.not.ok(await login(bad), bad);
  }
  assert.not.ok(await login("serveradmin:secret"));
});

test("the stored hash is no password", async () => {
  const [row] = await box.state.read("SELECT password FROM user WHERE id=0");
  assert.not.ok(await login(`oneadmin:${String(row?.[0])}`));
});

test("a changed password counts at once, for a session that was good before too", async () => {
  assert.ok(await login("oneadmin:secret"));
  assert.is(await box.value("one.user.passwd", 0, "fresh"), "0");
  assert.not.ok(await login("oneadmin:secret"));
  assert.ok(await login("oneadmin:fresh"));
  const faulty = await box.callAs("oneadmin:fresh", "one.user.passwd", 0, "");
  assert.is(faulty.code, 2048);
});

test("the box's own session is oneadmin's whatever its password is, and nobody else's", async () => {
  assert.is(await box.value("one.user.passwd", 0, "fresh"), "0");
  assert.ok(await login(OWN_SESSION));
  assert.ok((await box.callAs("oneadmin:fresh", "one.user.allocate", "eve", "pass", "core")).ok);
  assert.not.ok(await login(OWN_SESSION.replace("oneadmin", "eve")));
});

test("a login token is good until it ends or is revoked, and only its hash is kept", async () => {
  const token = await box.value("one.user.login", "oneadmin", "", 60, -1);
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.ok(await login(`oneadmin:${token}`));
  const [kept] = await box.state.read("SELECT token FROM login_token");
  assert.is.not(kept?.[0], token);
  box.wallOffsetMs = 61_000;
  assert.not.ok(await login(`oneadmin:${token}`));
  box.wallOffsetMs = 0;
  assert.ok(await login(`oneadmin:${token}`));
  await box.value("one.user.login", "oneadmin", token, 0, -1);
  assert.not.ok(await login(`oneadmin:${token}`));
  assert.is(await box.value("one.user.login", "oneadmin", "my-own-token", -1, -1), "my-own-token");
  box.wallOffsetMs = 1e12;
  assert.ok(await login("oneadmin:my-own-token"));
});

test("a user keeps at most 16 tokens: the one that ends first gives way", async () => {
  for (let n = 0; n < 17; n++) await box.value("one.user.login", "oneadmin", `token-number-${n}`, 1000 + n, -1);
  assert.not.ok(await login("oneadmin:token-number-0"));
  assert.ok(await login("oneadmin:token-number-1"));
  assert.ok(await login("oneadmin:token-number-16"));
});

test("a user of group users may what OpenNebula's default rules let it, and is told what it may not", async () => {
  assert.is(await box.value("one.user.allocate", "alice", "alicepw", "core"), "2");
  const alice = (method: string, ...args: readonly (string | number | boolean)[]) =>
    box.callAs("alice:alicepw", method, ...args);
  const denied = await alice("one.host.allocate", "h9", "kvm", "kvm", -1);
  assert.equal(
    [denied.code, denied.text],
    [
      512,
      "[one.host.allocate] User [2] : Not authorized to perform CREATE HOST; Not authorized to perform ADMIN CLUSTER [0].",
    ],
  );
  assert.is((await alice("one.user.allocate", "eve", "x", "core")).code, 512);
  assert.is((await alice("one.user.passwd", 0, "mine")).code, 512);
  assert.is((await alice("one.user.login", "oneadmin", "", 60, -1)).code, 512);
  assert.is((await alice("one.zone.enable", 0, false)).code, 512);
  assert.is((await alice("one.zone.addserver", 0, "SERVER=[NAME=x,ENDPOINT=http://x:1/]")).code, 512);
  assert.is((await alice("ringfence.zone.jointoken", 0)).code, 512);
  assert.is((await alice("one.user.delete", 0)).code, 512);
  assert.ok((await alice("one.user.passwd", -1, "changed")).ok);
  const own = await box.callAs("alice:changed", "one.user.info", -1);
  assert.match(own.text, "<NAME>alice</NAME>");
  assert.is((await box.callAs("alice:changed", "one.user.info", 0)).code, 512);
  assert.ok((await box.callAs("alice:changed", "one.zone.info", 0)).ok);
});

test("an object is its owner's: others neither see nor change it until its permissions let them", async () => {
  for (const name of ["ann", "bob"]) await box.value("one.user.allocate", name, `${name}pw`, "core");
  assert.is((await box.callAs("ann:annpw", "one.template.allocate", "NAME=hers\nCPU=1")).text, "0");
  assert.is(await box.value("one.template.allocate", "NAME=admins"), "1");
  const bob = (method: string, ...args: readonly (string | number)[]) => box.callAs("bob:bobpw", method, ...args);
  const denied = await bob("one.template.info", 0);
  assert.equal(
    [denied.code, denied.text],
    [512, "[one.template.info] User [3] : Not authorized to perform USE TEMPLATE [0]."],
  );
  assert.is((await bob("one.template.update", 0, "CPU=9", 0)).code, 512);
  assert.is((await bob("one.template.instantiate", 0)).code, 512);
  assert.is((await bob("one.templatepool.info", -2, -1, -1)).text, "<VMTEMPLATE_POOL></VMTEMPLATE_POOL>");
  const ids = async (session: string, ...args: readonly number[]): Promise<string> =>
    [...(await box.callAs(session, "one.templatepool.info", ...args)).text.matchAll(/<VMTEMPLATE><ID>(\d+)/g)]
      .map((m) => m[1])
      .join(" ");
  assert.is(await ids("ann:annpw", -2, -1, -1), "0");
  assert.is(await ids("oneadmin:secret", -2, -1, -1), "1 0");
  assert.is(await ids("oneadmin:secret", 2, -1, -1), "0");
  await box.apply({ sql: "UPDATE template SET permissions=permissions|32,version=version+1 WHERE id=0", values: [] });
  assert.ok((await bob("one.template.info", 0)).ok);
  assert.is(await ids("bob:bobpw", -1, -1, -1), "0");
  assert.is(await ids("bob:bobpw", -3, -1, -1), "");
});

test("a deleted user is gone with its tokens; oneadmin and serveradmin stay", async () => {
  await box.value("one.user.allocate", "tmp", "tmppw", "core", [1]);
  await box.value("one.user.login", "tmp", "tmp-token-1", -1, -1);
  assert.ok(await login("tmp:tmp-token-1"));
  await box.value("one.user.delete", 2);
  assert.not.ok(await login("tmp:tmp-token-1"));
  assert.not.ok(await login("tmp:tmppw"));
  assert.match((await box.call("one.user.delete", 0)).text, "oneadmin cannot be deleted.");
  assert.match((await box.call("one.user.allocate", "oneadmin", "x", "core")).text, "NAME is already taken by USER 0.");
  assert.match((await box.call("one.user.allocate", "a:b", "x", "core")).text, "Invalid NAME");
});

test.run();
