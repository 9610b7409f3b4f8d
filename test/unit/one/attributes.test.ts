import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Attribute,
  isTemplateError,
  mergeAttributes,
  parseStored,
  parseTemplate,
  renderTemplate,
  TEMPLATE_LENGTH_MAX,
} from "../../../src/one/attributes.ts";

const parsed = (source: string): readonly Attribute[] => {
  const attributes = parseTemplate(source);
  if (isTemplateError(attributes)) throw new Error(attributes.error);
  return attributes;
};
const fault = (source: string): string => {
  const attributes = parseTemplate(source);
  if (!isTemplateError(attributes)) throw new Error(`"${source}" was read`);
  return attributes.error;
};

test("the text syntax is read: plain, quoted, vectors, comments, repeated names", () => {
  const source = `# a comment
name = web-1
CPU=0.5
  MEMORY = "64"   # behind a value
DESCRIPTION = "two
lines, a \\"quote\\" and a \\\\"
DISK = [ IMAGE_ID = 3,
  target = "vda" ]
DISK=[SOURCE="/a,b]c",FORMAT=raw]
EMPTY =
`;
  assert.equal(parsed(source), [
    { name: "NAME", value: "web-1" },
    { name: "CPU", value: "0.5" },
    { name: "MEMORY", value: "64" },
    { name: "DESCRIPTION", value: 'two\nlines, a "quote" and a \\' },
    { name: "DISK", value: { IMAGE_ID: "3", TARGET: "vda" } },
    { name: "DISK", value: { SOURCE: "/a,b]c", FORMAT: "raw" } },
    { name: "EMPTY", value: "" },
  ]);
});

test("inside of brackets a line may end anywhere", () => {
  assert.equal(parsed('DISK = [\n A\n =\n 1\n ,\n B = "2"\n]\nCPU = 1'), [
    { name: "DISK", value: { A: "1", B: "2" } },
    { name: "CPU", value: "1" },
  ]);
});

test("an XML template is read as the text form of it", () => {
  const xml = "<TEMPLATE><NAME>a &amp; b</NAME><DISK><IMAGE_ID><![CDATA[0]]></IMAGE_ID></DISK></TEMPLATE>";
  assert.equal(parsed(xml), [
    { name: "NAME", value: "a & b" },
    { name: "DISK", value: { IMAGE_ID: "0" } },
  ]);
});

test("what is wrong is said with line and column", () => {
  assert.is(fault("CPU=1\nMEMORY 64"), 'Parse error: "=" is expected, found "64" at line 2, column 8');
  assert.match(fault('NAME="a'), /the closing " is missing.*line 1, column 6/);
  assert.match(fault('DISK=[A="1" B=2]'), /"," or "\]" is expected, found "B=2\]" at line 1, column 13/);
  assert.match(fault("DISK=[]"), /DISK has no keys at line 1/);
  assert.match(fault("=1"), /a name is expected/);
  assert.match(fault("CPU=1\nNIC=[A:B=1]"), /cannot hold a colon: A:B at line 2/);
  assert.match(fault("<TEMPLATE><A></TEMPLATE>"), /unexpected <\/TEMPLATE>/);
});

test("bounds: the longest template is read, one more character is not; no control characters", () => {
  const longest = `A="${"x".repeat(TEMPLATE_LENGTH_MAX - 4)}"`;
  assert.is(parsed(longest).length, 1);
  assert.match(fault(`${longest}\n`), /longer than/);
  assert.match(fault('A="\u0000"'), /control character/);
});

test("what is stored reads back as it was, in the order of names", async () => {
  const word = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,8}$/);
  const value = fc.string({ unit: "grapheme", maxLength: 20 }).filter((one) => !/\p{Cc}/u.test(one));
  // An empty vector has no form of its own; a text of white space and "<" inside is as good as any.
  const vector = fc.dictionary(word, value, { minKeys: 1, maxKeys: 4, noNullPrototype: true });
  const attribute = fc.record({ name: word, value: fc.oneof(value, vector) });
  await fc.assert(
    fc.property(fc.array(attribute, { maxLength: 6 }), (attributes) => {
      const stored = renderTemplate(attributes);
      assert.equal(renderTemplate(parseStored(stored)), stored);
      const names = attributes.map(({ name }) => name).sort();
      assert.equal(
        parseStored(stored).map(({ name }) => name),
        names,
      );
    }),
    { numRuns: 300 },
  );
});

test("a merge replaces all attributes of a name and keeps the others", () => {
  const base = parsed("A=1\nB=2\nA=3");
  assert.equal(mergeAttributes(base, parsed("A=9\nC=4")), parsed("B=2\nA=9\nC=4"));
});

test.run();
