// What a box leaves behind when it is no member any more: nothing is lost at any crash, and no half of it is used.
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  damagedStandDown,
  finishSetAside,
  forgetRejoins,
  mayRejoin,
  readStandDown,
  recordStandDown,
  setAside,
  standDownOf,
} from "../../../src/parts/stand-down.ts";

const cluster = { lineage: "0011223344556677", generation: 1 };
const member = { raftId: "aa", serverId: 2, name: "box2", certificateHash: "", peerAddress: "" };
const fact = standDownOf({ kind: "removed", index: 9 }, { cluster, member }, "2026-01-01T00:00:00Z");

function directory(content: string): string {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), "stand-down-"));
  fill(data, content);
  return data;
}

function fill(data: string, content: string): void {
  for (const name of ["log", "state"]) {
    fs.mkdirSync(`${data}/${name}`, { recursive: true });
    fs.writeFileSync(`${data}/${name}/file`, content);
  }
  for (const name of ["identity.json", "bootstrap.json", "cluster.key"]) fs.writeFileSync(`${data}/${name}`, content);
  fs.mkdirSync(`${data}/joining`, { recursive: true });
  fs.writeFileSync(`${data}/lock`, "");
}

test("a box says what became of it and what to do", () => {
  assert.match(fact.text, /This box \(server 2, "box2"\) was removed from its cluster 0011223344556677/);
  assert.match(fact.text, /ringfence join TOKEN here/);
  const order = { kind: "generation", cluster: { ...cluster, generation: 4 } } as const;
  const { text } = standDownOf(order, { cluster, member: undefined }, "");
  assert.match(text, /goes on as generation 4, and it is of generation 1/);
});

test("the first reason stays", () => {
  const data = directory("one");
  assert.is(readStandDown(data), undefined);
  recordStandDown(data, fact);
  recordStandDown(data, { ...fact, text: "other" });
  assert.equal(readStandDown(data), fact);
  fs.rmSync(data, { recursive: true });
});

test("a damaged box may take its own place three times, until a person joins it", () => {
  const data = directory("one");
  const damage = () => damagedStandDown(data, "The log is damaged", "2026-01-01T00:00:00Z");
  for (let time = 1; time <= 3; time++) {
    assert.is(mayRejoin(damage()), true, `time ${time}`);
    assert.match(damage().text, /asks the others to take it in again/);
    recordStandDown(data, damage());
    setAside(data);
    fill(data, "again");
  }
  assert.is(mayRejoin(damage()), false);
  assert.match(damage().text, /The log is damaged. It was damaged 4 times: look at its disk/);
  recordStandDown(data, damage());
  forgetRejoins(data, damage());
  setAside(data);
  assert.is(mayRejoin(damage()), true);
  assert.is(mayRejoin(fact), false, "who was removed is not");
  assert.is(mayRejoin(undefined), false);
  fs.rmSync(data, { recursive: true });
});

test("setting aside moves the whole membership, keeps one, and ends the standing down", () => {
  const data = directory("one");
  recordStandDown(data, fact);
  setAside(data);
  assert.equal(fs.readdirSync(data).sort(), ["former", "joining", "lock"]);
  assert.is(fs.readFileSync(`${data}/former/log/file`, "utf8"), "one");
  assert.is(fs.readFileSync(`${data}/former/identity.json`, "utf8"), "one");
  fill(data, "two");
  recordStandDown(data, fact);
  setAside(data);
  assert.is(fs.readFileSync(`${data}/former/state/file`, "utf8"), "two");
  assert.equal(fs.readdirSync(data).sort(), ["former", "joining", "lock"], "one former membership, not a heap");
  fs.rmSync(data, { recursive: true });
});

test("a crash at any rename: the box stands down still or is empty, and the next attempt ends the same", () => {
  for (let crashAt = 0; ; crashAt++) {
    const data = directory("one");
    recordStandDown(data, fact);
    fs.mkdirSync(`${data}/former`);
    fs.writeFileSync(`${data}/former/old`, "old");
    const crashed = breakAt(data, crashAt);
    if (crashed) {
      // The next start: still standing down, or everything is out of the way.
      finishSetAside(data);
      const isWhole = fs.existsSync(`${data}/identity.json`) && fs.existsSync(`${data}/log`);
      if (readStandDown(data) === undefined)
        assert.equal(fs.readdirSync(data).sort(), ["former", "joining", "lock"], `crash ${crashAt}`);
      else if (!isWhole) assert.ok(fs.existsSync(`${data}/former.new`), "nothing is lost on the way");
      if (readStandDown(data) !== undefined) setAside(data);
    }
    assert.equal(fs.readdirSync(data).sort(), ["former", "joining", "lock"]);
    assert.equal(fs.readdirSync(`${data}/former`).sort(), [
      "bootstrap.json",
      "cluster.key",
      "identity.json",
      "log",
      "state",
      "stood-down.json",
    ]);
    fs.rmSync(data, { recursive: true });
    if (!crashed) {
      assert.ok(crashAt >= 7, `${crashAt} renames`);
      return;
    }
  }
});

/** Sets aside with a power cut before rename number `count`. True when it came to that. */
function breakAt(data: string, count: number): boolean {
  let left = count;
  try {
    setAside(data, (from, to) => {
      if (left-- === 0) throw new Error("power cut");
      fs.renameSync(from, to);
    });
    return false;
  } catch (error) {
    assert.match(String(error), "power cut");
    return true;
  }
}

test.run();
