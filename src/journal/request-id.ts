/**
 * Request ids: `req_`, four characters of the installation, then the request number in Crockford base 32 (at least eight
 * characters, so that ids of one installation sort by age). They are names, not secrets: nothing may treat one as proof.
 */
import { randomInt } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const INSTALLATION_CHARS = 4;
const SHAPE = /^req_([0-9a-hjkmnp-tv-z]{4})([0-9a-hjkmnp-tv-z]{8,10})$/;

/** Two characters for each value of ten bits: an id then costs one look-up while the upper part stays the same. */
const PAIRS: readonly string[] = Array.from({ length: 1024 }, (_, i) => `${ALPHABET[i >> 5]}${ALPHABET[i & 31]}`);

/** A new installation mark, to be kept with the journal. */
export function newInstallationMark(): string {
  return Array.from({ length: INSTALLATION_CHARS }, () => ALPHABET[randomInt(32)]).join('');
}

function upperPart(value: number): string {
  let rest = value;
  let text = '';
  while (rest > 0 || text.length < 6) {
    text = ALPHABET[rest % 32] + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** Answers the function that names request numbers of one installation. */
export function requestIdMaker(installation: string): (requestNo: number) => string {
  let upper = -1;
  let prefix = '';
  return (requestNo) => {
    const high = Math.floor(requestNo / 1024);
    if (high !== upper) {
      upper = high;
      prefix = `req_${installation}${upperPart(high)}`;
    }
    return prefix + PAIRS[requestNo - high * 1024];
  };
}

/** The request number of an id of this installation; undefined for anything else. Reads upper case and look-alikes too. */
export function requestNoOf(installation: string, requestId: string): number | undefined {
  const plain = requestId.trim().toLowerCase();
  const match = SHAPE.exec(`req_${plain.slice(4).replaceAll('o', '0').replaceAll(/[il]/g, '1')}`);
  if (match === null || !plain.startsWith('req_') || match[1] !== installation) return undefined;
  let value = 0;
  for (const char of match[2] ?? '') value = value * 32 + ALPHABET.indexOf(char);
  return Number.isSafeInteger(value) ? value : undefined;
}
