import { isTemplateError, parseTemplate } from "../../one/attributes.ts";
import { parseXml } from "../../one/xml.ts";
import type { Command, Context, Program } from "../command.ts";
import { allAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { readTemplateFile } from "../files.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  listObjects,
  readPool,
  resolveId,
  SHOW_OPTIONS,
  showObject,
} from "../objects.ts";
import { HOST_TABLE, printHost } from "./host-page.ts";

export const HOST: Kind = { method: "host", element: "HOST", isOwned: false };

async function show(context: Context): Promise<void> {
  await showObject(context, HOST, async (host) => {
    const id = textAt(host, "ID");
    const pool = parseXml(await readPool(context, { method: "vm", element: "VM", isOwned: true }));
    const onHost = allAt(pool, "", "VM").filter((vm) => {
      const [last] = allAt(vm, "HISTORY_RECORDS", "HISTORY").slice(-1);
      return (
        last !== undefined &&
        textAt(last, "HID") === id &&
        allAt(host, "VMS", "ID").some((one) => one.text === textAt(vm, "ID"))
      );
    });
    printHost(context.terminal, host, onHost);
  });
}

async function create({ rpc, terminal, options, words }: Context): Promise<void> {
  const [im, vm] = [options.get("im"), options.get("vm")];
  if (im === undefined || vm === undefined) {
    throw new CommandFailure(
      "Drivers are mandatory to create a host:\n\t -i information driver\n\t -v hypervisor driver",
    );
  }
  // Read before anything is done: a mistake in the file makes no half host.
  const file = options.get("file") ?? words[1];
  const template = file === undefined ? undefined : readTemplateFile(file, terminal);
  const fault = template === undefined ? undefined : parseTemplate(template);
  if (fault !== undefined && isTemplateError(fault)) throw new CommandFailure(`${file}: ${fault.error}`);
  const cluster = options.get("cluster");
  const clusterId =
    cluster === undefined
      ? -1
      : await resolveId({ rpc }, { method: "cluster", element: "CLUSTER", isOwned: false }, cluster);
  const id = await rpc.write("one.host.allocate", words[0] ?? "", im, vm, clusterId);
  terminal.out(`ID: ${id}\n`);
  if (template === undefined) return;
  try {
    await rpc.write("one.host.update", id, template, 1);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    throw new CommandFailure(
      `Host ${id} was created without its template: ${error.message}\nonehost update ${id} ${file} --append gives it`,
    );
  }
}

async function update(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const id = await resolveId(context, HOST, words[0] ?? "");
  await rpc.write("one.host.update", id, readTemplateFile(words[1] ?? "-", terminal), options.has("append") ? 1 : 0);
}

const status =
  (value: number): Command["run"] =>
  (context) =>
    forEachObject(context, HOST, (id) => context.rpc.write("one.host.status", id, value));

/** `one.host.status`: enable, disable, offline. */
const STATUS = { enable: 0, disable: 1, offline: 2 } as const;

async function flush(context: Context): Promise<void> {
  await forEachObject(context, HOST, async (id) => {
    await context.rpc.write("one.host.status", id, STATUS.disable);
    const host = parseXml(await context.rpc.read("one.host.info", id, false));
    for (const vm of allAt(host, "VMS", "ID")) await context.rpc.write("one.vm.action", "resched", Number(vm.text));
  });
}

export const HOST_PROGRAM: Program = {
  name: "onehost",
  text: "Hosts: the hypervisors that virtual machines run on.",
  commands: [
    {
      name: "create",
      words: "<hostname> [<file>]",
      text: "Creates a new Host. The file is a template with what else is to be known of it: its FENCE sections, SSH_ADDRESS where its name does not resolve.",
      options: [
        { name: "cluster", short: "c", value: "id|name", text: "Selects the cluster" },
        { name: "im", short: "i", value: "im_mad", text: "Set the information driver for the host" },
        { name: "vm", short: "v", value: "vmm_mad", text: "Set the virtualization driver for the host" },
        {
          name: "file",
          short: "f",
          value: "file",
          text: "Template with FENCE sections and SSH_ADDRESS; - is standard input",
        },
      ],
      example: "onehost create hv1.example.org --im kvm --vm kvm -f hv1.fence",
      run: create,
    },
    {
      name: "delete",
      words: "<ids>",
      text: "Deletes the given Host",
      example: "onehost delete 3",
      run: (context) => forEachObject(context, HOST, (id) => context.rpc.write("one.host.delete", id)),
    },
    {
      name: "disable",
      words: "<ids>",
      text: "Disables the given host: it is monitored, the scheduler places nothing on it",
      example: "onehost disable 1,3..5",
      run: status(STATUS.disable),
    },
    {
      name: "enable",
      words: "<ids>",
      text: "Enables the given host, fully operational",
      example: "onehost enable hv1",
      run: status(STATUS.enable),
    },
    {
      name: "offline",
      words: "<ids>",
      text: "Sets the host offline: neither monitored nor used",
      example: "onehost offline hv1",
      run: status(STATUS.offline),
    },
    {
      name: "flush",
      words: "<ids>",
      text: "Disables the host and reschedules all the running VMs in it.",
      example: "onehost flush hv1",
      run: flush,
    },
    {
      name: "list",
      words: "",
      text: "Lists Hosts in the pool.",
      options: LIST_OPTIONS,
      example: "onehost list --csv",
      run: (context) => listObjects(context, HOST, HOST_TABLE),
    },
    {
      name: "show",
      words: "<hostid>",
      text: "Shows information for the given Host",
      options: SHOW_OPTIONS,
      example: "onehost show hv1",
      run: show,
    },
    {
      name: "rename",
      words: "<hostid> <name>",
      text: "Renames the Host",
      example: "onehost rename 1 hv1",
      run: async (context) =>
        void (await context.rpc.write(
          "one.host.rename",
          await resolveId(context, HOST, context.words[0] ?? ""),
          context.words[1] ?? "",
        )),
    },
    {
      name: "update",
      words: "<hostid> [<file>]",
      text: "Replaces the template of the Host by that of the file or of standard input.",
      options: [{ name: "append", short: "a", text: "Append new attributes to the current template" }],
      example: "onehost update hv1 hv1.fence --append",
      run: update,
    },
  ],
};
