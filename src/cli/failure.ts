/** What a command ends with when it cannot be done: OpenNebula's commands exit with −1. */
export const EXIT_FAILURE = 255;

/** A command that cannot be done. The message is all that a person gets, on standard error, so it says everything. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: number;
  /** Printed on standard output before the message: the usage of the command, as OpenNebula's commands do. */
  readonly usage: string;

  constructor(message: string, options: { readonly exitCode?: number; readonly usage?: string } = {}) {
    super(message);
    this.exitCode = options.exitCode ?? EXIT_FAILURE;
    this.usage = options.usage ?? "";
  }
}
