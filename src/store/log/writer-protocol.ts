/** What worker-sink.ts and writer-worker.ts share: a few words of memory, one command at a time. */
export const CONTROL = { sequence: 0, command: 1, segment: 2, offset: 3, length: 4 } as const;
export const CONTROL_WORDS = 8;

export const COMMAND = { write: 1, recycle: 2, close: 3 } as const;

export interface WriterData {
  readonly path: string;
  readonly segmentSizeBytes: number;
  readonly control: SharedArrayBuffer;
  readonly buffer: SharedArrayBuffer;
}

/** One for the start and one for each command. */
export interface WriterAnswer {
  readonly error: string | undefined;
  readonly lateSegments: number;
}
