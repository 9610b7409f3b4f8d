/** A section of a configuration that may be broken elsewhere: what a person needs to mend it must not go with it. */
export type LooseSection = (key: string) => string | undefined;

/** All sections `NAME = [ … ]` of a text, each as a function from key to value. */
export function looseSections(text: string, name: string): readonly LooseSection[] {
  const section = new RegExp(`^\\s*${name}\\s*=\\s*\\[([^\\]#]*)\\]`, "gim");
  return [...text.matchAll(section)].map(([, inner = ""]) => (key) => {
    const match = new RegExp(`(?:^|[\\s,])${key}\\s*=\\s*(?:"([^"]*)"|([^\\s,"]+))`, "i").exec(inner);
    return match?.[1] ?? match?.[2];
  });
}
