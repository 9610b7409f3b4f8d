/** A supervisor on a main of the tests, with short limits: `bun supervised.ts DIRECTORY [JSON of options]`. */
import { supervise } from "../../../src/parts/supervision.ts";
import { SHORT_LIMITS } from "./short-limits.ts";

const [directory = ".", options = "{}"] = process.argv.slice(2);
supervise({
  command: [process.execPath, `${import.meta.dir}/stand-in.ts`, directory],
  environment: { UV_THREADPOOL_SIZE: "2" },
  limits: SHORT_LIMITS,
  device: `${directory}/dog`,
  deviceTimeoutMs: 1000,
  cgroup: `test-${process.pid}`,
  socket: `${directory}/supervisor.sock`,
  lock: `${directory}/supervisor.lock`,
  log: `${directory}/supervisor.log`,
  resetReason: `${directory}/reset-reason`,
  boots: `${directory}/boots`,
  lastEnd: `${directory}/last-end`,
  recovery: `${directory}/recovery`,
  records: `${directory}/records`,
  attendants: [],
  ...JSON.parse(options),
});
