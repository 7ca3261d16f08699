/** What a consent is asked for: scopes that the file lists and others, and only the fields that the connection uses. */
import { expect, it } from 'vitest';
import { parseProvider } from '../../../../src/config/provider.ts';
import { publicFieldsOf, scopeProblem, scopesToAsk } from '../../../../src/vault/oauth/consent-input.ts';

const SPEC = parseProvider(
  `slug = "acme"
name = "Acme"
kind = "static"
evidence = "general"
hosts = ["{site}.acme.test"]
[[fields]]
name = "site"
label = "Site"
secret = false
[[fields]]
name = "key_id"
label = "Key id"
secret = false
[[fields]]
name = "tenant"
label = "Tenant"
secret = false
optional = true
[[fields]]
name = "region"
label = "Region"
secret = false
[[fields]]
name = "password"
label = "Password"
secret = true
[[inject]]
in = "basic"
username = "{key_id}"
password = "{password}"
[oauth]
token_url = "https://auth.acme.test/{tenant}/token"
template = "Bearer {access_token};{region}"
scope_separator = ","
[[oauth.scopes]]
name = "base"
label = "needed"
required = true
`,
  'acme.toml',
);
const oauth = SPEC.oauth!;

it('a scope that the file does not list is asked for, after the required ones', () => {
  expect(scopesToAsk(['https://acme.test/auth/rare.read', 'base'], oauth)).toEqual(['base', 'https://acme.test/auth/rare.read']);
});

it.each(['', 'two scopes', 'a"b', 'a\\b', 'ä', 'a\n', 'x'.repeat(201), 'a,b'])('%j is no scope', (scope) => {
  expect(scopeProblem('scopes', scope, ',')).toContain('is no scope');
  expect(() => scopesToAsk([scope], oauth)).toThrow('is no scope');
});

it('only fields that hosts, endpoints or places use are asked for, and optional ones are not', () => {
  expect(publicFieldsOf(SPEC, { site: 'one', region: 'eu', key_id: 'unused' })).toEqual({ site: 'one', region: 'eu' });
  expect(publicFieldsOf(SPEC, { site: 'one', region: 'eu', tenant: 't' })).toEqual({ site: 'one', region: 'eu', tenant: 't' });
  expect(() => publicFieldsOf(SPEC, { region: 'eu' })).toThrow('fields.site: is missing');
  expect(() => publicFieldsOf(SPEC, { site: 'one' })).toThrow('fields.region: is missing');
  expect(() => publicFieldsOf(SPEC, { site: 'one', region: 'eu', colour: 'red' })).toThrow('is not a field of acme');
});
