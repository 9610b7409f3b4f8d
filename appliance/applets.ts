import { readFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";

/** The first names of busybox's own table, as they lie in the program. */
const TABLE_BEGINS = Buffer.from("[\0[[\0");

/** The applets of a busybox, read from the program itself: it may be one for another machine, which cannot be asked. */
export function busyboxApplets(path: string): readonly string[] {
  const bytes = readFileSync(path);
  const from = bytes.indexOf(TABLE_BEGINS);
  const to = bytes.indexOf("\0\0", from);
  const names = from < 0 || to < 0 ? [] : bytes.toString("latin1", from, to).split("\0");
  for (const name of ["init", "sh", "mount", "switch_root", "modprobe", "udhcpc"])
    if (!names.includes(name)) throw new CodedError("busybox", `Cannot use "${path}": it has no applet "${name}"`);
  return names.filter((name) => /^[\w[.-]+$/.test(name));
}
