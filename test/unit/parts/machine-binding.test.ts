// An identity is at home on one machine: a copy of its data directory elsewhere does not run until a person says so.
import * as fs from "node:fs";
import * as os from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createIdentity, loadIdentity, type Machine, saveIdentity } from "../../../src/cluster/identity.ts";
import {
  acceptMachine,
  bindMachine,
  isAccepted,
  machineObstacle,
  movedStandDown,
  readMachine,
} from "../../../src/parts/machine-binding.ts";
import { readStandDown, recordStandDown } from "../../../src/parts/stand-down.ts";

const place = fs.mkdtempSync(`${os.tmpdir()}/machine-`);
const directory = (): string => fs.mkdtempSync(`${place}/`);
test.after(() => fs.rmSync(place, { recursive: true }));

const machine = (board: string | null, disk: string | null): Machine => ({ board, disk });

/** A sysfs with a disk `sda` (8:0) whose partition 8:2 holds `data`, under a root of 8:1. */
function fakeKernel(data: string, board: string | undefined, serial: string | undefined) {
  const sys = directory();
  fs.mkdirSync(`${sys}/class/dmi/id`, { recursive: true });
  if (board !== undefined) fs.writeFileSync(`${sys}/class/dmi/id/product_uuid`, `${board}\n`);
  const disk = `${sys}/devices/sda`;
  fs.mkdirSync(`${disk}/sda2`, { recursive: true });
  fs.mkdirSync(`${disk}/device`);
  fs.writeFileSync(`${disk}/sda2/partition`, "2\n");
  if (serial !== undefined) fs.writeFileSync(`${disk}/device/serial`, ` ${serial} \n`);
  fs.mkdirSync(`${sys}/dev/block`, { recursive: true });
  fs.symlinkSync(`${disk}/sda2`, `${sys}/dev/block/8:2`);
  const mounts = `${sys}/mountinfo`;
  fs.writeFileSync(
    mounts,
    `21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:9 / ${data}x rw - ext4 /dev/sda9 rw\n23 21 8:2 / ${data} rw - ext4 /dev/sda2 rw\n`,
  );
  return { sys, mounts };
}

test("board and disk are read from the kernel: the disk is the one that holds the data directory", () => {
  const data = directory();
  const board = "4C4C4544-0038-4210-8044-B9C04F463232";
  assert.equal(readMachine(data, fakeKernel(data, board, "WD-123")), machine(board.toLowerCase(), "wd-123"));
  assert.equal(readMachine(`${data}/`, fakeKernel(data, undefined, undefined)), machine(null, null));
});

test("a number that every board of a kind has is none", () => {
  const data = directory();
  for (const board of [
    "00000000-0000-0000-0000-000000000000",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "03000200-0400-0500-0006-000700080009",
  ])
    assert.is(readMachine(data, fakeKernel(data, board, undefined)).board, null, board);
});

test("another board is another machine, whatever the disk; the same one is the same, also with a new disk", () => {
  assert.match(String(machineObstacle(machine("a", "x"), machine("b", "x"))), /board a before, b now/);
  assert.match(String(machineObstacle(machine("a", "x"), machine("b", "y"))), /board a/);
  assert.is(machineObstacle(machine("a", "x"), machine("a", "y")), undefined);
});

test("where a board tells nothing, the disk decides; where nothing is known, nothing is refused", () => {
  assert.match(String(machineObstacle(machine(null, "x"), machine(null, "y"))), /disk x before, y now/);
  assert.match(String(machineObstacle(machine("a", "x"), machine(null, "y"))), /disk x/);
  assert.is(machineObstacle(machine(null, "x"), machine(null, "x")), undefined);
  assert.is(machineObstacle(machine(null, "x"), machine("b", null)), undefined);
  assert.is(machineObstacle(undefined, machine("b", "y")), undefined);
});

test("the first start binds an identity, a later one forgets nothing, and accepting binds it anew", async () => {
  const data = directory();
  saveIdentity(data, await createIdentity({ lineage: "0011223344556677", generation: 1 }));
  const stored = () => {
    const identity = loadIdentity(data);
    if (identity === undefined) throw new Error("no identity");
    return identity;
  };
  assert.equal(bindMachine(data, stored(), machine("a", "x")).machine, machine("a", "x"));
  bindMachine(data, stored(), machine(null, "y"));
  assert.equal(stored().machine, machine("a", "y"), "a board that is silent once is not forgotten");
  recordStandDown(data, movedStandDown("board a before, b now", ""));
  assert.match(readStandDown(data)?.text ?? "", /moved or cloned\?.*ringfence identity accept/);
  assert.is(isAccepted(data), false);
  fs.writeFileSync(`${data}/machine-accepted`, "");
  assert.is(isAccepted(data), true);
  acceptMachine(data, stored(), machine("b", "y"));
  assert.equal(stored().machine, machine("b", "y"));
  assert.is(readStandDown(data), undefined);
  assert.is(isAccepted(data), false, "it counts once");
});

test("accepting the machine ends no other standing down", async () => {
  const data = directory();
  const identity = bindMachine(data, await createIdentity(null), machine("a", null));
  recordStandDown(data, { kind: "removed", text: "removed", at: "" });
  fs.writeFileSync(`${data}/machine-accepted`, "");
  acceptMachine(data, identity, machine("a", null));
  assert.is(readStandDown(data)?.kind, "removed");
  assert.is(isAccepted(data), false);
});

test.run();
