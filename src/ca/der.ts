/**
 * DER writer: just the ASN.1 that a certificate for TLS needs, as pure functions from values to bytes.
 * It only encodes. Certificates are parsed by `node:crypto` alone; nothing here may ever read foreign DER.
 */

/** Universal and context tags in the order they appear in certificates. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
};

function lengthOf(n: number): Buffer {
  if (n < 0x80) return Buffer.of(n);
  if (n < 0x100) return Buffer.of(0x81, n);
  if (n < 0x10000) return Buffer.of(0x82, n >> 8, n & 0xff);
  throw new RangeError('DER value over 64 KiB');
}

/** One element: tag, length, content. */
export function tlv(tag: number, ...content: readonly Buffer[]): Buffer {
  let size = 0;
  for (const part of content) size += part.length;
  return Buffer.concat([Buffer.of(tag), lengthOf(size), ...content]);
}

export const sequence = (...content: readonly Buffer[]): Buffer => tlv(TAG.sequence, ...content);
export const setOf = (...content: readonly Buffer[]): Buffer => tlv(TAG.set, ...content);
export const octetString = (...content: readonly Buffer[]): Buffer => tlv(TAG.octetString, ...content);
export const utf8String = (text: string): Buffer => tlv(TAG.utf8, Buffer.from(text, 'utf8'));
export const TRUE: Buffer = Buffer.of(TAG.boolean, 1, 0xff);

/** `[number]` with constructed content. */
export const explicit = (number: number, ...content: readonly Buffer[]): Buffer => tlv(0xa0 | number, ...content);
/** `[number] IMPLICIT` around primitive content. */
export const implicit = (number: number, content: Buffer): Buffer => tlv(0x80 | number, content);

/** A BIT STRING; `unusedBits` are the low bits of the last byte that carry nothing. */
export const bitString = (content: Buffer, unusedBits = 0): Buffer => tlv(TAG.bitString, Buffer.of(unusedBits), content);

/** An INTEGER from big-endian magnitude bytes that are already minimal and positive. */
export const integer = (magnitude: Buffer): Buffer => tlv(TAG.integer, magnitude);

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const arcs = dotted.split('.').map(Number);
  const bytes = [arcs[0]! * 40 + arcs[1]!];
  for (const arc of arcs.slice(2)) {
    const groups = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) groups.unshift((rest & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(TAG.oid, Buffer.from(bytes));
}

/** An instant to the second: UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5). */
export function time(at: number): Buffer {
  const digits = `${new Date(at).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return digits < '2050' ? tlv(0x17, Buffer.from(digits.slice(2), 'latin1')) : tlv(0x18, Buffer.from(digits, 'latin1'));
}
