// Output to the column: the documents that OpenNebula's commands were given, and what they printed of them.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Program } from "../../../src/cli/command.ts";
import { allAt, textAt } from "../../../src/cli/document.ts";
import { DATASTORE_PROGRAM } from "../../../src/cli/nouns/datastore.ts";
import { HOST_PROGRAM, printHost } from "../../../src/cli/nouns/host.ts";
import { IMAGE_PROGRAM } from "../../../src/cli/nouns/image.ts";
import { TEMPLATE_PROGRAM } from "../../../src/cli/nouns/template.ts";
import { USER_PROGRAM } from "../../../src/cli/nouns/user.ts";
import { printVm, VM_PROGRAM } from "../../../src/cli/nouns/vm.ts";
import { printZone, ZONE_PROGRAM } from "../../../src/cli/nouns/zone.ts";
import { Page } from "../../../src/cli/objects.ts";
import { run } from "../../../src/cli/run.ts";
import { fakeFrontEnd, type SeenCall } from "./fake-front-end.ts";
import { fakeTerminal } from "./fake-terminal.ts";
import { ABSENT, compact, document, hasReference, printed } from "./reference.ts";

// The reference was taken in UTC.
process.env["TZ"] = "UTC";

/** The instant at which the reference was taken: the VMs had been there for less than a minute. */
const TAKEN_AT = 1795166260_000;

/** Runs a command against a front-end that answers with one document. */
async function output(
  program: Program,
  words: string,
  source: string | ((call: SeenCall) => string),
  options: Parameters<typeof fakeTerminal>[0] = {},
): Promise<string> {
  const frontEnd = fakeFrontEnd((call) => ({ value: typeof source === "string" ? source : source(call) }));
  const terminal = fakeTerminal({ now: TAKEN_AT, ...options });
  const code = await run(
    program,
    [...words.split(" "), "--endpoint", frontEnd.endpoint, "--user", "a", "--password", "b"],
    terminal,
    "",
  );
  await frontEnd.stop();
  assert.is(terminal.written.err, "");
  assert.is(code, 0);
  return terminal.written.out;
}

function golden(name: string, body: () => Promise<void> | void): void {
  test(name, async () => {
    if (hasReference) await body();
    else console.log(`${name}: ${ABSENT}`);
  });
}

const pool = (file: string): string => compact(printed(file));

golden("onehost list is to the column: table, selected columns, filter, no header, CSV, description", async () => {
  const source = pool("onehost_list_x.txt");
  const cases: readonly (readonly [string, string])[] = [
    ["list", "onehost_list.txt"],
    ["list -l ID,NAME,STAT", "onehost_list_l.txt"],
    ["list -f NAME=h1", "onehost_list_filter.txt"],
    ["list --no-header", "onehost_list_nohdr.txt"],
    ["list --csv", "onehost_list_csv.txt"],
    ["list --describe", "onehost_list_describe.txt"],
  ];
  for (const [words, file] of cases) assert.is(await output(HOST_PROGRAM, words, source), printed(file), words);
});

golden("-x and -j print the document as OpenNebula does, byte by byte", async () => {
  const cases: readonly (readonly [Program, string, string, string])[] = [
    [HOST_PROGRAM, "list", "onehost_list_x.txt", "onehost_list_j.txt"],
    [HOST_PROGRAM, "show 0", "onehost_show_0_x.txt", "onehost_show_0_j.txt"],
    [VM_PROGRAM, "list", "onevm_list_x.txt", "onevm_list_j.txt"],
    [ZONE_PROGRAM, "list", "onezone_list_x.txt", "onezone_list_j.txt"],
  ];
  for (const [program, words, xml, json] of cases) {
    assert.is(await output(program, `${words} -x`, pool(xml)), printed(xml), xml);
    assert.is(await output(program, `${words} -j`, pool(xml)), printed(json), json);
  }
  assert.is(await output(VM_PROGRAM, "show 0 -x", pool("onevm_show_0_x.txt")), printed("onevm_show_0_x.txt"));
  assert.is(
    await output(ZONE_PROGRAM, "show 0 -x", pool("ha_onezone_show_0_x.txt")),
    printed("ha_onezone_show_0_x.txt"),
  );
  assert.is(await output(ZONE_PROGRAM, "list -y", pool("onezone_list_x.txt")), printed("onezone_list_y.txt"));
});

golden("hosts that were never heard show a dash, and their state", async () => {
  const source = pool("nomon_onehost_list_x.txt");
  assert.is(await output(HOST_PROGRAM, "list", source), printed("nomon_onehost_list.txt"));
  assert.is(await output(HOST_PROGRAM, "list --csv", source), printed("nomon_onehost_list_csv.txt"));
});

golden("onehost show is to the column", () => {
  for (const [file, id] of [
    ["nomon_onehost_show_0.txt", "0"],
    ["nomon_onehost_show_1.txt", "1"],
  ] as const) {
    const host = allAt(document("nomon_onehost_list_x.txt"), "", "HOST").find((one) => textAt(one, "ID") === id);
    assert.ok(host);
    const terminal = fakeTerminal();
    printHost(terminal, host, []);
    assert.is(terminal.written.out, printed(file));
  }
});

golden("a monitored host shows what it has; devices that we do not pass through have no section", () => {
  const terminal = fakeTerminal();
  printHost(terminal, document("onehost_show_0_x.txt"), []);
  const expected = printed("onehost_show_0.txt").replace(/PCI DEVICES\n[\s\S]*?(?=WILD VIRTUAL)/, "");
  const volatile = /^( {2}USED \(REAL\)|LAST MONITORING TIME) .*$/gm;
  assert.is(terminal.written.out.replace(volatile, ""), expected.replace(volatile, ""));
});

golden("onevm list and show are to the column", async () => {
  const source = pool("onevm_list_x.txt");
  assert.is(await output(VM_PROGRAM, "list", source), printed("onevm_list.txt"));
  assert.is(await output(VM_PROGRAM, "list --csv", source), printed("onevm_list_csv.txt"));
  const terminal = fakeTerminal({ now: TAKEN_AT });
  printVm(terminal, document("onevm_show_0_x.txt"));
  // OpenNebula prints bytes that were read and written from disk as if they were KiB.
  const bytes = /^DISK(RD|WR)BYTES .*$/gm;
  assert.is(terminal.written.out.replace(bytes, ""), printed("onevm_show_0.txt").replace(bytes, ""));
});

golden("onezone show asks every server, and says error and dashes for one that does not answer", async () => {
  const zone = document("ha_onezone_show_0_x.txt");
  const raft = (state: number, vote: number): string =>
    `<RAFT><SERVER_ID>0</SERVER_ID><STATE>${state}</STATE><TERM>72</TERM><VOTEDFOR>${vote}</VOTEDFOR><COMMIT>74696</COMMIT><LOG_INDEX>74696</LOG_INDEX><LOG_TERM>72</LOG_TERM><FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>`;
  const statuses: Record<string, string> = {
    "http://10.77.0.1:2633/RPC2": raft(2, 1),
    "http://10.77.0.2:2633/RPC2": raft(3, 1),
    "http://10.77.0.3:2633/RPC2": raft(2, -1),
  };
  const healthy = fakeTerminal();
  await printZone(new Page(healthy, 18), zone, async (endpoint) => statuses[endpoint]);
  assert.is(healthy.written.out, printed("ha_onezone_show_0_healthy.txt"));
  const oneStopped = fakeTerminal();
  await printZone(new Page(oneStopped, 18), zone, async (endpoint) =>
    endpoint.includes("0.3:") ? undefined : statuses[endpoint],
  );
  assert.is(oneStopped.written.out, printed("ha_onezone_show_0_one_stopped.txt"));
});

golden("a solo zone shows no servers", async () => {
  assert.is(await output(ZONE_PROGRAM, "show 0", pool("onezone_show_0_x.txt")), printed("onezone_show_0.txt"));
});

golden("the zone's list asks its endpoint for the federation's index", async () => {
  const frontEnd = fakeFrontEnd((call) => ({
    value: call.method.endsWith("raftstatus")
      ? "<RAFT><FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>"
      : pool("onezone_list_x.txt").replace("http://localhost:2633/RPC2", frontEnd.endpoint),
  }));
  const terminal = fakeTerminal();
  await run(ZONE_PROGRAM, ["list", "--endpoint", frontEnd.endpoint, "--user", "a", "--password", "b"], terminal, "");
  await frontEnd.stop();
  const expected = printed("onezone_list.txt")
    .replace("http://localhost:2633/RPC2".padEnd(45), frontEnd.endpoint.padEnd(45))
    .replace("\n     0", "\n*    0");
  assert.is(terminal.written.out, expected);
});

golden("on a terminal the header is bold, good states are green, names fill the width", async () => {
  const source = pool("onehost_list_x.txt");
  const tty = printed("onehost_list_tty.txt");
  const section = (columns: number): string => {
    const begin = tty.indexOf(`tty of ${columns} columns, TERM=xterm`);
    const from = columns === 80 ? 0 : tty.indexOf("\n", begin) + 1;
    return tty.slice(from, tty.indexOf("--- exit", from)).replaceAll("^M\n", "\n").replaceAll("^[", "\u001b");
  };
  assert.is(await output(HOST_PROGRAM, "list", source, { isTty: true, columns: 80 }), section(80));
  assert.is(await output(HOST_PROGRAM, "list", source, { isTty: true, columns: 200 }), section(200));
});

golden("the other lists have OpenNebula's headers", async () => {
  const cases: readonly (readonly [Program, string, string])[] = [
    [TEMPLATE_PROGRAM, "VMTEMPLATE_POOL", "onetemplate_list.txt"],
    [USER_PROGRAM, "USER_POOL", "oneuser_list.txt"],
    [DATASTORE_PROGRAM, "DATASTORE_POOL", "onedatastore_list.txt"],
    [IMAGE_PROGRAM, "IMAGE_POOL", "oneimage_list.txt"],
  ];
  for (const [program, element, file] of cases) {
    assert.is(await output(program, "list", `<${element}></${element}>`), `${printed(file).split("\n")[0]}\n`, file);
  }
});

golden("rows of templates, users, datastores and images are to the column", async () => {
  const owner = "<UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>";
  const templates = `<VMTEMPLATE_POOL><VMTEMPLATE><ID>1</ID>${owner}<NAME>web server</NAME><REGTIME>1795166253</REGTIME></VMTEMPLATE><VMTEMPLATE><ID>0</ID>${owner}<NAME>small</NAME><REGTIME>1795166253</REGTIME></VMTEMPLATE></VMTEMPLATE_POOL>`;
  assert.is(await output(TEMPLATE_PROGRAM, "list", templates), printed("onetemplate_list.txt"));
  const user = (id: number, name: string, group: string, driver: string): string =>
    `<USER><ID>${id}</ID><GNAME>${group}</GNAME><NAME>${name}</NAME><AUTH_DRIVER>${driver}</AUTH_DRIVER><ENABLED>1</ENABLED></USER>`;
  const users = `<USER_POOL>${user(2, "alice", "staff", "core")}${user(1, "serveradmin", "oneadmin", "server_cipher")}${user(0, "oneadmin", "oneadmin", "core")}</USER_POOL>`;
  assert.is(await output(USER_PROGRAM, "list", users), printed("oneuser_list.txt"));
  const datastore = (
    id: number,
    name: string,
    type: number,
    total: number,
    free: number,
    driver: string,
    images: string,
  ): string =>
    `<DATASTORE><ID>${id}</ID><NAME>${name}</NAME><DS_MAD>${driver}</DS_MAD><TM_MAD>local</TM_MAD><TYPE>${type}</TYPE><STATE>0</STATE><CLUSTERS><ID>0</ID></CLUSTERS><TOTAL_MB>${total}</TOTAL_MB><FREE_MB>${free}</FREE_MB><IMAGES>${images}</IMAGES></DATASTORE>`;
  const datastores = `<DATASTORE_POOL>${datastore(2, "files", 2, 258048, 64512, "fs", "")}${datastore(1, "default", 0, 258048, 64512, "fs", "<ID>0</ID>")}${datastore(0, "system", 1, 0, 0, "", "")}</DATASTORE_POOL>`;
  assert.is(await output(DATASTORE_PROGRAM, "list", datastores), printed("onedatastore_list.txt"));
  const image = `<IMAGE_POOL><IMAGE><ID>0</ID>${owner}<NAME>tiny</NAME><TYPE>0</TYPE><PERSISTENT>0</PERSISTENT><SIZE>8</SIZE><STATE>1</STATE><RUNNING_VMS>0</RUNNING_VMS><DATASTORE>default</DATASTORE></IMAGE></IMAGE_POOL>`;
  assert.is(await output(IMAGE_PROGRAM, "list", image), printed("oneimage_list.txt"));
});

golden("a template shown is the template written", async () => {
  const source =
    "<VMTEMPLATE><ID>1</ID><UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME><NAME>web server</NAME><PERMISSIONS><OWNER_U>1</OWNER_U><OWNER_M>1</OWNER_M></PERMISSIONS><REGTIME>1795166253</REGTIME><TEMPLATE><CPU>1</CPU><DESCRIPTION><![CDATA[A template with a disk, a NIC & <special> characters]]></DESCRIPTION><DISK><IMAGE_ID>0</IMAGE_ID></DISK><LOGO>images/logos/linux.png</LOGO><MEMORY>2048</MEMORY><NIC><NETWORK>private</NETWORK></NIC><OS><ARCH>x86_64</ARCH></OS><VCPU>2</VCPU></TEMPLATE></VMTEMPLATE>";
  assert.is(await output(TEMPLATE_PROGRAM, "show 1", source), printed("onetemplate_show_1.txt"));
});

test.run();
