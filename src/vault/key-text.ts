/**
 * The text of agent and session keys: `alter_key_agent_` or `alter_key_session_`, 32 random base62 characters (190 bits) and a
 * CRC-32 in base62, so that a typo is told apart from an unknown key without looking anything up. URL-safe characters only.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Secret } from '../domain/secret.ts';

export type KeyKind = 'agent' | 'session';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
/** Random characters that are shown, so that people can tell keys apart: 155 secret bits remain. */
const SHOWN_LENGTH = 6;
const SHAPE = /^alter_key_(agent|session)_[0-9A-Za-z]{38}$/;

const PREFIXES: Readonly<Record<KeyKind, string>> = { agent: 'alter_key_agent_', session: 'alter_key_session_' };

/** A new key. */
export function mintKeyText(kind: KeyKind): Secret {
  const body = PREFIXES[kind] + randomBase62(RANDOM_LENGTH);
  return new Secret(body + checksum(body));
}

/** `malformed` is no key at all; `typo` has the shape of one but a checksum that does not fit. */
export function inspectKeyText(text: string): KeyKind | 'typo' | 'malformed' {
  const match = SHAPE.exec(text);
  if (!match) return text.startsWith('alter_key_') ? 'typo' : 'malformed';
  const body = text.slice(0, -CHECKSUM_LENGTH);
  return checksum(body) === text.slice(-CHECKSUM_LENGTH) ? (match[1] as KeyKind) : 'typo';
}

/** What is stored of a key, and what it is looked up by. A fast hash is enough: the key has 190 random bits. */
export const hashKeyText = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The first characters of a key, enough to recognise it. */
export const shownPrefix = (key: Secret, kind: KeyKind): string => key.reveal().slice(0, PREFIXES[kind].length + SHOWN_LENGTH);

export function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    // 248 is the largest multiple of 62 in a byte; the rest is drawn again, or some characters would be likelier.
    for (const byte of randomBytes(length)) if (byte < 248 && text.length < length) text += BASE62[byte % 62];
  }
  return text;
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = BASE62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_none, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

/** CRC-32 (IEEE) of ASCII text; zlib.crc32 is missing in the oldest supported Node. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let i = 0; i < text.length; i++) crc = CRC_TABLE[(crc ^ text.charCodeAt(i)) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
