import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  arpAnnouncement,
  arpProbe,
  arpReplyAnnouncement,
  decodeArp,
  ipBytes,
  macBytes,
} from "../../../src/linux/arp.ts";

const MAC = "02:00:5e:10:00:01";
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("the announcement is a broadcast request whose sender and target address are the VIP", () => {
  assert.is(
    hex(arpAnnouncement(MAC, "10.3.3.2")),
    `ffffffffffff02005e1000010806000108000604000102005e1000010a0303020000000000000a030302`,
  );
});

test("the reply form names the sender as target, never a broadcast", () => {
  const packet = decodeArp(arpReplyAnnouncement(MAC, "10.3.3.2"));
  assert.equal(packet, {
    operation: "reply",
    senderMac: MAC,
    senderIp: "10.3.3.2",
    targetMac: MAC,
    targetIp: "10.3.3.2",
  });
});

test("a probe has no sender address", () => {
  const packet = decodeArp(arpProbe(MAC, "10.3.3.2"));
  assert.is(packet?.senderIp, "0.0.0.0");
  assert.is(packet?.targetIp, "10.3.3.2");
  assert.is(packet?.operation, "request");
});

test("a frame with padding is read, anything else than ARP for IPv4 on Ethernet is not", () => {
  const frame = arpAnnouncement(MAC, "10.3.3.2");
  const padded = new Uint8Array(60);
  padded.set(frame);
  assert.is(decodeArp(padded)?.senderIp, "10.3.3.2");
  assert.is(decodeArp(frame.subarray(0, 41)), undefined);
  for (const at of [12, 14, 16, 18, 20]) {
    const broken = frame.slice();
    broken[at] = 0x7f;
    assert.is(decodeArp(broken), undefined, `byte ${at}`);
  }
});

test("text that is no MAC or address is refused with its value", () => {
  for (const ip of ["10.3.3", "10.3.3.256", "10.3.3.2/24", "", "10.3.3.-1", "::1"]) {
    assert.throws(() => ipBytes(ip), /Cannot parse IPv4 address/);
  }
  assert.throws(() => macBytes("02:00:5e:10:00"), /Cannot parse MAC "02:00:5e:10:00"/);
});

test.run();
