const BEGIN = "# keys of box.conf: changed there";
const END = "# end of keys of box.conf";

/** authorized_keys with the keys of box.conf in a part of their own; what else is in it stays as it is. */
export function withSshKeys(text: string, keys: readonly string[]): string {
  const lines = text.split("\n");
  const begin = lines.indexOf(BEGIN);
  const end = lines.indexOf(END);
  const others = begin >= 0 && end > begin ? [...lines.slice(0, begin), ...lines.slice(end + 1)] : lines;
  const rest = others.join("\n").replace(/\n+$/, "");
  const parts = [...(rest === "" ? [] : [rest]), ...(keys.length === 0 ? [] : [[BEGIN, ...keys, END].join("\n")])];
  return parts.length === 0 ? "" : `${parts.join("\n")}\n`;
}
