/**
 * Looks at guests' disks every 10 ms and writes down each new record with the time at which it was seen.
 * `disk-main.ts FILE NAME=PATH ...`; ends with its standard input.
 */
import { existsSync } from "node:fs";
import { monotonicMs } from "../command.ts";
import { lastRecord } from "../guest/record.ts";
import { EventFile } from "./event-file.ts";

const [path = "", ...words] = process.argv.slice(2);
const LOOK_MS = 10;
const guests = words.map((word) => {
  const at = word.indexOf("=");
  return { name: word.slice(0, at), disk: word.slice(at + 1), seen: "" };
});

const events = new EventFile(path);
let running = true;
process.stdin.on("end", () => {
  running = false;
});
process.stdin.resume();
events.add({ kind: "ready", atMs: monotonicMs() });

while (running) {
  for (const guest of guests) {
    const record = existsSync(guest.disk) ? lastRecord(guest.disk) : undefined;
    const seen = `${record?.number} ${record?.bootId}`;
    if (record === undefined || seen === guest.seen) continue;
    guest.seen = seen;
    events.add({ kind: "record", atMs: monotonicMs(), target: guest.name, ...record });
  }
  events.flush();
  await Bun.sleep(LOOK_MS);
}
events.close();
