import type { Command, Context, Program } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { readTemplateFile } from "../files.ts";
import { quoted } from "../format.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  listObjects,
  resolveId,
  SHOW_OPTIONS,
  showObject,
} from "../objects.ts";
import type { Option } from "../options.ts";
import { printVm } from "./vm-page.ts";
import { vmTable } from "./vm-table.ts";

export const VM: Kind = { method: "vm", element: "VM", isOwned: true };

const action =
  (name: string, hardName = ""): Command["run"] =>
  (context) =>
    forEachObject(context, VM, (id) =>
      context.rpc.write("one.vm.action", hardName !== "" && context.options.has("hard") ? hardName : name, id),
    );

const HARD: readonly Option[] = [{ name: "hard", text: "Does not communicate with the guest OS" }];

/** Verbs that go to the front-end all the same, so that its own words say why not. */
const REFUSED: readonly (readonly [name: string, options: readonly Option[]])[] = [
  ["suspend", []],
  ["stop", []],
  ["undeploy", HARD],
  ["reboot", HARD],
];

/** The numbers that `one.vm.recover` takes. */
const RECOVERIES = ["failure", "success", "retry", "delete", "recreate"] as const;

async function recover(context: Context): Promise<void> {
  const given = RECOVERIES.filter((name) => context.options.has(name));
  const [one] = given;
  if (one === undefined || given.length > 1)
    throw new CommandFailure(`Need one of ${RECOVERIES.map((name) => `--${name}`).join(", ")}`);
  await forEachObject(context, VM, (id) => context.rpc.write("one.vm.recover", id, RECOVERIES.indexOf(one)));
}

async function create({ rpc, terminal, options, words }: Context): Promise<void> {
  const name = options.get("name");
  const text = readTemplateFile(words[0] ?? "-", terminal);
  const source = name === undefined ? text : `${text}\nNAME=${quoted(name)}\n`;
  terminal.out(`ID: ${await rpc.write("one.vm.allocate", source, options.has("hold"))}\n`);
}

async function deploy(context: Context): Promise<void> {
  const { rpc, options, words } = context;
  const host = await resolveId(context, { method: "host", element: "HOST", isOwned: false }, words[1] ?? "");
  const datastore =
    words[2] === undefined
      ? -1
      : await resolveId(context, { method: "datastore", element: "DATASTORE", isOwned: true }, words[2]);
  await forEachObject(context, VM, (id) => rpc.write("one.vm.deploy", id, host, options.has("enforce"), datastore));
}

function verb(name: string, text: string, options: readonly Option[] = [], hardName = ""): Command {
  return { name, words: "<ids>", text, options, example: `onevm ${name} web`, run: action(name, hardName) };
}

export const VM_PROGRAM: Program = {
  name: "onevm",
  text: "Virtual machines.",
  commands: [
    {
      name: "create",
      words: "[<file>]",
      text: "Creates a new VM from the given template or from standard input",
      options: [
        { name: "name", value: "name", text: "Name of the new VM" },
        { name: "hold", text: "Creates the new VM on hold state instead of pending" },
      ],
      example: "onevm create web.template",
      run: create,
    },
    {
      name: "list",
      words: "[<filterflag>]",
      text: "Lists VMs in the pool",
      options: LIST_OPTIONS,
      example: "onevm list --filter HOST=hv1",
      run: (context) => listObjects(context, VM, vmTable(context.terminal)),
    },
    {
      name: "show",
      words: "<vmid>",
      text: "Shows information for the given VM",
      options: SHOW_OPTIONS,
      example: "onevm show web",
      run: (context) => showObject(context, VM, (vm) => printVm(context.terminal, vm)),
    },
    {
      name: "deploy",
      words: "<ids> <hostid> [<datastoreid>]",
      text: "Deploys the given VM in the specified Host.",
      options: [{ name: "enforce", text: "Enforce that the Host has capacity" }],
      example: "onevm deploy web hv1",
      run: deploy,
    },
    verb("terminate", "Terminates the given VM: its guest is asked to shut down", HARD, "terminate-hard"),
    verb("poweroff", "Powers off the given VM", HARD, "poweroff-hard"),
    verb("resume", "Resumes the execution of the saved VM"),
    verb("hold", "Sets the given VM on hold"),
    verb("release", "Releases a VM on hold"),
    verb("resched", "Asks the scheduler for another Host"),
    verb("unresched", "Takes that back"),
    ...REFUSED.map(([name, options]) =>
      verb(name, "Known to OpenNebula; the front-end of this version refuses it", options, `${name}-hard`),
    ),
    verb("resubmit", "Starts a lost VM again, where the scheduler finds room, once it is certain that it is off"),
    {
      name: "recover",
      words: "<ids>",
      text: "Recovers a stuck VM that is waiting for a driver operation",
      options: [
        { name: "failure", text: "The operation has failed" },
        { name: "success", text: "The operation was successful" },
        { name: "retry", text: "Do the operation again" },
        { name: "delete", text: "No recovery possible, delete the VM" },
        { name: "recreate", text: "No recovery possible, delete and recreate the VM" },
      ],
      example: "onevm recover web --retry",
      run: recover,
    },
    {
      name: "rename",
      words: "<vmid> <name>",
      text: "Renames the given VM",
      example: "onevm rename 3 web",
      run: async (context) =>
        void (await context.rpc.write(
          "one.vm.rename",
          await resolveId(context, VM, context.words[0] ?? ""),
          context.words[1] ?? "",
        )),
    },
    {
      name: "update",
      words: "<vmid> [<file>]",
      text: "Replaces the user template of the VM by that of the file or of standard input.",
      options: [{ name: "append", short: "a", text: "Append new attributes to the current template" }],
      example: "onevm update web web.attributes --append",
      run: async (context) => {
        const id = await resolveId(context, VM, context.words[0] ?? "");
        const text = readTemplateFile(context.words[1] ?? "-", context.terminal);
        await context.rpc.write("one.vm.update", id, text, context.options.has("append") ? 1 : 0);
      },
    },
  ],
};
