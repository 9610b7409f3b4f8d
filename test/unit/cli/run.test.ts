// Words, options, exit codes and messages of the commands.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { findEndpoint, findSession } from "../../../src/cli/client/credentials.ts";
import { GENERAL_OPTIONS, type Program, wordCount } from "../../../src/cli/command.ts";
import { DATABASE_PROGRAM } from "../../../src/cli/nouns/database.ts";
import { DATASTORE_PROGRAM } from "../../../src/cli/nouns/datastore.ts";
import { HOST_PROGRAM } from "../../../src/cli/nouns/host.ts";
import { IMAGE_PROGRAM } from "../../../src/cli/nouns/image.ts";
import { TEMPLATE_PROGRAM } from "../../../src/cli/nouns/template.ts";
import { USER_PROGRAM } from "../../../src/cli/nouns/user.ts";
import { VM_PROGRAM } from "../../../src/cli/nouns/vm.ts";
import { ZONE_PROGRAM } from "../../../src/cli/nouns/zone.ts";
import { parseOptions } from "../../../src/cli/options.ts";
import { RINGFENCE_PROGRAM } from "../../../src/cli/ringfence/program.ts";
import { run } from "../../../src/cli/run.ts";
import type { Value } from "../../../src/one/method.ts";
import { fakeFrontEnd, type SeenCall } from "./fake-front-end.ts";
import { fakeTerminal } from "./fake-terminal.ts";

const PROGRAMS = [
  ZONE_PROGRAM,
  HOST_PROGRAM,
  VM_PROGRAM,
  TEMPLATE_PROGRAM,
  USER_PROGRAM,
  DATASTORE_PROGRAM,
  IMAGE_PROGRAM,
  DATABASE_PROGRAM,
  RINGFENCE_PROGRAM,
];

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Method and arguments without the session. */
  readonly calls: readonly (readonly unknown[])[];
}

/** Runs words against a front-end that gives `answers` by method, and 0 for what is not in it. */
async function command(
  program: Program,
  words: readonly string[],
  answers: Readonly<Record<string, Value | ((call: SeenCall) => Value)>> = {},
  options: Parameters<typeof fakeTerminal>[0] = {},
): Promise<Result> {
  const frontEnd = fakeFrontEnd((call) => {
    const answer = answers[call.method] ?? 0;
    return { value: typeof answer === "function" ? answer(call) : answer };
  });
  const terminal = fakeTerminal({ env: { ONE_XMLRPC: frontEnd.endpoint }, ...options });
  const code = await run(program, [...words, "--user", "u", "--password", "p"], terminal, "ringfence 1.2.3");
  await frontEnd.stop();
  const calls = frontEnd.calls.map(({ method, params }) => [method, ...params.slice(1)]);
  return { code, ...terminal.written, calls };
}

const HOSTS =
  "<HOST_POOL><HOST><ID>4</ID><NAME>twin</NAME></HOST><HOST><ID>3</ID><NAME>twin</NAME></HOST><HOST><ID>1</ID><NAME>h1</NAME></HOST></HOST_POOL>";

test("options are read in every form that OpenNebula's commands take", () => {
  const known = [
    { name: "xml", short: "x", text: "" },
    { name: "json", short: "j", text: "" },
    { name: "list", short: "l", value: "x,y", text: "" },
  ];
  const read = (...argv: string[]): unknown => {
    const { options, words } = parseOptions(argv, known);
    return [Object.fromEntries(options), words];
  };
  assert.equal(read("a", "--list", "ID,NAME", "b"), [{ list: "ID,NAME" }, ["a", "b"]]);
  assert.equal(read("--list=ID=1", "-x"), [{ list: "ID=1", xml: "" }, []]);
  assert.equal(read("-lID", "-xj"), [{ list: "ID", xml: "", json: "" }, []]);
  assert.equal(read("-xl", "ID"), [{ list: "ID", xml: "" }, []]);
  assert.equal(read("-1", "--", "--xml"), [{}, ["-1", "--xml"]]);
  assert.throws(() => read("--nope"), "invalid option: --nope");
  assert.throws(() => read("-q"), "invalid option: -q");
  assert.throws(() => read("--list"), "missing argument: --list");
  assert.throws(() => read("--xml=1"), "needless argument: --xml=1");
});

test("the words that a command needs are counted from how it is written", () => {
  assert.equal(wordCount(""), { least: 0, most: 0 });
  assert.equal(wordCount("<hostname> [<file>]"), { least: 1, most: 2 });
  assert.equal(wordCount("<ids> <hostid> [<datastoreid>]"), { least: 2, most: 3 });
});

test("every command has an example that it accepts itself, and its help shows it", async () => {
  for (const program of PROGRAMS) {
    for (const one of program.commands) {
      const { code, out } = await command(program, [...one.name.split(" "), "--help"]);
      assert.is(code, 0);
      assert.ok(out.includes(one.example), `${program.name} ${one.name}`);
      assert.ok(one.example.startsWith(`${program.name} ${one.name}`), one.example);
      const rest = one.example.slice(`${program.name} ${one.name}`.length).replace(/[<>].*$/, "");
      const words = rest.match(/"[^"]*"|\S+/g) ?? [];
      const { words: given } = parseOptions(words, one.options ?? []);
      const { least, most } = wordCount(one.words);
      assert.ok(given.length >= least && given.length <= most, one.example);
    }
  }
});

test("no command has an option under the name of a general one, or one letter twice", () => {
  for (const program of PROGRAMS) {
    for (const { name, options = [] } of program.commands) {
      const all = [...options, ...GENERAL_OPTIONS];
      const names = all.flatMap((option) => [option.name, ...(option.short === undefined ? [] : [`-${option.short}`])]);
      assert.is(new Set(names).size, names.length, `${program.name} ${name}: ${names.join(" ")}`);
    }
  }
});

test("what cannot be run ends with 255 and one clear line", async () => {
  const cases: readonly (readonly [Program, readonly string[], string])[] = [
    [HOST_PROGRAM, ["frobnicate"], "Command 'frobnicate' not found\n"],
    [HOST_PROGRAM, ["list", "--nosuchoption"], "invalid option: --nosuchoption\n"],
    [HOST_PROGRAM, ["create"], "Command create requires one parameter to run\n"],
    [HOST_PROGRAM, ["rename", "h1"], "Command rename requires 2 parameters to run\n"],
    [
      HOST_PROGRAM,
      ["create", "h3"],
      "Drivers are mandatory to create a host:\n\t -i information driver\n\t -v hypervisor driver\n",
    ],
    [ZONE_PROGRAM, ["server-add"], "Command server-add requires one parameter to run\n"],
    [VM_PROGRAM, ["recover", "1"], "Need one of --failure, --success, --retry, --delete, --recreate\n"],
    [VM_PROGRAM, ["list", "everyone"], `"everyone" is not one of a, m, g, G or a user's number\n`],
    [RINGFENCE_PROGRAM, ["fence", "shoot"], "Command 'fence' not found\n"],
  ];
  for (const [program, words, message] of cases) {
    const result = await command(program, words);
    assert.is(result.err, message);
    assert.is(result.code, 255);
    assert.equal(result.calls, []);
  }
  const column = await command(HOST_PROGRAM, ["list", "-l", "ID,NOSUCH"], { "one.hostpool.info": HOSTS });
  assert.is(column.code, 255);
  assert.match(column.err, /^There is no column "NOSUCH"; the columns are ID, NAME, /);
});

test("a name stands for its number; none and two of it are told apart", async () => {
  const answers = { "one.hostpool.info": HOSTS };
  const one = await command(HOST_PROGRAM, ["delete", "h1"], answers);
  assert.equal(one.calls, [["one.hostpool.info"], ["one.host.delete", 1]]);
  assert.is((await command(HOST_PROGRAM, ["show", "nosuchhost"], answers)).err, "HOST named nosuchhost not found.\n");
  assert.is((await command(HOST_PROGRAM, ["show", "twin"], answers)).err, "There are multiple HOSTs with name twin.\n");
});

test("a range does all of it", async () => {
  const { calls, code } = await command(VM_PROGRAM, ["terminate", "1,8..10", "--hard"]);
  assert.is(code, 0);
  assert.equal(
    calls,
    [1, 8, 9, 10].map((id) => ["one.vm.action", "terminate-hard", id]),
  );
  assert.is((await command(VM_PROGRAM, ["hold", "9..1"])).code, 255);
});

test("onehost create reads its template before it makes anything, and adds it afterwards", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cli-"));
  const [good, bad] = [join(directory, "good"), join(directory, "bad")];
  const text = 'FENCE = [ METHOD = "ipmi", ADDRESS = "10.0.0.1", PASSWORD = "p" ]\n';
  writeFileSync(good, text);
  writeFileSync(bad, "FENCE = [ METHOD ]");
  const made = await command(HOST_PROGRAM, ["create", "h", "--im", "kvm", "-vkvm", "-f", good], {
    "one.host.allocate": 3,
  });
  assert.is(made.out, "ID: 3\n");
  assert.equal(made.calls, [
    ["one.host.allocate", "h", "kvm", "kvm", -1],
    ["one.host.update", 3, text, 1],
  ]);
  const refused = await command(HOST_PROGRAM, ["create", "h", "--im", "kvm", "--vm", "kvm", bad]);
  assert.is(refused.code, 255);
  assert.match(refused.err, /bad: Parse error: "=" is expected/);
  assert.equal(refused.calls, []);
  rmSync(directory, { recursive: true });
});

const zoneOf = (...names: readonly string[]): string =>
  `<ZONE><ID>0</ID><SERVER_POOL>${names.map((name, id) => `<SERVER><ENDPOINT>http://${name}:2633/RPC2</ENDPOINT><ID>${id}</ID><NAME>${name}</NAME></SERVER>`).join("")}</SERVER_POOL></ZONE>`;

test("onezone server-add prints a join token alone on the last line, but none for the first server", async () => {
  const words = ["server-add", "0", "--name", "b", "--rpc", "http://b:2633/RPC2"];
  const second = await command(ZONE_PROGRAM, words, {
    "one.zone.info": zoneOf("a", "b"),
    "ringfence.zone.jointoken": "rf1.token",
  });
  assert.is(second.out, "http://b:2633/RPC2:\nrf1.token\n");
  assert.equal(second.calls, [
    ["one.zone.addserver", 0, 'SERVER=[ NAME="b", ENDPOINT="http://b:2633/RPC2" ]'],
    ["one.zone.info", 0],
    ["ringfence.zone.jointoken", 1],
  ]);
  const first = await command(ZONE_PROGRAM, words, { "one.zone.info": zoneOf("b") });
  assert.is(first.out, "http://b:2633/RPC2:\n");
  assert.is(first.calls.length, 2);
});

test("onetemplate instantiate --multiple numbers its VMs", async () => {
  let id = 10;
  const { out, calls } = await command(
    TEMPLATE_PROGRAM,
    ["instantiate", "2", "--name", "web-%i", "-m", "2", "--hold"],
    {
      "one.template.instantiate": () => id++,
    },
  );
  assert.is(out, "VM ID: 10\nVM ID: 11\n");
  assert.equal(calls, [
    ["one.template.instantiate", 2, "web-0", true, "", false],
    ["one.template.instantiate", 2, "web-1", true, "", false],
  ]);
});

test("a password's hash is never printed", async () => {
  const user =
    "<USER><ID>0</ID><NAME>a</NAME><PASSWORD>b065663b</PASSWORD><ENABLED>1</ENABLED><TEMPLATE><TOKEN_PASSWORD>531c</TOKEN_PASSWORD></TEMPLATE></USER>";
  const { out, calls } = await command(USER_PROGRAM, ["show"], { "one.user.info": user });
  assert.equal(calls, [["one.user.info", -1, false]]);
  assert.not.match(out, "b065663b");
  assert.not.match(out, "531c");
});

test("endpoint and credentials come from options, environment and files, in this order", () => {
  const home = mkdtempSync(join(tmpdir(), "cli-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(home, name), text);
    return join(home, name);
  };
  const none = new Map<string, string>();
  const ask = (): string => "asked";
  const box = file("box_auth", "oneadmin:box\n");
  assert.is(findEndpoint(new Map([["endpoint", "http://o"]]), { ONE_XMLRPC: "http://e" }), "http://o");
  assert.is(findEndpoint(none, { ONE_XMLRPC: "http://e" }), "http://e");
  assert.is(findEndpoint(none, { HOME: home }), "http://localhost:2633/RPC2");
  assert.is(
    findSession(
      new Map([
        ["user", "u"],
        ["password", "p"],
      ]),
      {},
      ask,
      box,
    ),
    "u:p",
  );
  assert.is(findSession(new Map([["user", "u"]]), {}, ask, box), "u:asked");
  assert.is(
    findSession(none, { ONE_AUTH: file("mine", "me:secret:with:colons\n") }, ask, box),
    "me:secret:with:colons",
  );
  assert.is(findSession(none, { HOME: home }, ask, box), "oneadmin:box");
  assert.throws(() => findSession(none, { ONE_AUTH: join(home, "absent") }, ask, box), "ONE_AUTH file not present");
  assert.throws(
    () => findSession(none, { HOME: home }, ask, join(home, "absent")),
    /^ONE_AUTH file not present: neither/,
  );
  rmSync(home, { recursive: true });
});

test.run();
