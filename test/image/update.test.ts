// Updates on real slots, with the real boot loader: what proves itself stays, what does not is left. time-limit: 1200 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, LOADER, run, slotsSay } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";

const image = await theImage();
const versions = new Versions(image);

test("a good update proves itself; an older one is refused; one that does not start is left again, and says why", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const first = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    const good = await run(box, "ringfence", "update", "apply", versions.same({ version: "0.2.0" }), "--restart");
    assert.match(good.text, /0\.2\.0 is in slot B/);
    const second = await healthy(box, first.end);
    assert.is(second.slot, "B");
    const text = await slotsSay(box, /UPDATE .*0\.1\.0 \(A\) -> 0\.2\.0 \(B\): has proved itself/, BOOT_MS);
    assert.match(text, /SLOT B .*0\.2\.0 .*good {2}<- runs, next/);

    const older = await run(box, "ringfence", "update", "apply", versions.same({ version: "0.1.9" }));
    assert.is(older.code, 255);
    assert.match(older.text, /0\.1\.9 is older than 0\.2\.0, which runs here: --downgrade/);

    const file = await versions.withoutUserland({ version: "0.3.0" });
    assert.match((await run(box, "ringfence", "update", "apply", file, "--restart")).text, /0\.3\.0 is in slot A/);
    assert.is((await healthy(box, second.end)).slot, "B");
    const said = [...box.text.slice(second.end).matchAll(new RegExp(LOADER, "g"))].map(
      ([, slot, at]) => `${slot}${at}`,
    );
    // The boot loader says it, and then the initramfs.
    assert.equal(said, ["A1", "A1", "A2", "A2", "A3", "A3", "B1", "B1"]);
    await slotsSay(box, /UPDATE .*FELL BACK: it did not come up: the boot loader went back/, BOOT_MS);
  } finally {
    await box.remove();
  }
});

test.after(() => versions.remove());
test.run();
