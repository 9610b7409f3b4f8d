import { parseXml, type XmlElement } from "../one/xml.ts";

/** The element at a path of names, the first of each name. */
export function at(element: XmlElement, path: string): XmlElement | undefined {
  let found: XmlElement | undefined = element;
  for (const name of path.split("/")) found = found?.children.find((child) => child.name === name);
  return found;
}

/** The text at a path; "" when there is none. */
export function textAt(element: XmlElement, path: string): string {
  const found = at(element, path);
  return found === undefined || found.children.length > 0 ? "" : found.text;
}

export function numberAt(element: XmlElement, path: string): number {
  return Number(textAt(element, path)) || 0;
}

/** All children of that name of the element at `path`. */
export function allAt(element: XmlElement, path: string, name: string): readonly XmlElement[] {
  const parent = path === "" ? element : at(element, path);
  return parent?.children.filter((child) => child.name === name) ?? [];
}

/** The document on lines of its own, two spaces a level, an element without content as `<NAME/>`. For `-x`. */
export function indentXml(source: string): string {
  const lines: string[] = [];
  const tokens = source.match(/<!\[CDATA\[[\s\S]*?\]\]>|<[^>]*>|[^<]+/g) ?? [];
  let depth = 0;
  let leaf = "";
  let isLeaf = false;
  const line = (text: string): void => void lines.push(`${"  ".repeat(depth)}${text}`);
  for (const token of tokens) {
    if (token.startsWith("<![CDATA[") || !token.startsWith("<")) {
      if (isLeaf) leaf += token;
    } else if (token.startsWith("</")) {
      const isEmpty = isLeaf && leaf.endsWith(">") && leaf.lastIndexOf("<") === 0;
      if (isEmpty) line(`${leaf.slice(0, -1)}/>`);
      else if (isLeaf) line(`${leaf}${token}`);
      else {
        depth--;
        line(token);
      }
      isLeaf = false;
    } else {
      if (isLeaf) {
        line(/^<[^>]*>/.exec(leaf)?.[0] ?? leaf);
        depth++;
      }
      isLeaf = !token.endsWith("/>");
      leaf = token;
      if (!isLeaf) line(token);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** What `-j` and `-y` print: an element without content is an empty object, a name that is repeated is a list. */
export type Tree = string | readonly Tree[] | { readonly [name: string]: Tree };

/** Stands for an empty CDATA section while a document is parsed: a private character that no name or value has. */
const EMPTY_TEXT = "\ue000";

/** `listName`: the element that is a list even when there is one of it, as in a pool. */
export function documentTree(source: string, listName?: string): Tree {
  // OpenNebula's commands tell a value that is empty from an element that has nothing in it.
  const root = parseXml(source.replaceAll("><![CDATA[]]><", `>${EMPTY_TEXT}<`));
  return { [root.name]: toTree(root, listName) };
}

function toTree(element: XmlElement, listName?: string): Tree {
  if (element.children.length === 0) {
    if (element.text === EMPTY_TEXT) return "";
    return element.text === "" ? {} : element.text;
  }
  const tree: Record<string, Tree> = {};
  for (const child of element.children) {
    const value = toTree(child);
    const before = tree[child.name];
    if (before === undefined) tree[child.name] = child.name === listName ? [value] : value;
    else tree[child.name] = isList(before) ? [...before, value] : [before, value];
  }
  return tree;
}

/** JSON as Ruby prints it: an empty object on two lines. */
export function renderJson(tree: Tree, indent = ""): string {
  const deeper = `${indent}  `;
  if (typeof tree === "string") return JSON.stringify(tree);
  if (isList(tree)) {
    return `[\n${tree.map((one) => `${deeper}${renderJson(one, deeper)}`).join(",\n")}\n${indent}]`;
  }
  const parts = Object.entries(tree).map(
    ([name, value]) => `${deeper}${JSON.stringify(name)}: ${renderJson(value, deeper)}`,
  );
  return parts.length === 0 ? `{\n${indent}}` : `{\n${parts.join(",\n")}\n${indent}}`;
}

/** YAML as Ruby prints it; strings that could be read as something else are quoted. */
export function renderYaml(tree: Tree): string {
  return `---\n${yamlBlock(tree, "")}`;
}

function yamlBlock(tree: Tree, indent: string): string {
  if (typeof tree === "string") return `${indent}${yamlText(tree)}\n`;
  if (isList(tree)) {
    return tree
      .map((one) => {
        const block = yamlBlock(one, `${indent}  `);
        return `${indent}- ${block.slice(indent.length + 2)}`;
      })
      .join("");
  }
  return Object.entries(tree)
    .map(([name, value]) => `${indent}${name}:${yamlValue(value, indent)}`)
    .join("");
}

function yamlValue(value: Tree, indent: string): string {
  if (typeof value === "string") return ` ${yamlText(value)}\n`;
  if (isList(value)) return `\n${yamlBlock(value, indent)}`;
  return Object.keys(value).length === 0 ? " {}\n" : `\n${yamlBlock(value, `${indent}  `)}`;
}

function yamlText(text: string): string {
  if (/[\n\t\u0080-\uffff]|[^\x20-\x7e]/.test(text)) return JSON.stringify(text);
  const isPlain =
    /^[A-Za-z/][A-Za-z0-9_./:@ +()-]*$/.test(text) && !/: |:$| #| $|^(y|n|yes|no|on|off|true|false|null)$/i.test(text);
  return isPlain ? text : `'${text.replaceAll("'", "''")}'`;
}

function isList(tree: Tree): tree is readonly Tree[] {
  return Array.isArray(tree);
}
