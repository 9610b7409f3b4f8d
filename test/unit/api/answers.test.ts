// Bodies and XML beside what a running OpenNebula answered (reference/oned-answers) and beside its published schemas.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Transition } from "../../../src/one/change.ts";
import { type HostRow, hostById } from "../../../src/one/host/row.ts";
import { hostLost, hostMonitored } from "../../../src/one/host/transitions.ts";
import { type VmRow, vmById } from "../../../src/one/vm/row.ts";
import { running } from "../../../src/one/vm/transitions.ts";
import { SoloFrontEnd } from "../../support/solo-front-end.ts";

const REFERENCE = resolve(import.meta.dir, "../../../../shared/reference");
const HAS_ANSWERS = existsSync(join(REFERENCE, "oned-answers"));
const HAS_SCHEMAS = existsSync(join(REFERENCE, "opennebula-xsd")) && Bun.which("xmllint") !== null;
if (!HAS_ANSWERS) console.log("reference/oned-answers is absent: bodies are not compared with it");
if (!HAS_SCHEMAS) console.log("reference/opennebula-xsd or xmllint is absent: XML is not validated");

let box: SoloFrontEnd;
let entry = 0;

const SAMPLE =
  "<MONITORING><TIMESTAMP>1795163877</TIMESTAMP><ID>0</ID><CAPACITY><FREE_CPU><![CDATA[800]]></FREE_CPU><FREE_MEMORY><![CDATA[16777216]]></FREE_MEMORY><USED_CPU><![CDATA[0]]></USED_CPU><USED_MEMORY><![CDATA[0]]></USED_MEMORY></CAPACITY><SYSTEM><NETRX><![CDATA[0]]></NETRX><NETTX><![CDATA[0]]></NETTX></SYSTEM></MONITORING>";

test.before(async () => {
  box = await SoloFrontEnd.start({ samples: { host: (_, count) => SAMPLE.repeat(Math.min(count, 2)), vm: () => "" } });
  await box.value("one.template.allocate", 'NAME=fix\nCPU="1"\nMEMORY="64"\nOS=[ARCH="x86_64"]');
  await box.value("one.host.allocate", "node01", "kvm", "kvm", -1);
  await box.value("one.image.allocate", "NAME=disk\nPATH=/var/lib/one/datastores/1/disk.img\nSIZE=8", 1);
  await box.value("one.vm.allocate", "NAME=v1\nCPU=0.1\nMEMORY=64\nVCPU=1\nDISK=[IMAGE_ID=0]\nNIC=[BRIDGE=br0]", false);
  await move((host) =>
    hostMonitored(host, {
      totalCpu: 800,
      totalMem: 16777216,
      facts:
        "<CPUSPEED><![CDATA[2200]]></CPUSPEED><HYPERVISOR><![CDATA[dummy]]></HYPERVISOR><TOTALCPU><![CDATA[800]]></TOTALCPU><TOTALMEMORY><![CDATA[16777216]]></TOTALMEMORY><VERSION><![CDATA[7.5.80]]></VERSION>",
    }),
  );
  await box.value("one.vm.deploy", 0, 0, true);
  const [vm] = (await box.state.readRows(...args(vmById(0)))) as readonly unknown[] as readonly VmRow[];
  if (vm === undefined) throw new Error("no vm");
  await commit(running(vm, "node01:v1:dummy", 1795163852));
  await move((host) => hostLost(host, "Error monitoring Host node01 (0): "));
});
test.after(() => box.stop());

const args = (query: { sql: string; values: readonly (string | number | null)[] }) =>
  [query.sql, query.values] as const;

async function commit(transition: Transition): Promise<void> {
  if (!transition.ok) throw new Error(transition.why);
  entry++;
  const outcome = await box.commit({ version: 1, requestId: `a:${entry}`, kind: "test", at: 0, ...transition.change });
  if (outcome.kind !== "done") throw new Error(JSON.stringify(outcome));
}
async function move(step: (host: HostRow) => Transition): Promise<void> {
  const [host] = (await box.state.readRows(...args(hostById(0)))) as readonly unknown[] as readonly HostRow[];
  if (host === undefined) throw new Error("no host");
  await commit(step(host));
}

const reference = (name: string): string => readFileSync(join(REFERENCE, "oned-answers", name), "utf8");

/** Texts that differ by design: times, ids of the machine, what our drivers are called. */
const normal = (xml: string): string =>
  xml
    .replace(/<(REGTIME|STIME|ETIME|PSTIME|PETIME|RSTIME|RETIME)>\d+</g, "<$1>0<")
    .replace(/(<UUID><!\[CDATA\[)[0-9a-f-]+/g, "$1");

/** Names of the elements in their order, children in brackets: the shape of a document. */
const shape = (xml: string): string => xml.replace(/<!\[CDATA\[[\s\S]*?\]\]>/g, "").replace(/>[^<]+</g, "><");

if (HAS_ANSWERS) {
  test("raw bodies are OpenNebula's byte for byte", async () => {
    const same: readonly (readonly [string, Promise<{ body: string }>])[] = [
      ["err.host.noexist.response.xml", box.call("one.host.info", 99)],
      ["err.host.allocate.dup.response.xml", box.call("one.host.allocate", "node01", "kvm", "kvm", -1)],
      ["addserver.bad.response.xml", box.call("one.zone.addserver", 0, 'SERVER=[NAME="x"]')],
      ["addserver.empty.response.xml", box.call("one.zone.addserver", 0, "")],
      [
        "addserver.otherzone.response.xml",
        box.call("one.zone.addserver", 5, 'SERVER=[NAME="x",ENDPOINT="http://x:1/"]'),
      ],
      ["delserver.missing.response.xml", box.call("one.zone.delserver", 0, 77)],
      ["raftstatus.solo.response.xml", box.call("one.zone.raftstatus")],
      ["acl.info.response.xml", box.call("one.acl.info")],
      ["clusterpool.info.response.xml", box.call("one.clusterpool.info")],
      ["cluster.info.response.xml", box.call("one.cluster.info", 0)],
      ["group.info.response.xml", box.call("one.group.info", 0)],
      ["grouppool.info.response.xml", box.call("one.grouppool.info")],
      ["zone.enable.response.xml", box.call("one.zone.enable", 0, true)],
    ];
    for (const [name, answer] of same) assert.is((await answer).body, reference(name), name);
  });

  test("a disabled zone refuses writes with OpenNebula's body, answers reads, and can be enabled", async () => {
    assert.is((await box.call("one.zone.enable", 0, false)).body, reference("zone.disable.response.xml"));
    assert.is((await box.call("one.template.allocate", "NAME=no")).body, reference("err.zone.disabled.response.xml"));
    assert.match(await box.value("one.zone.info", 0), "<STATE>1</STATE>");
    assert.ok((await box.call("one.zone.enable", 0, true)).ok);
    assert.match((await box.call("one.template.allocate", "NAME=")).text, /NAME cannot be empty/);
  });

  test("a template is OpenNebula's to the byte, its time apart", async () => {
    assert.is(normal(await box.value("one.template.info", 0)), normal(reference("template.info.body.xml").trim()));
    const pool = await box.value("one.templatepool.info", -2, -1, -1);
    assert.is(normal(pool), normal(reference("templatepool.info.body.xml").trim()));
  });

  test("a zone differs in its gRPC endpoint only, which there is none of", async () => {
    const ours = (await box.value("one.zone.info", 0)).replace(
      "<ENDPOINT_GRPC><![CDATA[]]>",
      "<ENDPOINT_GRPC><![CDATA[localhost:2634]]>",
    );
    assert.is(ours, reference("zone.info.solo.body.xml").trim());
    assert.is((await box.call("one.zone.info", 0, "ignored", 3)).code, -501, "of a wrong type is not too much");
    assert.ok((await box.call("one.zone.info", 0, false, 3, "x")).ok, "too much is ignored");
  });

  test("a host in ERROR has the elements of OpenNebula's, in its order", async () => {
    const theirs = reference("host.info.body.xml").trim().replaceAll("dummy", "kvm");
    const ours = (await box.value("one.host.info", 0)).replaceAll("dummy", "kvm");
    const sorted = (xml: string): string =>
      xml.replace(/(?<=<TEMPLATE>).*(?=<\/TEMPLATE>)/, (inner) =>
        (inner.match(/<([A-Z_]+)>.*?<\/\1>/g) ?? []).sort().join(""),
      );
    assert.is(shape(sorted(ours)), shape(sorted(theirs)));
    const numbers = /<IM_MAD>.*<VMS>.*<\/VMS>/;
    assert.match(ours, "<STATE>3</STATE><PREV_STATE>2</PREV_STATE>");
    assert.is(numbers.exec(ours)?.[0], numbers.exec(theirs)?.[0]);
  });

  test("samples of a host read as OpenNebula's", async () => {
    const theirs = reference("host.monitoring.body.xml").trim();
    assert.is(shape(await box.value("one.host.monitoring", 0)), shape(theirs));
  });

  test("an UNKNOWN VM has OpenNebula's states and elements", async () => {
    const ours = await box.value("one.vm.info", 0);
    const theirs = reference("vm.info.unknown.body.xml").trim();
    const outer = (xml: string): string =>
      shape(xml.replace(/<TEMPLATE>.*<\/TEMPLATE>/, "").replace(/<USER_TEMPLATE>.*<\/USER_TEMPLATE>/, ""));
    assert.is(outer(ours), outer(theirs));
    const states = /<STATE>.*<RESCHED>/;
    assert.is(states.exec(ours)?.[0].replace(/<PREV_LCM_STATE>3</, "<PREV_LCM_STATE>16<"), states.exec(theirs)?.[0]);
    const pool = await box.value("one.vmpool.info", -2, -1, -1, -1);
    const noDevices = pool.replace(/<DISK>.*<\/NIC>/, "");
    assert.is(shape(noDevices), shape(reference("vmpool.info.body.xml").trim()));
  });

  test("users have OpenNebula's elements, and no hash", async () => {
    const pool = await box.value("one.userpool.info");
    const theirs = reference("userpool.info.body.xml").trim();
    assert.is(
      shape(pool),
      shape(theirs.replace(/<TEMPLATE><TOKEN_PASSWORD>.*?<\/TOKEN_PASSWORD><\/TEMPLATE>/g, "<TEMPLATE></TEMPLATE>")),
    );
    assert.not.match(pool, /[0-9a-f]{64}/);
  });

  test("a zone of servers is OpenNebula's to the byte", async () => {
    for (const n of [0, 1, 2]) {
      const server = `SERVER=[NAME="server-${n}",ENDPOINT="http://10.77.0.${n + 1}:2633/RPC2"]`;
      assert.is(await box.value("one.zone.addserver", 0, server), "0");
    }
    const ours = (await box.call("one.zone.info", 0)).body.replace(
      "&lt;ENDPOINT_GRPC&gt;&lt;![CDATA[]]&gt;&lt;/ENDPOINT_GRPC&gt;&lt;/TEMPLATE",
      "&lt;ENDPOINT_GRPC&gt;&lt;![CDATA[localhost:2634]]&gt;&lt;/ENDPOINT_GRPC&gt;&lt;/TEMPLATE",
    );
    assert.is(ours, reference("zone.info.ha.response.xml"));
  });
}

if (HAS_SCHEMAS) {
  const directory = mkdtempSync(join(tmpdir(), "api-answers-"));
  test.after(() => rmSync(directory, { recursive: true }));

  const validate = (schema: string, xml: string): string => {
    const file = join(directory, "answer.xml");
    const element = /^<[A-Z_]+/.exec(xml)?.[0] ?? "";
    writeFileSync(file, xml.replace(element, `${element} xmlns="http://opennebula.org/XMLSchema"`));
    const run = Bun.spawnSync([
      "xmllint",
      "--noout",
      "--schema",
      join(REFERENCE, "opennebula-xsd", `${schema}.xsd`),
      file,
    ]);
    return run.exitCode === 0 ? "" : run.stderr.toString();
  };

  const answers: readonly (readonly [string, string, ...(string | number)[]])[] = [
    ["host", "one.host.info", 0],
    ["host_pool", "one.hostpool.info"],
    ["vm", "one.vm.info", 0],
    ["vm_pool", "one.vmpool.info", -2, -1, -1, -1],
    ["vmtemplate", "one.template.info", 0],
    ["vmtemplate_pool", "one.templatepool.info", -2, -1, -1],
    ["image", "one.image.info", 0],
    ["image_pool", "one.imagepool.info", -2, -1, -1],
    ["datastore", "one.datastore.info", 1],
    ["datastore_pool", "one.datastorepool.info"],
    ["cluster", "one.cluster.info", 0],
    ["cluster_pool", "one.clusterpool.info"],
    ["user", "one.user.info", 0],
    ["group", "one.group.info", 1],
    ["acl_pool", "one.acl.info"],
    ["raftstatus", "one.zone.raftstatus"],
  ];
  for (const [schema, method, ...parameters] of answers) {
    test(`${method} is valid by ${schema}.xsd`, async () => {
      assert.is(validate(schema, await box.value(method, ...parameters)), "");
    });
  }

  test("a wrong document does not pass for valid", async () => {
    const host = await box.value("one.host.info", 0);
    assert.match(validate("host", host.replace("<STATE>3</STATE>", "<STATE>bad</STATE>")), "STATE");
  });
}

test.run();
