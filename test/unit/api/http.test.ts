import { connect } from "node:net";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BODY_SIZE_BYTES_MAX, serveHttp } from "../../../src/api/server.ts";
import { CodedError } from "../../../src/base/error.ts";
import { createRpc } from "../../../src/cli/client/rpc.ts";
import { encodeCall, ONEADMIN, readAnswer, SoloFrontEnd } from "../../support/solo-front-end.ts";

let box: SoloFrontEnd;
test.before(async () => {
  box = await SoloFrontEnd.start();
});
test.after(() => box.stop());

/** Sends bytes on a fresh connection; what came back when the server closed it or `isEnough` said so. */
function raw(bytes: string | Uint8Array, isEnough: (text: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(box.server.port, "127.0.0.1", () => socket.write(bytes));
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      text += String(chunk);
      if (isEnough(text)) socket.destroy();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
}

const version = encodeCall("one.system.version", [ONEADMIN]);
const head = (line: string, length: number, more = ""): string =>
  `${line}\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: ${length}\r\n${more}\r\n`;
const ended = (text: string): boolean => text.includes("</methodResponse>");

test("other paths are 404, other verbs 405", async () => {
  const root = `http://127.0.0.1:${box.server.port}`;
  assert.is((await fetch(`${root}/`)).status, 404);
  assert.is((await fetch(`${root}/RPC2x`, { method: "POST", body: version })).status, 404);
  assert.is((await fetch(`${root}/x/RPC2`, { method: "POST", body: version })).status, 404);
  const get = await fetch(box.url);
  assert.is(get.status, 405);
  assert.is(get.headers.get("Allow"), "POST");
  assert.is((await fetch(box.url, { method: "PUT", body: version })).status, 405);
  const good = await fetch(`${box.url}?x=1`, { method: "POST", body: version });
  assert.is(good.status, 200);
  assert.match(good.headers.get("Content-Type") ?? "", "text/xml");
});

test("an upload's bytes arrive as they are, what is refused says why, and there is none where nobody takes it", async () => {
  const id = "0123456789abcdef".repeat(2);
  const took: { id: string; at: number; bytes: Uint8Array }[] = [];
  const server = serveHttp(box.frontEnd, {
    ...{ hostname: "127.0.0.1", port: 0 },
    upload: async (to, at, bytes) => {
      if (to !== id) throw new CodedError("update", "There is no such upload");
      took.push({ id: to, at, bytes });
      return { bytes: at + bytes.length };
    },
  });
  try {
    const root = `http://127.0.0.1:${server.port}`;
    const rpc = createRpc({ endpoint: () => `${root}/RPC2`, session: () => ONEADMIN, retryForMs: 0 });
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index & 255);
    assert.equal(JSON.parse(await rpc.upload(id, 7, bytes)), { bytes: 100_007 });
    assert.equal(took, [{ id, at: 7, bytes }]);
    const why = await rpc.upload(id.replace("0", "1"), 0, bytes).catch(String);
    assert.is(why, "CommandFailure: There is no such upload");
    const status = async (path: string, method: string, body?: Uint8Array): Promise<number> =>
      (await fetch(`${root}${path}`, { method, ...(body === undefined ? {} : { body }) })).status;
    assert.is(await status(`/upload/${id}/0`, "GET"), 405);
    assert.is(await status(`/upload/${id}/x`, "POST", bytes), 404);
    assert.is(await status(`/upload/${id.slice(1)}/0`, "POST", bytes), 404);
    assert.is(await status(`/upload/${id}/0`, "POST", new Uint8Array(BODY_SIZE_BYTES_MAX + 1)), 413);
    assert.is((await fetch(`${root}/RPC2`, { method: "POST", body: version })).status, 200);
    assert.is(took.length, 1);
  } finally {
    await server.stop(true);
  }
  const elsewhere = await fetch(`http://127.0.0.1:${box.server.port}/upload/${id}/0`, {
    method: "POST",
    body: version,
  });
  assert.is(elsewhere.status, 404);
});

test("a connection is kept: two calls on one, and two that were sent at once", async () => {
  const call = head("POST /RPC2 HTTP/1.1", version.length) + version;
  const text = await raw(call + call, (got) => got.split("</methodResponse>").length > 2);
  assert.is(text.split("HTTP/1.1 200").length, 3);
});

test("HTTP/1.0 without a Host is answered", async () => {
  const text = await raw(`POST /RPC2 HTTP/1.0\r\nContent-Length: ${version.length}\r\n\r\n${version}`, ended);
  assert.match(text, /^HTTP\/1\.[01] 200/);
  assert.match(text, "7.0.0");
});

test("a body in chunks is read", async () => {
  const half = Math.floor(version.length / 2);
  const chunk = (part: string): string => `${part.length.toString(16)}\r\n${part}\r\n`;
  const body = `${chunk(version.slice(0, half))}${chunk(version.slice(half))}0\r\n\r\n`;
  const text = await raw(`POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body}`, ended);
  assert.match(text, "7.0.0");
});

test("a body over the limit is refused and the next call is served", async () => {
  const length = BODY_SIZE_BYTES_MAX + 1;
  const text = await raw(
    head("POST /RPC2 HTTP/1.1", length, "Connection: close\r\n") + "x".repeat(length),
    (got) => got !== "",
  );
  assert.match(text, /^HTTP\/1\.1 413/);
  assert.ok((await box.call("one.system.version")).ok);
});

test("a body over the limit in chunks is refused, too, after it has been sent to its end", async () => {
  const chunk = `${(256 * 1024).toString(16)}\r\n${"x".repeat(256 * 1024)}\r\n`;
  const body = `${chunk.repeat(17)}0\r\n\r\n`;
  const start = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert.match(await raw(`${start}${body}`, (got) => got !== ""), /^HTTP\/1\.1 413/);
  assert.ok((await box.call("one.system.version")).ok);
});

test("a large template within the limits passes, entity-escaped", async () => {
  const note = "<&>\"'ä€😀".repeat(8000);
  const id = Number(await box.value("one.template.allocate", `NAME=large\nNOTE="${note.replaceAll('"', '\\"')}"`));
  assert.match(await box.value("one.template.info", id), note);
});

test("what is no XML-RPC is a fault -503 and says why", async () => {
  const bad = [
    "",
    "hello",
    "<methodCall>",
    "<other/>",
    "<methodCall/>",
    "<methodCall><methodName>a b</methodName></methodCall>",
    "<methodCall><methodName>one.zone.info</methodName><params><value/></params></methodCall>",
    encodeCall("one.zone.info", [ONEADMIN, 0]).replace("<i4>0</i4>", "<i4>zero</i4>"),
    encodeCall("one.zone.info", [ONEADMIN, 0]).replace("<i4>0</i4>", "<i8>9223372036854775807</i8>"),
    encodeCall("one.zone.info", [ONEADMIN, 0]).replace("<i4>0</i4>", "<what>0</what>"),
    encodeCall("one.zone.info", [ONEADMIN, false]).replace("<boolean>0", "<boolean>2"),
    `<!DOCTYPE x [<!ENTITY a "b">]>${version}`,
    `<methodCall>${"<a>".repeat(50)}`,
    `<methodCall><methodName>one.zone.info</methodName><params>${"<param><value/></param>".repeat(65)}</params></methodCall>`,
  ];
  for (const body of bad) {
    const answer = readAnswer(await box.post(body));
    assert.is(answer.code, -503, body.slice(0, 80));
    assert.match(answer.text, /^Call is not valid XML-RPC: .{5,}/);
  }
  const bytes = new Uint8Array([...new TextEncoder().encode(version), 0xff, 0xfe]);
  assert.is(readAnswer(await (await fetch(box.url, { method: "POST", body: bytes })).text()).code, -503);
});

test("unknown methods are -506, missing and wrong-typed parameters -501, each named", async () => {
  const cases: readonly (readonly [string, number, RegExp])[] = [
    [encodeCall("one.nosuch", [ONEADMIN]), -506, /^Method 'one.nosuch' not defined$/],
    [encodeCall("one.host.info", [ONEADMIN]), -501, /parameter 2 \(id\) is missing/],
    [encodeCall("one.host.info", [ONEADMIN, "0"]), -501, /parameter 2 \(id\) must be an integer/],
    [encodeCall("one.host.info", [7, 0]), -501, /parameter 1 must be a string, the session/],
    [encodeCall("one.host.info", []), -501, /session/],
    [encodeCall("one.vm.action", [ONEADMIN, true, 0]), -501, /parameter 2 \(action\) must be a string/],
    [encodeCall("one.user.allocate", [ONEADMIN, "a", "b", "core", "x"]), -501, /must be an array of integers/],
  ];
  for (const [body, code, message] of cases) {
    const answer = readAnswer(await box.post(body));
    assert.is(answer.code, code);
    assert.match(answer.text, message);
  }
  assert.match(
    await box.post(encodeCall("one.nosuch", [ONEADMIN])),
    /<name>faultCode<\/name>\r\n<value><i4>-506<\/i4>/,
  );
});

test("any damage to a call is a fault or another call, never a failure of the server", async () => {
  const source = encodeCall("one.template.update", [ONEADMIN, 5, 'A="1"', true, [1, 2]]);
  const damage = fc.record({
    at: fc.nat(source.length - 1),
    cut: fc.nat(12),
    put: fc.constantFrom(
      "",
      "<",
      ">",
      "/",
      "&",
      "&amp;",
      "<value>",
      "</value>",
      "<!--",
      "]]>",
      "<![CDATA[",
      "i4",
      "\n",
      "é",
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
      let body = source;
      for (const { at, cut, put } of damages) body = body.slice(0, at) + put + body.slice(at + cut);
      const answer = readAnswer(await box.frontEnd.answer(body, undefined));
      assert.ok([-501, -503, -506, 256, 1024, 2048].includes(answer.code), `${answer.code} ${answer.text} for ${body}`);
    }),
    { numRuns: 1000 },
  );
});

test("all forms of a value are understood: bare text, i4, int, i8, with white space between", async () => {
  for (const type of ["i4", "int", "i8"]) {
    const body = `<?xml version="1.0" encoding="UTF-8"?>
<methodCall>
 <methodName> one.zone.info </methodName>
 <params>
  <param><value>${ONEADMIN}</value></param>
  <param><value> <${type}> 0 </${type}> </value></param>
 </params>
</methodCall>`;
    assert.ok(readAnswer(await box.post(body)).ok, type);
  }
});

test("a message quotes what was sent without breaking the answer's XML", async () => {
  const answer = await box.call("one.vm.action", "<&>\u0001", 0);
  assert.is(answer.code, -503, "a control character is no XML");
  const quoted = await box.call("one.host.allocate", "x", "<a&b>", "kvm", -1);
  assert.match(quoted.text, 'IM_MAD "<a&b>" is not one of kvm, qemu');
});

test.run();
