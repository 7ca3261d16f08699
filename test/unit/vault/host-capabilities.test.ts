/** Which grants need a daemon that knows a way of putting a credential on a request: one that does not would do it wrongly, or not at all. */
import { expect, test } from 'vitest';
import type { Injection } from '../../../src/domain/credential.ts';
import { HOST_CAPABILITIES, neededCapabilities } from '../../../src/vault/host-capabilities.ts';
import { grantRow } from '../../contract/store/store-rows.ts';

const hmac: Injection = { in: 'hmac', algorithm: 'sha256', key: '{k}', message: '{path}', encoding: 'hex', headers: [] };

test.each<[string, Injection, readonly string[]]>([
  ['a header', { in: 'header', name: 'X', template: '{k}' }, []],
  ['a header for git alone', { in: 'header', name: 'X', template: '{k}', requests: 'git' }, ['grants.requests']],
  ['AWS', { in: 'sigv4', key_id: '{i}', key: '{k}' }, ['grants.sigv4']],
  ['HMAC in headers', hmac, ['grants.hmac']],
  ['HMAC in the query', { ...hmac, query: [] }, ['grants.hmac', 'grants.hmac_query']],
  ['HMAC where the client signed', { ...hmac, when: 'asked' }, ['grants.hmac', 'grants.hmac_query']],
  [
    'a token for each request',
    { in: 'jwt', algorithm: 'ES256', key: '{k}', lifetime_s: 60, name: 'X', template: '{jwt}' },
    ['grants.jwt'],
  ],
  ['a certificate', { in: 'client_certificate', certificate: '{c}', key: '{k}' }, ['grants.client_certificate']],
])('%s', (_what, injection, wanted) => {
  const plain = neededCapabilities({ ...grantRow('g', null, 'c'), injections: [] }, null, []);
  const needed = neededCapabilities({ ...grantRow('g', null, 'c'), injections: [injection] }, null, []);
  expect(needed.filter((each) => !plain.includes(each))).toEqual(wanted);
  expect(HOST_CAPABILITIES).toEqual(expect.arrayContaining([...needed]));
});
