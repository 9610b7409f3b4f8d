import { test } from "uvu";
import * as assert from "uvu/assert";
import { openNftables } from "../../../src/linux/nftables.ts";
import { openNftablesWatch } from "../../../src/linux/nftables-watch.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const net = createTestNet({ a: "10.99.0.1/24" });
const nft = net.inside("a", openNftables);
const watch = net.inside("a", openNftablesWatch);

test("a batch is one transaction in the namespace of the process: all of it or nothing", () => {
  assert.equal(nft.run("add table inet one; add set inet one s { type mark; }"), { ok: true, output: "" });
  const result = nft.run("add element inet one s { 7 }; add element inet two s { 7 }");
  assert.not.ok(result.ok);
  assert.match(result.ok ? "" : result.error, /No such file or directory/);
  assert.not.match(net.run("a", "nft list ruleset"), "0x00000007");
});

test("a list is returned, without the elements of sets; an error does not stick to the next call", () => {
  assert.ok(nft.run("add element inet one s { 7 }").ok);
  assert.not.ok(nft.run("nonsense").ok);
  const listed = nft.run("list table inet one");
  assert.match(listed.ok ? listed.output : "", /set s \{/);
  assert.not.match(listed.ok ? listed.output : "", "0x00000007");
  assert.match(net.run("a", "nft list table inet one"), "0x00000007");
});

test("the watch tells of deletions and new rules, not of elements, and each once", () => {
  watch.poll();
  nft.run("add element inet one s { 8 }; delete element inet one s { 7 }");
  assert.not.ok(watch.poll());
  nft.run("add chain inet one c; add rule inet one c accept");
  assert.ok(watch.poll());
  nft.run("delete table inet one");
  assert.ok(watch.poll());
  assert.not.ok(watch.poll());
});

test("memory stays bounded over ten thousand calls, failing ones included", () => {
  nft.run("add table inet one; add set inet one s { type mark; flags timeout; }");
  const burst = (): void => {
    for (let count = 0; count < 2500; count++) {
      nft.run(`add element inet one s { ${count + 1} timeout 50ms }`);
      nft.run("add element inet nowhere s { 1 }");
    }
  };
  burst();
  const before = process.memoryUsage().rss;
  burst();
  const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grownMiB < 12, `grew by ${grownMiB.toFixed(1)} MiB in 5000 calls`);
});

test("a closed context answers, it does not crash", () => {
  const other = openNftables();
  other.close();
  other.close();
  assert.equal(other.run("list ruleset"), { ok: false, error: "the context is closed" });
});

test.run();
