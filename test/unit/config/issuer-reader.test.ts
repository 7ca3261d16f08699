/** Issuers in the configuration: what can't be written down, and what is filled in. */
import { expect, it } from 'vitest';
import { issuers } from '../../../src/config/issuer-reader.ts';

const base = { name: 'corp', issuer: 'https://login.good.test', client_id: 'alterd' };
const problemOf = (raw: unknown): string => {
  const reading = issuers.read(raw);
  return 'problem' in reading ? reading.problem : '';
};

it.each<[string, unknown, RegExp]>([
  ['a string', 'https://login.good.test', /\[\[identity\.issuer\]\]/],
  ['no client', [{ ...base, client_id: '' }], /client_id/],
  ['plain http', [{ ...base, issuer: 'http://login.good.test' }], /https/],
  ['a URL with a query', [{ ...base, issuer: 'https://login.good.test/?a=b' }], /query/],
  ['a URL with a password', [{ ...base, issuer: 'https://u:p@login.good.test' }], /https/],
  ['the algorithm none', [{ ...base, algorithms: ['none'] }], /algorithms\.0/],
  ['a shared secret as a key', [{ ...base, algorithms: ['RS256', 'HS256'] }], /algorithms\.1/],
  ['no algorithm', [{ ...base, algorithms: [] }], /algorithms must name/],
  ['no audience', [{ ...base, audience: [] }], /audience must name/],
  ['a secret in the file', [{ ...base, client_secret: 'SEKRET-marker' }], /client_secret is not a known key/],
  ['a name that is no slug', [{ ...base, name: 'Corp Login' }], /name must be/],
  ['two of one name', [base, { ...base, issuer: 'https://other.test' }], /two with the name "corp"/],
  ['two of one issuer', [base, { ...base, name: 'other' }], /two with the issuer/],
])('%s is refused', (_what, raw, problem) => {
  expect(problemOf(raw)).toMatch(problem);
  expect(problemOf(raw)).not.toContain('SEKRET');
});

it('what is left out has safe values, and one audience may be a string', () => {
  const [config] = (issuers.read([{ ...base, audience: 'api' }]) as { value: readonly object[] }).value;
  expect(config).toEqual({
    name: 'corp',
    issuer: 'https://login.good.test',
    clientId: 'alterd',
    clientSecretFile: null,
    audience: ['api'],
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    claims: { subject: 'sub', email: 'email', name: 'name', groups: 'groups' },
    scopes: ['openid', 'profile', 'email'],
  });
});
