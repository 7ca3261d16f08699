/**
 * A file that a passphrase opens: two lines of text that say how, then AES-256-GCM over everything else. Both lines are the associated
 * data, so that no parameter can be changed without the file failing to open. Nothing of the content is ever in the two lines.
 */
import { createCipheriv, createDecipheriv, createHmac, type KeyObject, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import { keyFromBytes } from './seal.ts';

const MAGIC = 'alterd-sealed';
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** 128 MiB and about half a second for each guess. */
const COST_LOG2 = 17;
const BLOCK = 8;
/** SECURITY: what a file may make its reader spend; 1 GiB, or a file could take the machine down. */
const MAX_COST_LOG2 = 20;
const MAX_HEAD_BYTES = 4_096;

/** The second line. */
interface Head {
  readonly kind: string;
  readonly kdf: 'scrypt';
  readonly cost_log2: number;
  readonly block: number;
  readonly salt: string;
  readonly cipher: 'aes-256-gcm';
  readonly nonce: string;
  /** Tells a wrong passphrase from a file that was changed. */
  readonly check: string;
  readonly bytes: number;
  readonly made_at: string;
}

export interface SealOptions {
  /** What the file is, so that one kind is never taken for another. */
  readonly kind: string;
  readonly now: number;
  /** Less for tests. */
  readonly costLog2?: number | undefined;
}

/** Seals a whole file. The caller zeroes the plaintext. */
export async function sealWithPassphrase(plaintext: Uint8Array, passphrase: Secret, options: SealOptions): Promise<Buffer> {
  const { kind, now, costLog2 = COST_LOG2 } = options;
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const { key, check } = await keysOf(passphrase, salt, costLog2, BLOCK);
  const head: Head = {
    ...{ kind, kdf: 'scrypt', cost_log2: costLog2, block: BLOCK, salt: salt.toString('base64url') },
    ...{ cipher: 'aes-256-gcm', nonce: nonce.toString('base64url'), check, bytes: plaintext.length },
    made_at: new Date(now).toISOString(),
  };
  const lines = Buffer.from(`${MAGIC} ${FORMAT}\n${JSON.stringify(head)}\n`, 'utf8');
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(lines);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([lines, body, cipher.getAuthTag()]);
}

/** Opens what sealWithPassphrase() made. The caller zeroes the answer. @throws AlterError sealed_file_refused */
export async function openWithPassphrase(file: Uint8Array, passphrase: Secret, kind: string): Promise<Buffer> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const { head, lines } = readHead(bytes);
  if (head.kind !== kind)
    throw refused('not_a_file', `it is of the kind ${JSON.stringify(head.kind)}, not ${JSON.stringify(kind)}`);
  const { length } = bytes;
  const expected = lines.length + head.bytes + TAG_BYTES;
  if (length < expected) throw refused('truncated', `${length} of ${expected} bytes are there`);
  if (length > expected) throw refused('altered', `it has ${length - expected} bytes more than it says`);
  const { key, check } = await keysOf(passphrase, Buffer.from(head.salt, 'base64url'), head.cost_log2, head.block);
  if (!isSame(check, head.check)) throw refused('passphrase', 'this is not the passphrase that it was sealed with');
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(head.nonce, 'base64url'), { authTagLength: TAG_BYTES });
  decipher.setAAD(lines);
  decipher.setAuthTag(bytes.subarray(length - TAG_BYTES));
  const opened = decipher.update(bytes.subarray(lines.length, length - TAG_BYTES));
  try {
    // SECURITY: nothing decrypted may be used before final() has checked the tag.
    decipher.final();
    return opened;
  } catch (cause) {
    opened.fill(0);
    throw refused('altered', 'it is not as it was written', cause);
  }
}

function readHead(bytes: Buffer): { readonly head: Head; readonly lines: Buffer } {
  const first = bytes.subarray(0, MAX_HEAD_BYTES).indexOf(0x0a);
  const [magic, format] = first < 0 ? [] : bytes.toString('utf8', 0, first).split(' ');
  if (magic !== MAGIC) {
    const isBegun = first < 0 && `${MAGIC} ${FORMAT}`.startsWith(bytes.toString('utf8', 0, MAX_HEAD_BYTES));
    throw isBegun ? refused('truncated', 'its first line is not whole') : refused('not_a_file', 'it does not begin like one');
  }
  if (format !== String(FORMAT)) {
    throw /^[1-9]\d{0,8}$/.test(format ?? '')
      ? refused('newer_format', `its format is ${format}; this alterd reads ${FORMAT}`)
      : refused('altered', 'its first line makes no sense');
  }
  const second = bytes.subarray(0, MAX_HEAD_BYTES).indexOf(0x0a, first + 1);
  if (second < 0) throw refused(bytes.length < MAX_HEAD_BYTES ? 'truncated' : 'altered', 'its second line has no end');
  const head = parsed(bytes.toString('utf8', first + 1, second));
  if (head === null) throw refused('altered', 'its second line makes no sense');
  return { head, lines: bytes.subarray(0, second + 1) };
}

function parsed(text: string): Head | null {
  let head: Partial<Record<keyof Head, unknown>>;
  try {
    head = JSON.parse(text) as typeof head;
  } catch {
    return null;
  }
  const { kind, kdf, cost_log2: cost, block, salt, cipher, nonce, check, bytes } = head ?? {};
  const isWhole = (value: unknown, from: number, to: number): boolean =>
    Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to;
  const hasBytes = (value: unknown, count: number): boolean =>
    typeof value === 'string' && Buffer.from(value, 'base64url').length === count;
  const isKnown = typeof kind === 'string' && kdf === 'scrypt' && cipher === 'aes-256-gcm' && typeof check === 'string';
  const isSane = isWhole(cost, 10, MAX_COST_LOG2) && isWhole(block, 1, BLOCK) && isWhole(bytes, 0, Number.MAX_SAFE_INTEGER);
  return isKnown && isSane && hasBytes(salt, SALT_BYTES) && hasBytes(nonce, NONCE_BYTES) ? (head as Head) : null;
}

/** The key, and what may be shown of it. */
async function keysOf(
  passphrase: Secret,
  salt: Buffer,
  costLog2: number,
  block: number,
): Promise<{ readonly key: KeyObject; readonly check: string }> {
  const cost = 2 ** costLog2;
  // The same letters can be typed as different code points; what is meant is the letters.
  const text = Buffer.from(passphrase.reveal().normalize('NFC'), 'utf8');
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const limits = { N: cost, r: block, p: 1, maxmem: 256 * cost * block };
    scrypt(text, salt, KEY_BYTES, limits, (error, made) => (error === null ? resolve(made) : reject(error)));
  }).finally(() => text.fill(0));
  const key = keyFromBytes(bytes);
  const check = createHmac('sha256', key).update('alterd passphrase check 1').digest().subarray(0, 16).toString('base64url');
  return { key, check };
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

type Problem = 'not_a_file' | 'truncated' | 'altered' | 'passphrase' | 'newer_format';

const refused = (problem: Problem, reason: string, cause?: unknown): AlterError =>
  new AlterError('sealed_file_refused', { file_problem: problem, reason }, cause === undefined ? {} : { cause });
