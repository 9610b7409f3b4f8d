/**
 * Where a program or worker thread that lies at `source` (as `../main.ts`, seen from the caller) is to be found, again seen
 * from the caller, whose own address is `here` (`import.meta.url`). In the source tree it is that file; on an image every
 * program and thread is a bundle beside the others, and its name is the source's.
 */
export function program(source: string, here: string): string {
  return here.endsWith(".ts") ? source : `./${source.replace(/^.*\//, "").replace(/\.ts$/, "")}.js`;
}
