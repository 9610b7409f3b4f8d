import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cdata, escapeXml, parseXml, XmlError } from "../../../src/one/xml.ts";

test("elements, text, CDATA, entities, comments and the declaration are read", () => {
  const root = parseXml(
    '<?xml version="1.0"?>\n<a x="1"><!-- <no> --><b>1 &lt; 2 &#x41;&#66;</b><c/>t<![CDATA[<&>]]></a>\n',
  );
  assert.is(root.name, "a");
  assert.is(root.text, "t<&>");
  assert.equal(
    root.children.map(({ name, text }) => [name, text]),
    [
      ["b", "1 < 2 AB"],
      ["c", ""],
    ],
  );
});

test("what is not well-formed is refused, and so is a document type", () => {
  const bad = [
    "",
    "text",
    "<a>",
    "<a></b>",
    "<a/><b/>",
    "</a>",
    "<a>&nosuch;</a>",
    "<a>&</a>",
    "<a>&#0;</a>",
    "<a>&#xd800;</a>",
    "<a",
    "<1/>",
    "<a><![CDATA[x</a>",
    "<!-- x",
    "<![CDATA[x]]>",
    '<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>',
    "<a><!ELEMENT b></a>",
    "<a>".repeat(33) + "</a>".repeat(33),
  ];
  for (const source of bad)
    assert.throws(
      () => parseXml(source),
      (error: unknown) => error instanceof XmlError,
      source,
    );
});

test("any text survives as character data and as CDATA", async () => {
  await fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      if (/\p{Cc}/u.test(text)) return;
      assert.is(parseXml(`<a>${escapeXml(text)}</a>`).text, text);
      assert.is(parseXml(`<a>${cdata(text)}</a>`).text, text);
    }),
  );
  assert.is(parseXml(`<a>${cdata("a]]>b]]>")}</a>`).text, "a]]>b]]>");
});

test("any bytes are an element or an XmlError, never something else", async () => {
  const piece = fc.constantFrom("<", ">", "/", "a", "&", ";", "!", "[CDATA[", "]]>", "--", "?", '"', " ", "#x1", "\n");
  await fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      try {
        assert.ok(parseXml(pieces.join("")).name.length > 0);
      } catch (error) {
        assert.ok(error instanceof XmlError);
      }
    }),
    { numRuns: 2000 },
  );
});

test.run();
