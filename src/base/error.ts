/** A failing environment: a stable `code`, a message that states the action and quotes values, the inner error as `cause`. */
export class CodedError extends Error {
  override readonly name = "CodedError";
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** The messages of an error and of all its causes, outermost first, joined by ": ". Printed once, at the edge. */
export function errorChain(error: unknown): string {
  const messages: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && current !== null && depth < 8; depth++) {
    if (!(current instanceof Error)) {
      messages.push(String(current));
      break;
    }
    messages.push(current.message || current.name);
    current = current.cause;
  }
  return messages.join(": ");
}
