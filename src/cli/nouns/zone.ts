import { parseXml, type XmlElement } from "../../one/xml.ts";
import type { Command, Context, Program } from "../command.ts";
import { allAt, at, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { quoted, templateLines } from "../format.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  Page,
  printDocument,
  readPool,
  resolveId,
  SHOW_OPTIONS,
  showObject,
} from "../objects.ts";
import { printTable, type Table } from "../table.ts";

const ZONE: Kind = { method: "zone", element: "ZONE", isOwned: false };

/** How long a server may take to say how it is, ms. A box that is up answers in a few. */
const SERVER_TIMEOUT_MS = 1_000;

/** A zone and how far its log has come; `-` when its endpoint gives no answer. */
interface ZoneRow {
  readonly zone: XmlElement;
  readonly federationIndex: string;
  readonly isCurrent: boolean;
}

const TABLE: Table<ZoneRow> = {
  columns: [
    { name: "CURRENT", text: "Active Zone", size: 1, cell: ({ isCurrent }) => (isCurrent ? "*" : "") },
    { name: "ID", text: "ONE identifier for the Zone", size: 4, cell: ({ zone }) => textAt(zone, "ID") },
    {
      name: "NAME",
      text: "Name of the Zone",
      size: 15,
      left: true,
      expands: true,
      cell: ({ zone }) => textAt(zone, "NAME"),
    },
    {
      name: "ENDPOINT",
      text: "Endpoint of the Zone",
      size: 45,
      left: true,
      cell: ({ zone }) => textAt(zone, "TEMPLATE/ENDPOINT"),
    },
    {
      name: "FED_INDEX",
      text: "Federation index",
      size: 10,
      left: true,
      cell: ({ federationIndex }) => federationIndex,
    },
    {
      name: "STAT",
      text: "Zone status",
      size: 4,
      left: true,
      cell: ({ zone }) => (textAt(zone, "STATE") === "0" ? "on" : "off"),
    },
  ],
  shown: ["CURRENT", "ID", "NAME", "ENDPOINT", "FED_INDEX", "STAT"],
};

async function list(context: Context): Promise<void> {
  const { rpc, terminal, options } = context;
  if (options.has("describe")) return printTable(terminal, TABLE, [], options);
  const source = await readPool(context, ZONE);
  if (printDocument(context, source, "ZONE")) return;
  const rows = await Promise.all(
    allAt(parseXml(source), "", "ZONE").map(async (zone): Promise<ZoneRow> => {
      const endpoint = textAt(zone, "TEMPLATE/ENDPOINT");
      const status = await rpc.probe(endpoint, SERVER_TIMEOUT_MS, "one.zone.raftstatus");
      const federationIndex = status === undefined ? "-" : textAt(parseXml(status), "FEDLOG_INDEX");
      return { zone, federationIndex, isCurrent: endpoint === rpc.endpoint };
    }),
  );
  printTable(terminal, TABLE, rows, options);
}

const STATES = ["ENABLED", "DISABLED"];
const ROLES = ["solo", "candidate", "follower", "leader"];

/** Prints a zone; `statusOf` asks one server for its `<RAFT>`, undefined when it does not answer. */
export async function printZone(
  page: Page,
  zone: XmlElement,
  statusOf: (endpoint: string) => Promise<string | undefined>,
): Promise<void> {
  page.title(`ZONE ${textAt(zone, "ID")} INFORMATION`);
  page.field("ID", textAt(zone, "ID"));
  page.field("NAME", textAt(zone, "NAME"));
  page.field("STATE", STATES[numberAt(zone, "STATE")] ?? textAt(zone, "STATE"));
  page.line();
  page.line();
  const servers = allAt(zone, "SERVER_POOL", "SERVER");
  if (servers.length > 0) {
    page.section("ZONE SERVERS");
    page.tableHead(`${"ID".padStart(2)} ${"NAME".padEnd(15)} ${"ENDPOINT".padEnd(63)}`);
    for (const server of servers) page.line(`${serverHead(server)} ${textAt(server, "ENDPOINT")}`);
    page.line();
    page.section("HA & FEDERATION SYNC STATUS");
    page.tableHead(
      [
        "ID",
        "NAME".padEnd(15),
        "STATE".padEnd(10),
        ..."TERM INDEX COMMIT".split(" ").map((name) => name.padEnd(10)),
        "VOTE ",
        "FED_INDEX ",
      ].join(" "),
    );
    const statuses = await Promise.all(servers.map((server) => statusOf(textAt(server, "ENDPOINT"))));
    servers.forEach((server, index) => {
      page.line(`${serverHead(server)} ${raftCells(statuses[index])}`);
    });
    page.line();
  }
  page.section("ZONE TEMPLATE");
  page.lines(templateLines(at(zone, "TEMPLATE")));
}

function serverHead(server: XmlElement): string {
  return `${textAt(server, "ID").padStart(2)} ${textAt(server, "NAME").slice(0, 15).padEnd(15)}`;
}

function raftCells(status: string | undefined): string {
  const raft = status === undefined ? undefined : parseXml(status);
  const cell = (name: string): string => (raft === undefined ? "-" : textAt(raft, name));
  const role = raft === undefined ? "error" : (ROLES[numberAt(raft, "STATE")] ?? "error");
  const cells = [role, cell("TERM"), cell("LOG_INDEX"), cell("COMMIT")].map((text) => text.padEnd(10));
  return [...cells, cell("VOTEDFOR").padEnd(5), cell("FEDLOG_INDEX")].join(" ").trimEnd();
}

async function addServer({ rpc, terminal, options, words }: Context): Promise<void> {
  const [name, endpoint] = [options.get("name"), options.get("rpc")];
  if (name === undefined || endpoint === undefined) {
    throw new CommandFailure("To add a server set:\n\t-n <server name>\n\t-r <XML-RPC endpoint>");
  }
  const zone = await resolveId({ rpc }, ZONE, words[0] ?? "");
  const grpc = options.get("grpc-endpoint");
  const sections = [
    `NAME=${quoted(name)}`,
    `ENDPOINT=${quoted(endpoint)}`,
    ...(grpc === undefined ? [] : [`ENDPOINT_GRPC=${quoted(grpc)}`]),
  ];
  await rpc.write("one.zone.addserver", zone, `SERVER=[ ${sections.join(", ")} ]`);
  terminal.out(`${endpoint}:\n`);
  const servers = allAt(parseXml(await rpc.read("one.zone.info", zone)), "SERVER_POOL", "SERVER");
  const added = servers.find((server) => textAt(server, "NAME") === name);
  if (added === undefined)
    throw new CommandFailure(
      `Server ${name} was added, but ${rpc.endpoint} does not show it yet: ringfence join-token ID makes its token`,
    );
  // The first server of a zone is the box itself: it is in already.
  if (servers.length === 1) return;
  const id = numberAt(added, "ID");
  terminal.err(`Server ${id} joins with this token, once and within an hour: ringfence join TOKEN on ${name}\n`);
  terminal.out(`${await rpc.once("ringfence.zone.jointoken", id)}\n`);
}

/** A server by its number or its name. */
async function onServer(
  { rpc, words }: Context,
  act: (zone: number, server: number) => Promise<unknown>,
): Promise<void> {
  const [zoneWord = "", word = ""] = words;
  const zone = await resolveId({ rpc }, ZONE, zoneWord);
  if (/^\d+$/.test(word)) return void (await act(zone, Number(word)));
  const servers = allAt(parseXml(await rpc.read("one.zone.info", zone)), "SERVER_POOL", "SERVER");
  const named = servers.find((server) => textAt(server, "NAME") === word);
  if (named === undefined) throw new CommandFailure(`SERVER named ${word} not found.`);
  await act(zone, numberAt(named, "ID"));
}

const enable =
  (isOn: boolean): Command["run"] =>
  (context) =>
    forEachObject(context, ZONE, (id) => context.rpc.write("one.zone.enable", id, isOn));

const SERVER_OPTIONS: Command["options"] = [
  { name: "name", short: "n", value: "name", text: "Zone server name" },
  { name: "rpc", short: "r", value: "url", text: "Zone server XML-RPC endpoint" },
  { name: "grpc-endpoint", short: "g", value: "address", text: "Zone server gRPC endpoint, kept for its readers" },
];

export const ZONE_PROGRAM: Program = {
  name: "onezone",
  text: "The zone: the boxes of this cluster and how they are.",
  commands: [
    {
      name: "list",
      words: "",
      text: "Lists Zones in the pool.",
      options: LIST_OPTIONS,
      example: "onezone list",
      run: list,
    },
    {
      name: "show",
      words: "<zoneid>",
      text: "Shows information for the given Zone. Every server is asked itself.",
      options: SHOW_OPTIONS,
      example: "onezone show 0",
      run: (context) =>
        showObject(context, ZONE, (zone) =>
          printZone(new Page(context.terminal, 18), zone, (endpoint) =>
            context.rpc.probe(endpoint, SERVER_TIMEOUT_MS, "one.zone.raftstatus"),
          ),
        ),
    },
    {
      name: "server-add",
      words: "<zoneid>",
      text: "Add a server to this zone and print the token that it joins with on the last line.\nThe first one is the box itself and needs no token.",
      options: SERVER_OPTIONS,
      example: "onezone server-add 0 --name box1 --rpc http://10.0.0.12:2633/RPC2",
      run: addServer,
    },
    {
      name: "server-del",
      words: "<zoneid> <serverid>",
      text: "Take a server out of this zone.",
      example: "onezone server-del 0 2",
      run: (context) => onServer(context, (zone, server) => context.rpc.once("one.zone.delserver", zone, server)),
    },
    {
      name: "server-reset",
      words: "<zoneid> <serverid>",
      text: "Reset a server of this zone: it takes the whole state anew.",
      example: "onezone server-reset 0 2",
      run: (context) => onServer(context, (zone, server) => context.rpc.once("one.zone.resetserver", zone, server)),
    },
    {
      name: "enable",
      words: "<ids>",
      text: "Enables zone: all calls are taken.",
      example: "onezone enable 0",
      run: enable(true),
    },
    {
      name: "disable",
      words: "<ids>",
      text: "Disables zone: only reading calls are taken.",
      example: "onezone disable 0",
      run: enable(false),
    },
  ],
};
