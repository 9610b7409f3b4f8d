// Output to the column: the documents that OpenNebula's commands were given, and what they printed of them.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Program } from "../../../src/cli/command.ts";
import { allAt, textAt } from "../../../src/cli/document.ts";
import { DATASTORE_PROGRAM } from "../../../src/cli/nouns/datastore.ts";
import { HOST_PROGRAM } from "../../../src/cli/nouns/host.ts";
import { printHost } from "../../../src/cli/nouns/host-page.ts";
import { IMAGE_PROGRAM } from "../../../src/cli/nouns/image.ts";
import { TEMPLATE_PROGRAM } from "../../../src/cli/nouns/template.ts";
import { USER_PROGRAM } from "../../../src/cli/nouns/user.ts";
import { VM_PROGRAM } from "../../../src/cli/nouns/vm.ts";
import { printVm } from "../../../src/cli/nouns/vm-page.ts";
import { printZone, ZONE_PROGRAM } from "../../../src/cli/nouns/zone.ts";
import { Page } from "../../../src/cli/objects.ts";
import { run } from "../../../src/cli/run.ts";
import { parseXml } from "../../../src/one/xml.ts";
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

golden("a running VM shows its place, its NIC and its history to the column", () => {
  const terminal = fakeTerminal({ now: 1795166529_000 });
  printVm(
    terminal,
    parseXml(
      "<VM><ID>2</ID><NAME>vm-running</NAME><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE><RESCHED>0</RESCHED><STIME>1795166445</STIME><ETIME>0</ETIME><DEPLOY_ID>h1:vm-running:dummy</DEPLOY_ID><TEMPLATE><NIC><BRIDGE>br0</BRIDGE><IP>192.168.150.100</IP><MAC>02:00:c0:a8:96:64</MAC><NETWORK>private</NETWORK><NIC_ID>0</NIC_ID></NIC></TEMPLATE><HISTORY_RECORDS><HISTORY><SEQ>0</SEQ><HOSTNAME>h1</HOSTNAME><CID>0</CID><STIME>1795166523</STIME><ETIME>0</ETIME><DS_ID>0</DS_ID><PSTIME>1795166523</PSTIME><PETIME>1795166523</PETIME><ACTION>0</ACTION><UID>-1</UID><REQUEST_ID>-1</REQUEST_ID></HISTORY></HISTORY_RECORDS></VM>",
    ),
  );
  const part = (text: string, begin: string, lines: number): string => {
    const from = text.indexOf(begin);
    assert.ok(from >= 0, begin);
    return text.slice(from).split("\n").slice(0, lines).join("\n");
  };
  const expected = printed("run_onevm_show_2.txt");
  for (const [begin, lines] of [
    ["VIRTUAL MACHINE 2", 15],
    ["VM NICS", 3],
    ["VIRTUAL MACHINE HISTORY", 3],
  ] as const) {
    assert.is(part(terminal.written.out, begin, lines), part(expected, begin, lines));
  }
});

golden("datastores and images are shown to the column", async () => {
  const owner =
    "<UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME><PERMISSIONS><OWNER_U>1</OWNER_U><OWNER_M>1</OWNER_M><GROUP_U>1</GROUP_U></PERMISSIONS>";
  const template = (pairs: Readonly<Record<string, string>>): string =>
    `<TEMPLATE>${Object.entries(pairs)
      .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
      .join("")}</TEMPLATE>`;
  const datastore = `<DATASTORE><ID>1</ID>${owner}<NAME>default</NAME><DS_MAD>fs</DS_MAD><TM_MAD>local</TM_MAD><BASE_PATH>/var/lib/one//datastores/1</BASE_PATH><TYPE>0</TYPE><DISK_TYPE>0</DISK_TYPE><STATE>0</STATE><CLUSTERS><ID>0</ID></CLUSTERS><TOTAL_MB>258048</TOTAL_MB><FREE_MB>63181</FREE_MB><USED_MB>40653</USED_MB><IMAGES><ID>0</ID></IMAGES>${template({ ALLOW_ORPHANS: "FORMAT", CLONE_TARGET: "SYSTEM", DISK_TYPE: "FILE", DS_MAD: "fs", LN_TARGET: "SYSTEM", PERSISTENT_SNAPSHOTS: "YES", RESTRICTED_DIRS: "/", SAFE_DIRS: "/var/tmp", TM_MAD: "local", TYPE: "IMAGE_DS" })}</DATASTORE>`;
  assert.is(await output(DATASTORE_PROGRAM, "show 1", datastore), printed("onedatastore_show_1.txt"));
  const image = `<IMAGE><ID>0</ID>${owner.replace("<GROUP_U>1</GROUP_U>", "")}<NAME>tiny</NAME><TYPE>0</TYPE><PERSISTENT>0</PERSISTENT><REGTIME>1795166253</REGTIME><MODTIME>1795166253</MODTIME><SOURCE>/var/lib/one//datastores/1/1727dd68ad346f19931aa5cf9ea61c6a</SOURCE><PATH>/var/tmp/tiny.img</PATH><FORMAT>raw</FORMAT><SIZE>8</SIZE><STATE>1</STATE><RUNNING_VMS>0</RUNNING_VMS><DATASTORE>default</DATASTORE>${template({ DEV_PREFIX: "sd" })}</IMAGE>`;
  assert.is(await output(IMAGE_PROGRAM, "show 0", image), printed("oneimage_show_0.txt"));
});

test("a host that is being fenced says so, and why", () => {
  const terminal = fakeTerminal();
  const note = "<FENCE_STATE>HELD: no proof: the BMC is silent</FENCE_STATE>";
  printHost(terminal, parseXml(`<HOST><ID>1</ID><STATE>3</STATE><TEMPLATE>${note}</TEMPLATE></HOST>`), []);
  assert.match(
    terminal.written.out,
    /^STATE +: ERROR +\nFENCE_STATE +: HELD +\nFENCE_REASON +: no proof: the BMC is silent *$/m,
  );
});

test.run();
