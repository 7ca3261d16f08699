/** The beginning of a coded body as plain bytes, at once and bounded: what is kept of it, never what is passed on. Pure. */
import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import type { Coding } from './decoder.ts';

/** Of what is asked for: the usual text becomes no more than this, and is decoded once. */
const ROOM = 8;

/**
 * At most `maxBytes` of what `bytes`, a coded body or its beginning, becomes. The answer depends on these bytes alone.
 * @throws Error when they are not of this coding
 */
export function decodeStart(coding: Coding, bytes: Buffer, maxBytes: number): Buffer {
  // What becomes a thousand times as long is decoded from less and less of its beginning.
  for (let length = bytes.length; length > 0; length >>= 1) {
    try {
      const plain = decode(coding, bytes.subarray(0, length), maxBytes * ROOM);
      return plain.length > maxBytes ? plain.subarray(0, maxBytes) : plain;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw thrown;
    }
  }
  return Buffer.alloc(0);
}

function decode(coding: Coding, bytes: Buffer, maxOutputLength: number): Buffer {
  if (coding === 'br') return brotliDecompressSync(bytes, { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH });
  const options = { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH };
  if (coding === 'gzip') return gunzipSync(bytes, options);
  return ((bytes[0] as number) & 0x0f) === 8 ? inflateSync(bytes, options) : inflateRawSync(bytes, options);
}
