/** Fault codes of XML-RPC servers that OpenNebula's clients know. */
export const FAULT = { type: -501, parse: -503, limit: -505, noMethod: -506 } as const;

/** A call that cannot be understood; it is answered with a `<fault>`, not with OpenNebula's array. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
