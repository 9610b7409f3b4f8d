/**
 * The guest of the *fast* tier: 512 bytes that the BIOS loads and starts, up in a fifth of a second.
 * Every 220 ms (four ticks of the BIOS clock) it reads the last record from its disk and writes the next one
 * (record.ts), so that whoever shares the disk is seen. The first record of a boot also goes to the serial port.
 */
import { LAST_SECTOR, RING_SECTOR_FIRST, RING_SECTORS } from "./record.ts";

const SECTOR_SIZE = 512;
/** Where the BIOS loads a boot sector. */
const ORIGIN = 0x7c00;

/*
 * Bytes on the left, the instruction on the right. `@name` is a label's address in two bytes, `>name` a call's or
 * near jump's 16-bit distance, `^name` a short jump's. BUFFER is 0x8000; the record's number also stands at
 * BUFFER + 64 in binary, which spares us reading our own hexadecimal digits.
 */
const listing = `
              fa                            | cli
              31 c0                         | xor ax, ax
              8e d8                         | mov ds, ax
              8e c0                         | mov es, ax
              8e d0                         | mov ss, ax
              bc 00 7c                      | mov sp, 0x7c00
              fb                            | sti
              fc                            | cld
              88 16 @drive                  | mov [drive], dl          the BIOS says which disk we came from
              b4 02                         | mov ah, 2                time of day
              cd 1a                         | int 0x1a
              89 16 @clock                  | mov [clock], dx
              89 0e @clock_high             | mov [clock + 2], cx
              0f 31                         | rdtsc
              66 a3 @cycles                 | mov [cycles], eax        boot id = time of day, cycles

again:        66 c7 06 @sector LAST4        | mov dword [sector], LAST_SECTOR
              b4 42                         | mov ah, 0x42             read
              e8 >disk                      | call disk
              bf 00 80                      | mov di, BUFFER
              66 ff 45 40                   | inc dword [di + 64]      the record's number
              66 ff 06 @counter             | inc dword [counter]
              66 b8 52 46 47 31             | mov eax, 'RFG1'
              66 ab                         | stosd
              66 a1 40 80                   | mov eax, [BUFFER + 64]
              e8 >field                     | call field
              66 a1 @clock                  | mov eax, [clock]
              e8 >field                     | call field
              66 a1 @cycles                 | mov eax, [cycles]
              e8 >digits                    | call digits
              66 a1 @counter                | mov eax, [counter]
              e8 >field                     | call field
              b0 0a                         | mov al, 10
              aa                            | stosb
              66 a1 40 80                   | mov eax, [BUFFER + 64]
              66 25 MASK4                   | and eax, RING_SECTORS - 1
              66 05 RING4                   | add eax, RING_SECTOR_FIRST
              e8 >write                     | call write
              66 b8 LAST4                   | mov eax, LAST_SECTOR
              e8 >write                     | call write
              66 83 3e @counter 01          | cmp dword [counter], 1
              75 ^pause                     | jne pause
              be 00 80                      | mov si, BUFFER
print:        ac                            | lodsb
              ba f8 03                      | mov dx, 0x3f8
              ee                            | out dx, al
              3c 0a                         | cmp al, 10
              75 ^print                     | jne print
pause:        8b 1e 6c 04                   | mov bx, [0x46c]          the BIOS's tick counter
halt:         f4                            | hlt
              a1 6c 04                      | mov ax, [0x46c]
              29 d8                         | sub ax, bx
              83 f8 04                      | cmp ax, 4
              72 ^halt                      | jb halt
              e9 >again                     | jmp again

write:        66 a3 @sector                 | mov [sector], eax
              b8 00 43                      | mov ax, 0x4300           write, without verification
disk:         8a 16 @drive                  | mov dl, [drive]
              be @packet                    | mov si, packet
              cd 13                         | int 0x13
              c3                            | ret

field:        c6 05 20                      | mov byte [di], ' '
              47                            | inc di
digits:       b9 08 00                      | mov cx, 8
digit:        66 c1 c0 04                   | rol eax, 4
              50                            | push ax
              24 0f                         | and al, 15
              3c 0a                         | cmp al, 10
              1c 69                         | sbb al, 0x69
              2f                            | das                      0 ... 15 in al is now '0' ... 'F'
              aa                            | stosb
              58                            | pop ax
              e2 ^digit                     | loop digit
              c3                            | ret

drive:        00                            |
cycles:       00 00 00 00                   |
clock:        00 00                         |
clock_high:   00 00                         |
counter:      00 00 00 00                   |
packet:       10 00 01 00 00 80 00 00       | 1 sector to or from BUFFER
sector:       00 00 00 00 00 00 00 00       |
`;

/** The boot sector, 512 bytes with the BIOS's mark at the end. */
export function bootSector(): Uint8Array<ArrayBuffer> {
  const constants = { LAST4: LAST_SECTOR, RING4: RING_SECTOR_FIRST, MASK4: RING_SECTORS - 1 };
  const bytes = new Uint8Array(SECTOR_SIZE);
  const code = assemble(listing, constants, ORIGIN);
  if (code.length > SECTOR_SIZE - 2)
    throw new Error(`The boot sector is ${code.length - SECTOR_SIZE + 2} bytes too long`);
  bytes.set(code);
  bytes.set([0x55, 0xaa], SECTOR_SIZE - 2);
  return bytes;
}

/** Turns a listing into bytes. Unknown labels and short jumps that are too long throw. */
function assemble(text: string, constants: Readonly<Record<string, number>>, origin: number): Uint8Array {
  const labels = new Map<string, number>();
  const tokens: { readonly text: string; readonly at: number; readonly size: number }[] = [];
  let at = 0;
  for (const line of text.split("\n")) {
    for (const token of (line.split("|")[0] ?? "").split(/\s+/).filter(Boolean)) {
      if (token.endsWith(":")) {
        labels.set(token.slice(0, -1), at);
        continue;
      }
      const size = token in constants ? 4 : token.startsWith("@") || token.startsWith(">") ? 2 : 1;
      tokens.push({ text: token, at, size });
      at += size;
    }
  }
  const bytes = new DataView(new ArrayBuffer(at));
  for (const token of tokens) write(bytes, token, labels, constants, origin);
  return new Uint8Array(bytes.buffer);
}

function write(
  bytes: DataView,
  { text, at, size }: { readonly text: string; readonly at: number; readonly size: number },
  labels: ReadonlyMap<string, number>,
  constants: Readonly<Record<string, number>>,
  origin: number,
): void {
  const constant = constants[text];
  const target = labels.get(text.slice(1));
  const distance = (target ?? 0) - (at + size);
  if (constant !== undefined) bytes.setUint32(at, constant, true);
  else if (/^[0-9a-f]{2}$/.test(text)) bytes.setUint8(at, Number.parseInt(text, 16));
  else if (target === undefined) throw new Error(`Cannot assemble "${text}": no such label or byte`);
  else if (text.startsWith("@")) bytes.setUint16(at, origin + target, true);
  else if (text.startsWith(">")) bytes.setInt16(at, distance, true);
  else if (distance >= -128 && distance <= 127) bytes.setInt8(at, distance);
  else throw new Error(`Cannot assemble "${text}": ${distance} is too far for a short jump`);
}
