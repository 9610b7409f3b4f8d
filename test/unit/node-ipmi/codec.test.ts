import { createDecipheriv, createHmac } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeChassisStatus, decodeDeviceId, encodeChassisStatus } from "../../../src/node-ipmi/codec/commands.ts";
import { guidMatches, guidReadings } from "../../../src/node-ipmi/codec/guid.ts";
import { decodeOpenRequest, encodeOpenRequest, encodeRakp1 } from "../../../src/node-ipmi/codec/handshake-messages.ts";
import { type Exchange, padSecret, rakp2Code, sessionKeys } from "../../../src/node-ipmi/codec/keys.ts";
import { decodeMessage, encodeMessage } from "../../../src/node-ipmi/codec/message.ts";
import { decodePacket, encodeOutside, encodeSealed, unseal } from "../../../src/node-ipmi/codec/packet.ts";
import { SequenceWindow } from "../../../src/node-ipmi/codec/sequence-window.ts";
import { type SuiteId, suiteOf } from "../../../src/node-ipmi/codec/suites.ts";

const SUITES: readonly SuiteId[] = [3, 17];

test("Get Channel Authentication Capabilities is, byte for byte, what the tables lay out", () => {
  const message = encodeMessage({ netFn: 6, command: 0x38, requestSequence: 0, data: Buffer.from([0x8e, 0x04]) });
  const datagram = encodeOutside(message);
  assert.is(datagram.toString("hex"), "0600ff070000000000000000000920" + "18c88100388e04b5");
});

test("a message survives the way there and back, and a turned bit anywhere is noticed", () => {
  const message = { netFn: 0, command: 2, requestSequence: 63, data: Buffer.from([0]) };
  const bytes = encodeMessage(message);
  assert.equal(decodeMessage(bytes), { ...message, areChecksumsRight: true });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const broken = Buffer.from(bytes);
    broken[bit >> 3] = broken.readUInt8(bit >> 3) ^ (1 << (bit & 7));
    assert.is(decodeMessage(broken)?.areChecksumsRight, false, `bit ${bit}`);
  }
});

test("Open Session carries the real privilege and the three algorithm blocks", () => {
  const bytes = encodeOpenRequest(7, 3, 0x01020304, suiteOf(17));
  assert.is(bytes.toString("hex"), "0703000004030201" + "0000000803000000" + "0100000804000000" + "0200000801000000");
  assert.equal(decodeOpenRequest(bytes), {
    tag: 7,
    privilege: 3,
    consoleId: 0x01020304,
    algorithms: { authentication: 3, integrity: 4, confidentiality: 1 },
  });
});

test("RAKP 1 holds the name right after its length, and the full form is 44 bytes", () => {
  const rakp1 = { tag: 1, bmcId: 2, consoleRandom: Buffer.alloc(16, 9), role: 0x13, user: Buffer.from("admin") };
  const bytes = encodeRakp1(rakp1);
  assert.is(bytes.length, 33);
  assert.is(bytes.subarray(24).toString("hex"), `13000005${Buffer.from("admin").toString("hex")}`);
  assert.is(encodeRakp1(rakp1, true).length, 44);
});

test("the RAKP 2 code is the HMAC over ids, nonces, GUID, role and name, with the password padded to 20 bytes", () => {
  const exchange: Exchange = {
    consoleId: 0x0a0b0c0d,
    bmcId: 0x01020304,
    consoleRandom: Buffer.alloc(16, 0x11),
    bmcRandom: Buffer.alloc(16, 0x22),
    guid: Buffer.alloc(16, 0x33),
    role: 0x14,
    user: Buffer.from("ab"),
  };
  const text = `0d0c0b0a04030201${"11".repeat(16)}${"22".repeat(16)}${"33".repeat(16)}14026162`;
  for (const id of SUITES) {
    const suite = suiteOf(id);
    const key = Buffer.concat([Buffer.from("secret"), Buffer.alloc(14)]);
    const expected = createHmac(suite.hash, key).update(Buffer.from(text, "hex")).digest();
    assert.is(rakp2Code(suite, padSecret(Buffer.from("secret")), exchange).toString("hex"), expected.toString("hex"));
  }
});

test("K1 and K2 are made from 20 bytes of 01 and 02, for SHA-256 too", () => {
  const sik = Buffer.alloc(32, 5);
  const keys = sessionKeys(suiteOf(17), sik);
  const constant = (byte: number) => createHmac("sha256", sik).update(Buffer.alloc(20, byte)).digest();
  assert.is(keys.integrityKey.toString("hex"), constant(1).toString("hex"));
  assert.is(keys.cipherKey.toString("hex"), constant(2).subarray(0, 16).toString("hex"));
});

for (const id of SUITES) {
  const keys = sessionKeys(suiteOf(id), Buffer.alloc(32, 7));

  test(`suite ${id}: a sealed packet has the padding, trailer and code of the tables, for every payload length`, () => {
    for (let length = 1; length <= 40; length++) {
      const payload = Buffer.alloc(length, 0xab);
      const iv = Buffer.alloc(16, 3);
      const datagram = encodeSealed(keys, 0, 0x01020304, 5, payload, iv);
      const codeAt = datagram.length - suiteOf(id).authCodeBytes;
      assert.is(datagram.subarray(0, 14).toString("hex"), "0600ff0706c00403020105000000");
      const bodyBytes = datagram.readUInt16LE(14);
      assert.is((codeAt - 4) % 4, 0);
      assert.is(datagram[codeAt - 1], 0x07);
      const padBytes = datagram.readUInt8(codeAt - 2);
      assert.is(16 + bodyBytes + padBytes + 2, codeAt);
      const decipher = createDecipheriv("aes-128-cbc", keys.cipherKey, iv).setAutoPadding(false);
      const plain = Buffer.concat([decipher.update(datagram.subarray(32, 16 + bodyBytes)), decipher.final()]);
      const confidentialityPad = plain.subarray(length, -1);
      assert.equal(plain.subarray(0, length), payload);
      assert.equal(
        [...confidentialityPad],
        Array.from({ length: plain.length - length - 1 }, (_, at) => at + 1),
      );
      assert.is(plain[plain.length - 1], confidentialityPad.length);
    }
  });

  test(`suite ${id}: a turned bit, a cut end or another key is refused; the untouched packet is read`, () => {
    const payload = Buffer.from("answer");
    const datagram = encodeSealed(keys, 0, 1, 1, payload);
    const read = (bytes: Buffer, withKeys = keys) => {
      const packet = decodePacket(bytes);
      return packet?.kind === "plus" ? unseal(withKeys, packet) : undefined;
    };
    assert.equal(read(datagram), payload);
    for (let bit = 4 * 8; bit < datagram.length * 8; bit++) {
      const broken = Buffer.from(datagram);
      broken[bit >> 3] = broken.readUInt8(bit >> 3) ^ (1 << (bit & 7));
      assert.is(read(broken), undefined, `bit ${bit}`);
    }
    for (let length = 0; length < datagram.length; length++) assert.is(read(datagram.subarray(0, length)), undefined);
    assert.is(read(datagram, sessionKeys(suiteOf(id), Buffer.alloc(32, 8))), undefined);
  });
}

test("a sequence number is taken once, late ones within 32, and gaps are no obstacle", () => {
  const window = new SequenceWindow();
  assert.is(window.accept(0), false);
  assert.is(window.accept(1), true);
  assert.is(window.accept(1), false);
  assert.is(window.accept(20), true);
  assert.is(window.accept(5), true);
  assert.is(window.accept(5), false);
  assert.is(window.accept(20 + 33), false);
  assert.is(window.accept(20 + 32), true);
  assert.is(window.accept(20), false);
  assert.is(window.accept(21), true);
  assert.is(window.accept(52), false);
});

test("the sequence window goes on past the highest number", () => {
  const near = new SequenceWindow();
  for (let number = 1; number < 200; number++) assert.is(near.accept(number), true);
  for (let number = 168; number < 200; number++) assert.is(near.accept(number), false);
});

test("a chassis status keeps all its facts on the way there and back", () => {
  for (let bits = 0; bits < 256; bits++) {
    const bytes = Buffer.from([bits & 0x7f, bits & 0x1f, 0]);
    const status = decodeChassisStatus(bytes);
    assert.ok(status);
    assert.equal(encodeChassisStatus(status), bytes);
  }
  const status = decodeChassisStatus(Buffer.from([0x41, 0x11, 0]));
  assert.is(status?.isPowerOn, true);
  assert.is(status?.restorePolicy, "on");
  assert.equal(status?.lastEvent, {
    acFailed: true,
    overload: false,
    interlock: false,
    powerFault: false,
    turnedOnByCommand: true,
  });
  assert.is(decodeChassisStatus(Buffer.from([1, 0])), undefined);
});

test("a device id reads as vendors print it", () => {
  const data = Buffer.from("20810342028057010034121700".slice(0, 22), "hex");
  assert.equal(decodeDeviceId(data), {
    deviceId: 0x20,
    deviceRevision: 1,
    firmware: "3.42",
    ipmiVersion: "2.0",
    manufacturerId: 343,
    productId: 0x1234,
    isAvailable: true,
  });
});

test("a GUID matches in each byte order, and a blank one matches nothing", () => {
  const guid = Buffer.from("00112233445566778899aabbccddeeff", "hex");
  assert.equal(guidReadings(guid), {
    straight: "00112233-4455-6677-8899-aabbccddeeff",
    smbios: "33221100-5544-7766-8899-aabbccddeeff",
    reversed: "ffeeddcc-bbaa-9988-7766-554433221100",
  });
  assert.ok(guidMatches(guid, "33221100-5544-7766-8899-AABBCCDDEEFF"));
  assert.ok(guidMatches(guid, "FFEEDDCCBBAA99887766554433221100"));
  assert.not(guidMatches(guid, "33221100-5544-7766-8899-aabbccddeefe"));
  assert.not(guidMatches(Buffer.alloc(16), "00000000-0000-0000-0000-000000000000"));
});

test.run();
