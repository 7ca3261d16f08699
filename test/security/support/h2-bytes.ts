/** HTTP/2 by hand (RFC 9113, 7541): what no well-behaved library sends. Literal fields without indexing and without Huffman coding. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const TYPE = { data: 0, headers: 1, rstStream: 3, settings: 4, goaway: 7, continuation: 9 } as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

const integer = (n: number): number[] => (n < 127 ? [n] : [127, ...tail(n - 127)]);
const tail = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...tail(n >> 7)]);

/** A header block of literal fields, exactly as given. */
export const fields = (list: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(
    list.map(([name, value]) =>
      Buffer.concat([
        Buffer.from([0, ...integer(name.length)]),
        Buffer.from(name, 'latin1'),
        Buffer.from(integer(value.length)),
        Buffer.from(value, 'latin1'),
      ]),
    ),
  );

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames at the start of the bytes, and what is left. */
export function framesOf(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const length = bytes.readUIntBE(at, 3);
    if (bytes.length - at < 9 + length) break;
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return { frames, rest: bytes.subarray(at) };
}
