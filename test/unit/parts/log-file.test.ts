import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openLogFile } from "../../../src/parts/log-file.ts";

function inDirectory(run: (directory: string) => void): void {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "log-file-"));
  try {
    run(directory);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

test("a log is turned at its bound, and four old ones are kept", () =>
  inDirectory((directory) => {
    const log = openLogFile(`${directory}/x.log`, 1000);
    for (let line = 0; line < 200; line++) log.write(`line ${line} ${"-".repeat(50)}`);
    const names = fs.readdirSync(directory).sort();
    assert.equal(names, ["x.log", "x.log.1", "x.log.2", "x.log.3", "x.log.4"]);
    for (const name of names) assert.ok(fs.statSync(`${directory}/${name}`).size <= 1000, name);
    assert.match(fs.readFileSync(`${directory}/x.log`, "utf8"), "line 199");
    assert.is(fs.statSync(`${directory}/x.log`).mode & 0o777, 0o640);
  }));

test("a log that cannot be turned goes on in its file, and never writes into another's", () =>
  inDirectory((directory) => {
    const logs = `${directory}/logs`;
    fs.mkdirSync(logs);
    const log = openLogFile(`${logs}/x.log`, 1000);
    fs.rmSync(logs, { recursive: true });
    for (let line = 0; line < 50; line++) log.write(`line ${line} ${"-".repeat(50)}`);
    // Whatever numbers were closed meanwhile are given to these.
    const others = Array.from({ length: 8 }, (_, n) => fs.openSync(`${directory}/data${n}`, "w+"));
    for (let line = 0; line < 50; line++) log.write(`line ${line} ${"-".repeat(50)}`);
    for (const [n, file] of others.entries()) {
      assert.is(fs.readFileSync(`${directory}/data${n}`, "utf8"), "");
      fs.writeSync(file, "still open");
      fs.closeSync(file);
    }
  }));

test.run();
