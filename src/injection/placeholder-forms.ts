/**
 * The forms in which a client sends a placeholder: alone, behind a scheme, in a Basic pair, quoted, as the key id of a signature. Must never look for a
 * placeholder inside a longer word: that is data, not a credential.
 */

import { credentialOf, keyIdOf } from './sigv4-scope.ts';

/** Start of the placeholders that alterd mints by default. */
export const PLACEHOLDER_PREFIX = 'alter_ph_';

const SPACE = 0x20;
const CAPITAL_A = 0x41;

/** The words of a header value that may be a placeholder, which never has a space in it. */
export function credentialWords(value: string): readonly string[] {
  const signed = value.charCodeAt(0) === CAPITAL_A ? credentialOf(value) : null;
  if (signed !== null) return [keyIdOf(signed)];
  const space = value.lastIndexOf(' ');
  const word = space === -1 ? value : value.slice(space + 1);
  if (space !== -1 && isBasic(value)) {
    const pair = Buffer.from(word, 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    return colon === -1 ? [word] : [word, pair.slice(0, colon), pair.slice(colon + 1)];
  }
  // `Token token="…"`, as Rails and PagerDuty write it.
  const equals = word.indexOf('=');
  return equals === -1 ? [word] : [word, word.slice(equals + 1).replaceAll('"', '')];
}

function isBasic(value: string): boolean {
  return value.charCodeAt(5) === SPACE && value.slice(0, 5).toLowerCase() === 'basic';
}
