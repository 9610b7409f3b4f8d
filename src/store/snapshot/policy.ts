/** What a box has, as far as it decides about a snapshot. */
export interface Position {
  /** Of the state database; 0 when it is lost. */
  readonly applied: number;
  readonly log: {
    firstIndex(): number;
    /** Undefined outside firstIndex() − 1 … lastIndex(). */
    term(index: number): number | undefined;
  };
  /** Durable in the log. */
  readonly commit: number;
}

/**
 * Why this snapshot must not be installed; undefined when it may. `isForced`: a person, or a box that mistrusts its
 * state, wants it although it is older than what is applied; the log, which goes on from it, is then applied again.
 */
export function obstacleToInstall(
  snapshot: { readonly index: number; readonly term: number },
  position: Position,
  isForced: boolean,
): string | undefined {
  const { index, term } = snapshot;
  const { applied, log, commit } = position;
  if (index <= applied && !isForced) return `it is of index ${index}, ${applied} is applied already`;
  // Between the two there would be a gap that nothing fills.
  if (index < log.firstIndex() - 1) return `it is of index ${index}, the log begins at ${log.firstIndex()}`;
  const own = log.term(index);
  if (index <= commit && own !== undefined && own !== term)
    return `it names term ${term} for entry ${index}, which is committed here with term ${own}`;
  return undefined;
}
