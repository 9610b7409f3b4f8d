import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { type BackupHeader, readBackupHeader, writeBackup } from "../../store/snapshot/backup.ts";
import { copyDurably, writeDurably } from "../../store/snapshot/files.ts";
import type { SnapshotManifest } from "../../store/snapshot/manifest.ts";
import type { Context, Program } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import type { Option } from "../options.ts";

const DATA = "/var/lib/one";
const KEY_FILE = `${DATA}/cluster.key`;
const AUTH_FILE = `${DATA}/.one/one_auth`;
const RESTORE = `${DATA}/restore`;
const FORCE: Option = { name: "force", short: "f", text: "Replace what is there" };

/** A consistent copy of what this box has applied, with what is needed to begin anew from it, in one file. */
async function backup({ rpc, terminal, options, words }: Context): Promise<void> {
  if (!existsSync(KEY_FILE)) throw new CommandFailure("A backup is made on a box: this machine is none");
  const { manifest, path } = JSON.parse(await rpc.once("ringfence.database.snapshot")) as {
    readonly manifest: SnapshotManifest;
    readonly path: string;
  };
  const file = words[0] ?? `onedb-${manifest.index}.backup`;
  if (existsSync(file) && !options.has("force"))
    throw new CommandFailure(`File already exists: ${file} use -f to overwrite.`);
  if (!existsSync(path)) throw new CommandFailure("The snapshot is on another box: call onedb on the box itself");
  const oneAuth = existsSync(AUTH_FILE) ? readFileSync(AUTH_FILE, "utf8").trim() : undefined;
  const header: BackupHeader = { manifest, clusterKey: readFileSync(KEY_FILE).toString("base64"), oneAuth };
  await writeBackup(file, header, path);
  terminal.out(
    `Backup at entry ${manifest.index} stored in ${file}\nIt holds the cluster's key and oneadmin's password: keep it as you keep those.\nUse 'onedb restore' to restore it.\n`,
  );
}

/** Lays the backup down where the box's main finds it; it takes effect at main's next start. */
async function restore({ rpc, terminal, options, words }: Context): Promise<void> {
  const file = words[0] ?? "";
  if (!existsSync(DATA)) throw new CommandFailure("A backup is restored on a box: this machine is none");
  if (!existsSync(file)) throw new CommandFailure(`File ${file} does not exist`);
  const { manifest } = readBackupHeader(file);
  const server = options.get("server");
  if (server !== undefined && !/^\d{1,4}$/.test(server))
    throw new CommandFailure(`invalid argument: --server ${server}`);
  const isMember = existsSync(`${DATA}/identity.json`);
  if (isMember && !options.has("force"))
    throw new CommandFailure(
      `This box has a state. With -f the backup takes its place (what it has now is kept in ${DATA}/former until the next time), the box goes on alone as a new generation of its cluster, and the other boxes are joined again`,
    );
  rmSync(RESTORE, { recursive: true, force: true });
  mkdirSync(RESTORE, { recursive: true, mode: 0o700 });
  await copyDurably(file, `${RESTORE}/backup`);
  // Last: with it the backup counts.
  writeDurably(`${RESTORE}/request.json`, JSON.stringify(server === undefined ? {} : { serverId: Number(server) }));
  if (!isMember)
    terminal.err(
      "Boxes of this cluster that still run do not know this box and go on: they must be off until they are joined again.\n",
    );
  const isTold = isMember && (await isDone(() => rpc.once("ringfence.database.restore")));
  terminal.out(
    `The backup at entry ${manifest.index} is laid down; the box ${isTold || !isMember ? "starts with it now" : "does not answer and restores it at its next start"}.\nringfence status tells when it leads again.\n`,
  );
}

/** A box that does not answer is no failure of the command. */
async function isDone(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch {
    return false;
  }
}

export const DATABASE_PROGRAM: Program = {
  name: "onedb",
  text: "Backup and restore of the state.",
  commands: [
    {
      name: "backup",
      words: "[<output_file>]",
      text: "Writes what this box has applied to a file: state, cluster key and oneadmin's credentials.\nWithout a name: onedb-<entry>.backup",
      options: [FORCE],
      example: "onedb backup /mnt/usb/monday.backup",
      run: backup,
    },
    {
      name: "restore",
      words: "<backup_file>",
      text: "Makes this box the first one of a new generation of the backup's cluster, with its state.\nFencing is disarmed then, the other boxes are joined again with ringfence join-token",
      options: [
        FORCE,
        {
          name: "server",
          value: "serverid",
          text: "Which of the backup's servers this box is, where it does not know",
        },
      ],
      example: "onedb restore -f /mnt/usb/monday.backup",
      run: restore,
    },
  ],
};
