/** The headers of a signed request are written in one way each: another spelling of the same bytes is no claim. */
import { expect, test } from 'vitest';
import { mintNonce, readClaim } from '../../../src/crypto/request-signing.ts';

const NONCE = mintNonce();
const GOOD: Readonly<Record<string, string>> = {
  'alter-key-id': 'host',
  'alter-timestamp': '1764060000000',
  'alter-nonce': NONCE,
  'alter-signature': `v1=${'A'.repeat(86)}`,
};
const claimOf = (more: Readonly<Record<string, string | undefined>>) => readClaim((name) => ({ ...GOOD, ...more })[name]);

test('a claim is read', () => {
  expect(claimOf({})).toEqual({ keyId: 'host', timestamp: 1764060000000, nonce: NONCE, signature: GOOD['alter-signature'] });
});

test.each<[string, Readonly<Record<string, string | undefined>>]>([
  ...Object.keys(GOOD).map((name): [string, Record<string, undefined>] => [`without ${name}`, { [name]: undefined }]),
  ['a timestamp with a zero before it', { 'alter-timestamp': `0${GOOD['alter-timestamp']}` }],
  ['a timestamp with a sign', { 'alter-timestamp': `+${GOOD['alter-timestamp']}` }],
  ['a timestamp in another form', { 'alter-timestamp': '1.76406e12' }],
  ['a timestamp with a space', { 'alter-timestamp': `${GOOD['alter-timestamp']} ` }],
  ['a nonce with padding', { 'alter-nonce': `${NONCE}==` }],
  ['a nonce that is shorter', { 'alter-nonce': NONCE.slice(1) }],
  ['a nonce in another alphabet', { 'alter-nonce': `${NONCE.slice(1)}+` }],
  ['a signature of another scheme', { 'alter-signature': `v2=${'A'.repeat(86)}` }],
  ['a signature with padding', { 'alter-signature': `${GOOD['alter-signature']}==` }],
])('%s is none', (_what, more) => {
  expect(claimOf(more)).toBeNull();
});
