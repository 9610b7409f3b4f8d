/**
 * Stands in for main: `bun stand-in.ts DIRECTORY`. Says its id in `DIRECTORY/starts` and does what `DIRECTORY/conduct`
 * says: check in (by the product's own code), or hang, end, need a person, ignore SIGTERM, leave a child behind.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { EXIT_NEEDS_PERSON } from "../../../src/base/exit-codes.ts";
import { dieWithParent } from "../../../src/linux/process.ts";
import { openCheckIn } from "../../../src/parts/check-in.ts";
import type { Client } from "../../../src/watchdog/clients.ts";

const [directory = "."] = process.argv.slice(2);
if (!dieWithParent(Number(process.env["RINGFENCE_PARENT"]))) process.exit(0);
appendFileSync(`${directory}/starts`, `${process.pid} ${performance.timeOrigin + performance.now()}\n`);
const conduct = readFileSync(`${directory}/conduct`, "utf8").trim();
if (conduct === "end") process.exit(1);
if (conduct === "need-person") process.exit(EXIT_NEEDS_PERSON);
if (conduct === "hang") process.kill(process.pid, "SIGSTOP");
if (conduct === "leave-child") {
  // In a session of its own: only the cgroup still knows whose it is.
  const child = Bun.spawn(["setsid", "sleep", "60"], { stdio: ["ignore", "ignore", "ignore"] });
  appendFileSync(`${directory}/children`, `${child.pid}\n`);
}
process.on("SIGTERM", () => {
  appendFileSync(`${directory}/terminated`, `${process.pid}\n`);
  if (conduct !== "ignore-term") process.exit(0);
});
const frozen = new Set<Client>();
const checkIn = openCheckIn(`${directory}/supervisor.sock`, (client) => frozen.add(client));
setInterval(() => {
  for (const client of ["raft", "apply", "disk", "api"] as const)
    if (!frozen.has(client)) checkIn.returned(client, checkIn.token());
}, 100);
checkIn.phase("started");
