// UEFI's Secure Boot starts a secure image's loader when its owner has signed it, and not before. time-limit: 900 s
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command } from "../../appliance/command.ts";
import { SECURE_BOOT } from "../../appliance/emulator.ts";
import { signLoader } from "../../appliance/grub.ts";
import { partitionOffset } from "../../appliance/partitions.ts";
import { aBox, healthy } from "../support/image/box.ts";
import { theSecureImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const LOADER = "::EFI/BOOT/BOOTX64.EFI";
const image = await theSecureImage();

test("the loader is refused by the firmware until the key that it trusts has signed it; then the box comes up secure", async () => {
  const box = await aBox(image, { isUefi: true, hasSecureBoot: true });
  const directory = mkdtempSync(join(tmpdir(), "ringfence-loader-"));
  try {
    await box.powerOn();
    await box.expect(/Access Denied/, BOOT_MS);
    assert.not.match(box.text, /ringfence: slot/);
    await box.powerCut();

    const [esp, loader, signed] = [`${box.disk}@@${partitionOffset("ringfence-esp")}`, "loader", "signed"];
    const path = (name: string): string => join(directory, name);
    const { key, passphrase, certificate } = SECURE_BOOT;
    const pem = createPrivateKey({ key: readFileSync(key), passphrase }).export({ type: "pkcs8", format: "pem" });
    writeFileSync(path("key"), pem);
    await command(["mcopy", "-i", esp, LOADER, path(loader)]);
    await signLoader(path(loader), path(signed), { key: path("key"), certificate }, 1_790_000_000);
    await command(["mcopy", "-o", "-i", esp, path(signed), LOADER]);
    const from = box.text.length;
    await box.powerOn();
    await healthy(box, from);
    assert.match(box.text.slice(from), /slot A try 1, secure: healthy/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    await box.remove();
  }
});

test.run();
