import { CodedError } from "../src/base/error.ts";

/** What a program or library asks of the dynamic loader. */
export interface ElfNeeds {
  /** e_machine. */
  readonly machine: number;
  /** The loader's path; undefined for libraries and static programs. */
  readonly interpreter: string | undefined;
  /** Names of libraries (DT_NEEDED), in the file's order. */
  readonly libraries: readonly string[];
}

const SEGMENT = { load: 1, dynamic: 2, interpreter: 3 };
const TAG = { needed: 1, stringTable: 5 };
/** Little-endian, 64 bits: both architectures are. */
const IDENTITY = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

/** Reads an ELF file's needs (System V ABI, chapters 4 and 5), for any architecture; undefined when it is no ELF file. */
export function readElfNeeds(bytes: Buffer): ElfNeeds | undefined {
  if (bytes.length < 64 || !bytes.subarray(0, 6).equals(IDENTITY)) return undefined;
  const word = (at: number): number => Number(bytes.readBigUInt64LE(at));
  const headers = Array.from({ length: bytes.readUInt16LE(56) }, (_, index) => {
    const at = word(32) + index * bytes.readUInt16LE(54);
    return {
      kind: bytes.readUInt32LE(at),
      offset: word(at + 8),
      address: word(at + 16),
      fileSize: word(at + 32),
    };
  });
  const textAt = (at: number): string => bytes.toString("latin1", at, bytes.indexOf(0, at));
  const fileOffset = (address: number): number => {
    const segment = headers.find(
      ({ kind, address: from, fileSize }) => kind === SEGMENT.load && address >= from && address < from + fileSize,
    );
    if (segment === undefined) throw new CodedError("elf", `Cannot read library names: no segment has ${address}`);
    return address - segment.address + segment.offset;
  };
  const interpreter = headers.find(({ kind }) => kind === SEGMENT.interpreter);
  const dynamic = headers.find(({ kind }) => kind === SEGMENT.dynamic);
  const entries = Array.from({ length: (dynamic?.fileSize ?? 0) / 16 }, (_, index) => {
    const at = (dynamic?.offset ?? 0) + index * 16;
    return { tag: word(at), value: word(at + 8) };
  });
  const strings = entries.find(({ tag }) => tag === TAG.stringTable)?.value;
  return {
    machine: bytes.readUInt16LE(18),
    interpreter: interpreter === undefined ? undefined : textAt(interpreter.offset),
    libraries:
      strings === undefined
        ? []
        : entries.filter(({ tag }) => tag === TAG.needed).map(({ value }) => textAt(fileOffset(strings) + value)),
  };
}
