/**
 * Gives tokens for the packet lease: the low 32 bits of the boot clock in ms, never 0, each later than the one before,
 * so that no token returns within 49 days and a restarted process never meets one of its predecessor that still lives.
 */
export function createTokenSource(bootTimeMs: () => number): () => number {
  let last = 0;
  return () => {
    last = Math.max(Math.floor(bootTimeMs()), last + 1);
    if (last % 2 ** 32 === 0) last++;
    return last % 2 ** 32;
  };
}
