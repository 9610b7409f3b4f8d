import type { XmlElement } from "../../one/xml.ts";
import { parseXml } from "../../one/xml.ts";
import type { Context, Program } from "../command.ts";
import { at, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { templateLines, yesNo } from "../format.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  listObjects,
  Page,
  printDocument,
  resolveId,
  SHOW_OPTIONS,
} from "../objects.ts";
import type { Column, Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";

const USER: Kind = { method: "user", element: "USER", isOwned: false };

/** Use and quota; administrators have none. No quotas are kept yet, so nothing is counted against them. */
function quota(name: string, text: string, size: number, none: string): Column<XmlElement> {
  const isAdmin = (user: XmlElement): boolean => numberAt(user, "ID") === 0;
  return { name, text, size, cell: (user) => (isAdmin(user) ? "-" : none) };
}

const TABLE: Table<XmlElement> = {
  columns: [
    { name: "ID", text: "ONE identifier for the User", size: 4, cell: (user) => textAt(user, "ID") },
    {
      name: "NAME",
      text: "Name of the User",
      size: 10,
      left: true,
      expands: true,
      cell: (user) => textAt(user, "NAME"),
    },
    {
      name: "ENAB",
      text: "User is enabled or disabled",
      size: 4,
      left: true,
      cell: (user) => yesNo(textAt(user, "ENABLED")).toLowerCase(),
    },
    { name: "GROUP", text: "Group of the User", size: 8, left: true, cell: (user) => textAt(user, "GNAME") },
    { name: "AUTH", text: "Auth driver of the User", size: 8, left: true, cell: (user) => textAt(user, "AUTH_DRIVER") },
    quota("VMS", "Number of VMS", 9, "0 /   -"),
    quota("MEMORY", "Total memory allocated to user VMs", 15, "0M /      -"),
    quota("CPU", "Total CPU allocated to user VMs", 10, "0.0 /   -"),
    quota("PCI", "Total PCI devices of user VMs", 9, "0 /   -"),
  ],
  shown: ["ID", "NAME", "ENAB", "GROUP", "AUTH", "VMS", "MEMORY", "CPU", "PCI"],
};

/** Prints a user. A password's hash is never shown: it can be guessed at leisure. */
export function printUser(terminal: Terminal, user: XmlElement): void {
  const page = new Page(terminal, 16);
  page.title(`USER ${textAt(user, "ID")} INFORMATION`);
  page.field("ID", textAt(user, "ID"));
  page.field("NAME", textAt(user, "NAME"));
  page.field("GROUP", textAt(user, "GNAME"));
  page.field("PASSWORD", "***");
  page.field("AUTH_DRIVER", textAt(user, "AUTH_DRIVER"));
  page.field("ENABLED", yesNo(textAt(user, "ENABLED")));
  page.line();
  page.section("USER TEMPLATE");
  page.lines(templateLines(at(user, "TEMPLATE"), ["TOKEN_PASSWORD"]));
}

/** The one who asks is −1. */
async function userId(context: Context, word: string | undefined): Promise<number> {
  return word === undefined ? -1 : resolveId(context, USER, word);
}

async function show(context: Context): Promise<void> {
  const source = await context.rpc.read("one.user.info", await userId(context, context.words[0]), false);
  if (!printDocument(context, source)) printUser(context.terminal, parseXml(source));
}

/** A password as the last word, or unseen: from a terminal or the first line of standard input. */
function newPassword({ terminal }: Context, word: string | undefined): string {
  const password = word ?? (terminal.ask("New password: ") || terminal.readInput().split("\n")[0]) ?? "";
  if (password === "") throw new CommandFailure("A password is needed");
  return password;
}

async function create(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const group = options.get("group");
  const groups =
    group === undefined ? [] : [await resolveId(context, { method: "group", element: "GROUP", isOwned: false }, group)];
  const password = newPassword(context, words[1]);
  terminal.out(
    `ID: ${await rpc.write("one.user.allocate", words[0] ?? "", password, options.get("driver") ?? "core", groups)}\n`,
  );
}

export const USER_PROGRAM: Program = {
  name: "oneuser",
  text: "Users.",
  commands: [
    {
      name: "list",
      words: "",
      text: "Lists Users in the pool",
      options: LIST_OPTIONS,
      example: "oneuser list",
      run: (context) => listObjects(context, USER, TABLE),
    },
    {
      name: "show",
      words: "[<userid>]",
      text: "Shows information for the given User, or for yourself",
      options: SHOW_OPTIONS,
      example: "oneuser show alice",
      run: show,
    },
    {
      name: "create",
      words: "<username> [<password>]",
      text: "Creates a new User; without a password on the command line it is asked for",
      options: [
        { name: "group", value: "id|name", text: "Group of the new user" },
        { name: "driver", value: "driver", text: "Authentication driver: core" },
      ],
      example: "oneuser create alice",
      run: create,
    },
    {
      name: "passwd",
      words: "[<userid>] [<password>]",
      text: "Changes the given User's password, or your own",
      example: "oneuser passwd alice",
      run: async (context) => {
        const id = await userId(context, context.words[0]);
        await context.rpc.write("one.user.passwd", id, newPassword(context, context.words[1]));
      },
    },
    {
      name: "login",
      words: "<username>",
      text: "Makes a login token, which takes the password's place for a time",
      options: [{ name: "time", value: "seconds", text: "How long it is good; -1 for ever. Default: 36000" }],
      example: "oneuser login alice --time 3600",
      run: async ({ rpc, terminal, options, words }) => {
        const time = options.get("time") ?? "36000";
        if (!/^(-1|\d{1,9})$/.test(time)) throw new CommandFailure(`invalid argument: --time ${time}`);
        terminal.out(`${await rpc.once("one.user.login", words[0] ?? "", "", Number(time), -1)}\n`);
      },
    },
    {
      name: "delete",
      words: "<ids>",
      text: "Deletes the given User",
      example: "oneuser delete alice",
      run: (context) => forEachObject(context, USER, (id) => context.rpc.write("one.user.delete", id)),
    },
  ],
};
