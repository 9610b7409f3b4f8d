/**
 * The kernel's simulated GPIO chip for the image's kernel. Debian does not build it: its source, the kernel's headers and
 * configfs (which an image lacks) come from Debian's packages (155 MB, kept in `out/packages`); nothing is installed.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { command } from "../../../appliance/command.ts";
import { releaseOf } from "../../../appliance/disk.ts";
import { AS_ROOT } from "../../../appliance/packages.ts";
import { partitionOffset } from "../../../appliance/partitions.ts";

const PACKAGES = resolve(import.meta.dir, "../../../out/packages");
const SOURCES = ["drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c"] as const;
/** The kernel keeps `irq_to_desc` for itself; this one, which it exports, looks the interrupt up by itself. */
const PRIVATE_CALL = "handle_simple_irq(irq_to_desc(irqnum))";
const PUBLIC_CALL = "generic_handle_irq_safe(irqnum)";

/** What has to be loaded into an image's kernel, in this order: name → module. */
export async function buildGpioSim(image: string): Promise<Readonly<Record<"configfs" | "gpio-sim", Uint8Array>>> {
  const release = await kernelOf(image);
  const directory = mkdtempSync(join(tmpdir(), "ringfence-gpio-"));
  try {
    const kernel = packageFile(`linux-image-${release}`);
    // The same version as the image's kernel, or the modules do not fit; what it needs to build has the version of the day.
    const version = /_(.*)_/.exec(kernel)?.[1] ?? "";
    const names = [
      ...["linux-source-6.1", `linux-headers-${release}`, `linux-headers-${release.replace(/-[^-]*$/, "")}-common`].map(
        (name) => `${name}=${version}`,
      ),
      "linux-kbuild-6.1",
    ];
    const missing = names.filter((name) => packageFile(name) === "");
    if (missing.length > 0) await command(["apt-get", "download", "-q", ...AS_ROOT, ...missing], { cwd: PACKAGES });
    for (const name of [...names, `linux-image-${release}`])
      await command(["dpkg-deb", "-x", `${PACKAGES}/${packageFile(name)}`, directory]);
    const build = join(directory, "build");
    mkdirSync(build);
    const paths = SOURCES.map((path) => `linux-source-6.1/${path}`);
    const archive = `${directory}/usr/src/linux-source-6.1.tar.xz`;
    await command(["tar", "-xJf", archive, "-C", build, "--strip-components=3", ...paths]);
    const interrupts = readFileSync(`${build}/irq_sim.c`, "utf8");
    if (!interrupts.includes(PRIVATE_CALL)) throw new Error(`This kernel's irq_sim.c has no "${PRIVATE_CALL}"`);
    writeFileSync(`${build}/irq_sim.c`, interrupts.replace(PRIVATE_CALL, PUBLIC_CALL));
    await command(["mv", `${build}/gpio-sim.c`, `${build}/chip.c`]);
    writeFileSync(`${build}/Kbuild`, "obj-m := gpio-sim.o\ngpio-sim-y := chip.o irq_sim.o\n");
    // The headers know only the place where they are installed.
    const headers = `${directory}/usr/src/linux-headers-${release}`;
    const makefile = readFileSync(`${headers}/Makefile`, "utf8");
    writeFileSync(`${headers}/Makefile`, makefile.replace("/usr/src", `${directory}/usr/src`));
    await command(["make", "-s", "-C", headers, `M=${build}`, "modules"]);
    await command(["strip", "--strip-debug", `${build}/gpio-sim.ko`]);
    return {
      configfs: readFileSync(`${directory}/lib/modules/${release}/kernel/fs/configfs/configfs.ko`),
      "gpio-sim": readFileSync(`${build}/gpio-sim.ko`),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** As `6.1.0-56-amd64`. */
async function kernelOf(image: string): Promise<string> {
  const at = partitionOffset("ringfence-a") + releaseOf(image).rootAt;
  const list = await command(["unsquashfs", "-o", String(at), "-l", image]);
  const release = /\/lib\/modules\/([^/\s]+)$/m.exec(list)?.[1];
  if (release === undefined) throw new Error(`There are no kernel modules in ${image}`);
  return release;
}

/** The file of `name` or `name=version` beside what the image was built from; "": none. */
function packageFile(name: string): string {
  const prefix = name.includes("=") ? name.replace("=", "_") : `${name}_`;
  if (!existsSync(PACKAGES)) return "";
  return (
    readdirSync(PACKAGES)
      .filter((file) => file.startsWith(prefix))
      .sort()
      .at(-1) ?? ""
  );
}
