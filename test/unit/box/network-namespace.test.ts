// time-limit: 240 s
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isUnconfirmed, keepChange, takeChangeBack, writeChange } from "../../../src/parts/network-change.ts";

const PROGRAM = fileURLToPath(new URL("../../support/network/place.ts", import.meta.url));
const KEY = `ssh-ed25519 ${"A".repeat(68)} somebody`;
const IS_ROOT = process.getuid?.() === 0;

/** Two ends of a cable: the box's, and a machine with a DHCP server. */
class Bed {
  readonly directory = mkdtempSync(join(tmpdir(), "network-"));
  readonly #box = `rfb${process.pid}`;
  readonly #server = `rfs${process.pid}`;
  #dhcp: ReturnType<typeof Bun.spawn> | undefined;
  readonly places = {
    ...{ run: `${this.directory}/run`, onedConf: `${this.directory}/oned.conf`, boxConf: `${this.directory}/box.conf` },
    authorizedKeys: `${this.directory}/ssh/authorized_keys`,
  };

  constructor() {
    for (const name of [this.#box, this.#server]) run("ip", "netns", "add", name);
    run("ip", "link", "add", "eth0", "netns", this.#box, "type", "veth", "peer", "name", "eth0", "netns", this.#server);
    run("ip", "-n", this.#server, "addr", "add", "10.77.0.1/24", "dev", "eth0");
    run("ip", "-n", this.#server, "link", "set", "eth0", "up");
    writeFileSync(this.places.onedConf, "");
  }

  config(text: string): void {
    writeFileSync(this.places.boxConf, text);
  }

  apply(...words: string[]): { code: number | null; out: string } {
    const command = ["netns", "exec", this.#box, "unshare", "-u", process.execPath, PROGRAM, this.directory, ...words];
    const { status, stdout, stderr } = spawnSync("ip", command, { encoding: "utf8" });
    return { code: status, out: `${stdout}${stderr}` };
  }

  get box(): string {
    const show = (...words: string[]): string => run("ip", "-n", this.#box, "-4", "-o", ...words);
    return `${show("addr", "show", "eth0")}\n${show("route", "show")}`;
  }

  serve(): void {
    mkdirSync(`${this.directory}/server`);
    writeFileSync(`${this.directory}/server/leases`, "");
    writeFileSync(
      `${this.directory}/server/conf`,
      `start 10.77.0.50\nend 10.77.0.59\ninterface eth0\nmax_leases 5\nlease_file ${this.directory}/server/leases\npidfile ${this.directory}/server/pid\nopt subnet 255.255.255.0\nopt router 10.77.0.1\nopt dns 10.77.0.1 10.77.0.2\nopt lease 600\n`,
    );
    this.#dhcp = Bun.spawn(
      ["ip", "netns", "exec", this.#server, "busybox", "udhcpd", "-f", `${this.directory}/server/conf`],
      {
        stdio: ["ignore", "ignore", "ignore"],
      },
    );
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    for (const end = performance.now() + 60_000; !isTrue(); await Bun.sleep(100))
      assert.ok(performance.now() < end, `waited in vain until ${what}:\n${this.box}`);
  }

  end(): void {
    this.#dhcp?.kill("SIGKILL");
    for (const name of [this.#box, this.#server]) {
      for (const pid of run("ip", "netns", "pids", name).split("\n").filter(Boolean)) {
        try {
          process.kill(Number(pid), "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
      run("ip", "netns", "del", name);
    }
    rmSync(this.directory, { recursive: true });
  }
}

function run(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8" });
  assert.is(status, 0, `${program} ${words.join(" ")}: ${stderr}`);
  return stdout;
}

async function withBed(story: (bed: Bed) => Promise<void> | void): Promise<void> {
  const bed = new Bed();
  try {
    await story(bed);
  } finally {
    bed.end();
  }
}

if (!IS_ROOT) console.log("network namespaces need root: their tests are left out");
else {
  test("static: address, gateway, host name, DNS and ssh keys; a second time nothing is done", () =>
    withBed((bed) => {
      bed.config(
        `NETWORK = [ HOSTNAME = box7, DNS = "10.77.0.1" ]\nINTERFACE = [ NAME = eth0, ADDRESS = "10.77.0.11/24", GATEWAY = "10.77.0.1" ]\nSSH_KEY = "${KEY}"\n`,
      );
      const first = bed.apply();
      assert.is(first.code, 0, first.out);
      assert.match(bed.box, /inet 10\.77\.0\.11\/24 brd 10\.77\.0\.255/);
      assert.match(bed.box, /default via 10\.77\.0\.1 dev eth0/);
      assert.is(readFileSync(`${bed.places.run}/resolv.conf`, "utf8"), "nameserver 10.77.0.1\n");
      assert.ok(readFileSync(bed.places.authorizedKeys, "utf8").includes(KEY));
      const second = bed.apply();
      assert.is(second.code, 0);
      assert.not.match(second.out, /network: ip /);
    }));

  test("a broken box.conf changes nothing on a box that runs", () =>
    withBed((bed) => {
      bed.config('INTERFACE = [ NAME = eth0, ADDRESS = "10.77.0.11/24" ]\n');
      assert.is(bed.apply().code, 0);
      bed.config("INTERFACE = [ NAME = eth0, ADDRESS = 10.77.0.300/24 ]\n");
      const { code, out } = bed.apply();
      assert.is(code, 1);
      assert.match(out, /box\.conf:1: INTERFACE eth0: ADDRESS = "10\.77\.0\.300\/24"/);
      assert.match(bed.box, /inet 10\.77\.0\.11\/24/);
    }));

  test("dhcp: address, gateway and DNS of the server, which may come later than the box; then static again", () =>
    withBed(async (bed) => {
      bed.config("INTERFACE = [ NAME = eth0, ADDRESS = dhcp ]\n");
      assert.is(bed.apply().code, 0);
      await Bun.sleep(1000);
      bed.serve();
      await bed.until("the box has its address", () => /inet 10\.77\.0\.5\d\/24/.test(bed.box));
      await bed.until("the gateway is known", () => /default via 10\.77\.0\.1 dev eth0 metric 100/.test(bed.box));
      await bed.until("the DNS servers are known", () =>
        /nameserver 10\.77\.0\.1\nnameserver 10\.77\.0\.2\n/.test(
          readFileSync(`${bed.places.run}/resolv.conf`, "utf8"),
        ),
      );
      bed.config('INTERFACE = [ NAME = eth0, ADDRESS = "10.77.0.11/24" ]\n');
      const changed = bed.apply();
      assert.is(changed.code, 0, changed.out);
      assert.match(bed.box, /inet 10\.77\.0\.11\/24/);
      assert.not.match(bed.box, /10\.77\.0\.5\d\/24/);
    }));

  test("a change that nobody confirms is taken back by itself; one that is confirmed stays", () =>
    withBed((bed) => {
      const text = '# mine\nINTERFACE = [ NAME = eth0, ADDRESS = "10.77.0.11/24" ]\n';
      bed.config(text);
      assert.is(bed.apply().code, 0);
      const answers = { device: "eth0", address: "10.77.0.99/24", gateway: "", vlan: "", hostname: "" };
      writeChange(bed.places, answers);
      assert.is(bed.apply().code, 0);
      assert.match(bed.box, /inet 10\.77\.0\.99\/24/);
      assert.throws(() => writeChange(bed.places, answers), /waits to be kept/);
      const watched = bed.apply("watch", "1000");
      assert.match(watched.out, /not confirmed/);
      assert.match(bed.box, /inet 10\.77\.0\.11\/24/);
      assert.not.match(bed.box, /10\.77\.0\.99/);
      assert.is(readFileSync(bed.places.boxConf, "utf8"), text);

      writeChange(bed.places, answers);
      assert.is(bed.apply().code, 0);
      assert.ok(keepChange(bed.places));
      assert.not.match(bed.apply("watch", "1000").out, /not confirmed/);
      assert.match(bed.box, /inet 10\.77\.0\.99\/24/);
      assert.is(readFileSync(`${bed.places.boxConf}.before`, "utf8"), text);
    }));
}

test("a power cut before the confirmation takes the change back at the next boot; a mistake changes nothing", () => {
  const directory = mkdtempSync(join(tmpdir(), "change-"));
  const places = {
    ...{ run: directory, onedConf: `${directory}/oned.conf`, boxConf: `${directory}/box.conf` },
    authorizedKeys: undefined,
  };
  const answers = { device: "eth0", address: "10.0.0.1/24", gateway: "", vlan: "", hostname: "" };
  assert.throws(
    () => writeChange(places, { ...answers, gateway: "10.9.0.1" }),
    /box.conf as it would be:2: .*none of its nets/,
  );
  assert.not.ok(existsSync(places.boxConf));
  writeChange(places, answers);
  assert.ok(isUnconfirmed(places));
  assert.ok(takeChangeBack(places, () => undefined));
  assert.not.ok(existsSync(places.boxConf));
  assert.not.ok(takeChangeBack(places, () => undefined));
  rmSync(directory, { recursive: true });
});

test.run();
