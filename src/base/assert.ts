/** A programmer's error. Never caught by product code: it ends the process and the watchdog chain deals with it. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Ends the program when `condition` does not hold. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a branch that the type checker proves unreachable. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
