/**
 * The signature of what alterd posts to a webhook: a receiver that holds the key knows who sent it, and when. The key is read from a
 * private file; it must never leave this process.
 */
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { readPrivateFile } from './private-file.ts';

const MIN_KEY_CHARACTERS = 16;

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a dot, and the body. */
export function signatureOf(key: KeyObject, body: Buffer, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1000);
  return `t=${seconds},v1=${createHmac('sha256', key).update(`${seconds}.`).update(body).digest('hex')}`;
}

/** @throws Error, AlterError vault_unavailable when the file can't be used */
export function readSignatureKey(file: string): KeyObject {
  const bytes = readPrivateFile(file);
  if (bytes === undefined) throw new Error(`${file} is not there`);
  const text = bytes.toString('utf8').trim();
  bytes.fill(0);
  if (text.length < MIN_KEY_CHARACTERS) throw new Error(`${file} holds less than ${MIN_KEY_CHARACTERS} characters`);
  return createSecretKey(Buffer.from(text));
}
