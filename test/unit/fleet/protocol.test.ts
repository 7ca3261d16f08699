/** The test vectors of PROTOCOL.md are right, and what the document says of the shapes is what is read; `UPDATE_DOCS=1` writes the vectors anew. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  isSignatureRight,
  rawPublicKey,
  readClaim,
  SIGNING_HEADERS,
  signedHeaders,
  signingText,
  signRequest,
  verifyingKey,
} from '../../../src/crypto/request-signing.ts';
import { blockOf, expectBlock, textOf } from '../docs/documents.ts';

const FILE = 'src/fleet/PROTOCOL.md';
const SEED = /`([0-9a-f]{64})`/.exec(textOf(FILE))?.[1] ?? '';
const PKCS8_HEAD = '302e020100300506032b657004220420';
const privateKey = createPrivateKey({ key: Buffer.from(PKCS8_HEAD + SEED, 'hex'), format: 'der', type: 'pkcs8' });

const HOST_ID = '6f1c3d9e-5f0b-4c61-9d0a-0f3f6f1e2a11';
const CASES = [
  { method: 'GET', target: '/v1/host/bundle', timestamp: 1_764_000_000_000, nonce: 'AAECAwQFBgcICQoLDA0ODw', body: '' },
  { method: 'GET', target: '/v1/host/events?after=41', timestamp: 1_764_000_000_001, nonce: '8PHy8_T19vf4-fr7_P3-_w', body: '' },
  {
    method: 'POST',
    target: '/v1/host/materials',
    timestamp: 1_764_000_000_002,
    nonce: 'EBESExQVFhcYGRobHB0eHw',
    body: '{"grant_ids":["grün"]}',
  },
];

interface Vector {
  readonly public_key: string;
  readonly key_id: string;
  readonly method: string;
  readonly target: string;
  readonly timestamp: number;
  readonly nonce: string;
  readonly body: string;
  readonly text: string;
  readonly signature: string;
}

const partsOf = (each: Pick<Vector, 'method' | 'target' | 'timestamp' | 'nonce' | 'body'>) => ({
  ...each,
  body: Buffer.from(each.body, 'utf8'),
});

test('the vectors are those that the code gives', () => {
  const vectors = CASES.map(
    (each): Vector => ({
      public_key: rawPublicKey(privateKey),
      key_id: HOST_ID,
      ...each,
      text: signingText(partsOf(each)),
      signature: signRequest(privateKey, partsOf(each)),
    }),
  );
  expectBlock(FILE, 'vectors', `\`\`\`json\n${JSON.stringify(vectors, null, 2)}\n\`\`\`\n`);
});

test('the vectors are right by nothing but what the document says', () => {
  const vectors = JSON.parse(blockOf(FILE, 'vectors').replaceAll('```json', '').replaceAll('```', '')) as Vector[];
  expect(vectors).toHaveLength(CASES.length);
  // RFC 8032, 7.1, test 1.
  expect(Buffer.from(vectors[0]?.public_key ?? '', 'base64url').toString('hex')).toBe(
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  );
  for (const vector of vectors) {
    const lines = vector.text.split('\n');
    expect(lines.slice(0, 5)).toEqual(['ALTER-REQUEST-V1', vector.method, vector.target, String(vector.timestamp), vector.nonce]);
    const key = createPublicKey(privateKey);
    expect(isSignatureRight(key, partsOf(vector), vector.signature)).toBe(true);
    expect(
      isSignatureRight(verifyingKey(vector.public_key) ?? key, partsOf({ ...vector, body: `${vector.body} ` }), vector.signature),
    ).toBe(false);
  }
});

const right = signedHeaders(HOST_ID, privateKey, partsOf(CASES[0] as (typeof CASES)[0]));

test.each([
  [SIGNING_HEADERS.keyId, undefined],
  [SIGNING_HEADERS.timestamp, '01764000000000'],
  [SIGNING_HEADERS.timestamp, '-1'],
  [SIGNING_HEADERS.timestamp, '1764000000000.0'],
  [SIGNING_HEADERS.timestamp, '1e12'],
  [SIGNING_HEADERS.nonce, 'AAECAwQFBgcICQoLDA0ODw=='],
  [SIGNING_HEADERS.nonce, 'AAECAwQFBgcICQoLDA0OD'],
  [SIGNING_HEADERS.nonce, ''],
  [SIGNING_HEADERS.signature, right['alter-signature']?.slice(0, -1)],
  [SIGNING_HEADERS.signature, right['alter-signature']?.replace('v1=', 'v2=')],
  [SIGNING_HEADERS.signature, right['alter-signature']?.replace('v1=', '')],
])('%s with the value %j is no signature', (name, value) => {
  expect(readClaim((header) => right[header])).not.toBeNull();
  expect(readClaim((header) => (header === name ? value : right[header]))).toBeNull();
});

test.each(['', 'AAAA', `${'A'.repeat(42)}`, `${'A'.repeat(44)}`, `${'A'.repeat(42)}=`, `${'A'.repeat(42)}B`])(
  '%j is no key',
  (text) => {
    expect(verifyingKey(text)).toBeUndefined();
  },
);
