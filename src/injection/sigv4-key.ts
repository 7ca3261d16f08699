/**
 * The keys of Signature Version 4: derived for a day, a region and a service, and kept for as long as the credential's version is.
 * Must never answer the secret key itself.
 */
import { createHash, createHmac } from 'node:crypto';
import type { Secret } from '../domain/secret.ts';
import type { SigningScope } from './sigv4-scope.ts';

/** An instant as `20150830T123600Z`. */
export const amzDate = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;

/** The instant of an amzDate; NaN for anything else. */
export function instantOf(text: string): number {
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (match === null) return Number.NaN;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** Of bytes, or of text with one byte for each character. */
export const sha256Hex = (data: string | Buffer): string =>
  (typeof data === 'string' ? createHash('sha256').update(data, 'latin1') : createHash('sha256').update(data)).digest('hex');

export const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const MAX_KEPT = 64;

export class SigningKeys {
  readonly #secret: Secret;
  readonly #derived = new Map<string, Buffer>();

  constructor(secret: Secret) {
    this.#secret = secret;
  }

  /** @param day `20150830` */
  signatureOf(day: string, scope: SigningScope, stringToSign: string): string {
    return createHmac('sha256', this.#keyOf(day, scope)).update(stringToSign, 'latin1').digest('hex');
  }

  #keyOf(day: string, { region, service }: SigningScope): Buffer {
    const name = `${day}/${region}/${service}`;
    let key = this.#derived.get(name);
    if (key === undefined) {
      const step = (by: string | Buffer, text: string): Buffer => createHmac('sha256', by).update(text).digest();
      key = step(step(step(step(`AWS4${this.#secret.reveal()}`, day), region), service), 'aws4_request');
      // The client chooses regions and services: it must not make this grow without end.
      if (this.#derived.size >= MAX_KEPT) this.#derived.clear();
      this.#derived.set(name, key);
    }
    return key;
  }
}
