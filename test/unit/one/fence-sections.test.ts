import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Attributes, isTemplateError, parseTemplate, renderTemplate } from "../../../src/one/attributes.ts";
import { type FenceSections, sealFence } from "../../../src/one/host/fence-sections.ts";

const seal = (text: string): string => `sealed(${text.length})`;

function sealed(source: string, before: FenceSections = []) {
  const attributes = parseTemplate(source);
  if (isTemplateError(attributes)) throw new Error(attributes.error);
  const result = sealFence(attributes as Attributes, before, seal);
  if ("fault" in result) throw new Error(result.fault);
  return result;
}

test("a password is sealed in the section and hidden in what is shown", () => {
  const { shown, sections } = sealed('RACK=1\nFENCE=[METHOD=ipmi,ADDRESS=10.0.0.9,USER=u,PASSWORD="p,w"]');
  assert.equal(sections, [{ METHOD: "ipmi", ADDRESS: "10.0.0.9", USER: "u", PASSWORD: "sealed(3)" }]);
  assert.not.match(renderTemplate(shown), "p,w");
  assert.match(renderTemplate(shown), "<PASSWORD><![CDATA[***]]></PASSWORD>");
  assert.match(renderTemplate(shown), "<RACK>");
});

test("*** keeps the password of the same device, whatever the order of the sections", () => {
  const before = sealed(
    "FENCE=[METHOD=ipmi,ADDRESS=a,PASSWORD=one]\nFENCE=[METHOD=ipmi,ADDRESS=b,PASSWORD=three]",
  ).sections;
  const after = sealed(
    "FENCE=[METHOD=ipmi,ADDRESS=b,PASSWORD=***]\nFENCE=[METHOD=ipmi,ADDRESS=a,PASSWORD=***]",
    before,
  );
  assert.equal(
    after.sections.map((section) => section["PASSWORD"]),
    ["sealed(5)", "sealed(3)"],
  );
});

test("*** for a device that had none, or at another address, is refused: a password never goes to a new machine", () => {
  const before = sealed("FENCE=[METHOD=ipmi,ADDRESS=a,USER=u,PASSWORD=one]").sections;
  assert.throws(() => sealed("FENCE=[METHOD=ipmi,ADDRESS=b,USER=u,PASSWORD=***]", before), /ADDRESS|FENCE at b/);
  assert.throws(() => sealed("FENCE=[METHOD=ipmi,ADDRESS=a,USER=u,PASSWORD=***]"), /give it/);
});

test("OpenNebula's FENCE_IP and its friends become one section", () => {
  const { shown, sections } = sealed("FENCE_IP=10.1.1.1\nFENCE_USER=root\nFENCE_PASSWORD=calvin\nNOTE=x");
  assert.equal(sections, [{ ADDRESS: "10.1.1.1", USER: "root", PASSWORD: "sealed(6)" }]);
  assert.not.match(renderTemplate(shown), "calvin");
});

test.run();
