import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseEventLine } from "../../../src/hypervisor/domain-event.ts";
import { decodeTitle, domainUuid, encodeTitle } from "../../../src/hypervisor/domain-identity.ts";
import { isActive, parseDomainList } from "../../../src/hypervisor/domain-list.ts";

test("a list has our domains with their identity and the others without", () => {
  const list = parseDomainList(`
 1     one-7         running     ringfence c-1 7 3
 12    my own vm     paused      Anna's machine
 13    bare          in shutdown
 -     old           shut off    ringfence c-1 8 1

`);
  assert.equal(list, [
    { name: "one-7", state: "running", identity: { clusterId: "c-1", vmId: 7, epoch: 3 } },
    { name: "my own vm", state: "paused", identity: undefined },
    { name: "bare", state: "in shutdown", identity: undefined },
    { name: "old", state: "shut off", identity: { clusterId: "c-1", vmId: 8, epoch: 1 } },
  ]);
  assert.equal(list.map(isActive), [true, true, true, false]);
});

test("an empty list is no domain, and an unreadable row is a foreign domain that may run", () => {
  assert.equal(parseDomainList("\n\n"), []);
  assert.equal(parseDomainList("what"), [{ name: "what", state: "other", identity: undefined }]);
});

test("a title carries the identity there and back, and nobody else's title is taken for one", () => {
  const identity = { clusterId: "3f2c", vmId: 12, epoch: 4 };
  assert.equal(decodeTitle(encodeTitle(identity)), identity);
  for (const title of [
    "",
    "ringfence",
    "ringfence a 1",
    "ringfence a 1 2 3",
    "my ringfence a 1 2",
    "ringfence a -1 2",
  ]) {
    assert.is(decodeTitle(title), undefined, title);
  }
});

test("the UUID of a VM is the same for every deploy and another one for every VM and cluster", () => {
  assert.is(domainUuid("a", 1), domainUuid("a", 1));
  assert.is(new Set([domainUuid("a", 1), domainUuid("a", 2), domainUuid("b", 1), domainUuid("a", 11)]).size, 4);
  assert.match(domainUuid("a", 1), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("events are read as virsh prints them, and those that nobody acts on are left out", () => {
  const at = "2026-11-20 09:44:31.531+0000: ";
  assert.equal(parseEventLine(`${at}event 'lifecycle' for domain 'one-7': Started Booted`), {
    kind: "started",
    name: "one-7",
    cause: "other",
    detail: "Booted",
  });
  assert.equal(parseEventLine(`${at}event 'lifecycle' for domain 'one-7': Stopped Failed`), {
    kind: "stopped",
    name: "one-7",
    cause: "failed",
    detail: "Failed",
  });
  // As libvirt 7 and older print it.
  assert.is(parseEventLine(`${at}event 'lifecycle' for domain one-7: Crashed Panicked`)?.kind, "crashed");
  assert.is(parseEventLine(`${at}event 'io-error' for domain 'one-7': /d (virtio-disk0) pause`)?.kind, "io-error");
  assert.is(parseEventLine(`${at}event 'rtc-change' for domain 'one-7': 0`), undefined);
  assert.is(parseEventLine("events received: 4"), undefined);
});

test.run();
