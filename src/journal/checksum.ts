/**
 * CRC-32 over what one write put into a segment. It tells a whole write from one that power loss tore; it is no protection
 * against anyone who may edit the file. Pure.
 */
import * as zlib from 'node:zlib';

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** The same in script, for a Node before 20.15. */
export function crc32InScript(bytes: Uint8Array, before = 0): number {
  let value = ~before;
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] as number) ^ (value >>> 8);
  return ~value >>> 0;
}

/** The checksum of these bytes, behind those that `before` is the checksum of. */
export const crc32: (bytes: Uint8Array, before?: number) => number =
  'crc32' in zlib ? (bytes, before = 0) => zlib.crc32(bytes, before) : crc32InScript;
