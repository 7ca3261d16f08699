/** The built-in provider files: each parses, compiles and resolves, and together they do not fight. */
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { performance } from 'node:perf_hooks';
import { describe, expect, test } from 'vitest';
import { builtinProvidersDir, loadCatalogue } from '../../../src/config/catalogue.ts';
import { lintCatalogue } from '../../../src/config/catalogue-lint.ts';
import { lintReasons } from '../../../src/config/catalogue-overlaps.ts';
import { mintPlaceholder } from '../../../src/config/placeholder.ts';
import type { ProviderSpec } from '../../../src/config/provider.ts';
import { matchesPattern, resolveHosts, resolveInjections } from '../../../src/config/provider-hosts.ts';
import { OAUTH_FIELDS, wholeField } from '../../../src/config/provider-oauth.ts';
import { validateInjections } from '../../../src/injection/compile.ts';

const catalogue = loadCatalogue({ builtinDir: builtinProvidersDir(), userDir: null });
const slugs = readdirSync(builtinProvidersDir())
  .filter((name) => name.endsWith('.toml'))
  .map((name) => basename(name, '.toml'));

/** A value for each field that is no secret, where `x1` does not match the pattern. */
const SAMPLES: Readonly<Record<string, string>> = {
  'braze.instance_host': 'rest.iad-01.braze.com',
  'cloudflare-global-key.email': 'me@example.test',
  'datadog.site': 'us5.datadoghq.com',
  'jira.email': 'me@example.test',
  'azure-sp.tenant': 'contoso.example',
  'mailchimp.dc': 'us21',
  'milvus.cluster_host': 'in01-abc.aws-us-west-2.vectordb.zillizcloud.com',
  'neon-sql.endpoint_host': 'ep-cool-darkness-1.us-east-2.aws.neon.tech',
  'langfuse.public_key': 'pk-lf-1',
  'plaid.client_id': '0123456789abcdef01234567',
  'pinecone.index_host': 'index-abc.svc.us-east-1.pinecone.io',
  'qdrant.cluster_host': 'abc.eu-central.aws.cloud.qdrant.io',
  'supabase.project': 'abcdefghijklmnopqrst',
  'twilio.account_sid': `AC${'0'.repeat(32)}`,
  'zendesk.email': 'me@example.test',
};

const openFields = (spec: ProviderSpec): Map<string, string> =>
  new Map(
    spec.fields.filter((field) => !field.secret).map((field) => [field.name, SAMPLES[`${spec.slug}.${field.name}`] ?? 'x1']),
  );

test('there are at least a hundred and sixty, and the ones that agents need most', () => {
  expect(slugs.length).toBeGreaterThanOrEqual(160);
  for (const name of [
    'github',
    'openai',
    'anthropic',
    'stripe',
    'slack',
    'bearer',
    'header',
    'basic',
    'query',
    'cookie',
    'confluence',
  ]) {
    expect(catalogue.find(name), name).toBeDefined();
  }
});

test('no file has a problem and none fights with another', () => {
  expect(lintCatalogue(catalogue.list())).toEqual([]);
  expect(lintReasons(catalogue.list())).toEqual([]);
  expect(catalogue.problems).toEqual([]);
  expect(catalogue.list().map((spec) => spec.slug)).toEqual([...slugs].sort());
});

test("no host is a wildcard: a tenant is a field, so that a grant names its own host and no stranger's", () => {
  expect(catalogue.list().flatMap((spec) => spec.hosts.filter((host) => host.includes('*')))).toEqual([]);
});

test('looking one up at start reads one file and is quick', () => {
  // The best of three: what it costs, not what else the machine does.
  const costsMs = [1, 2, 3].map(() => {
    const startedAt = performance.now();
    loadCatalogue({ builtinDir: builtinProvidersDir(), userDir: null }).find('github');
    return performance.now() - startedAt;
  });
  expect(Math.min(...costsMs)).toBeLessThan(25);
});

describe.each(slugs)('%s', (slug) => {
  const spec = catalogue.find(slug)!;

  test('injects what compiles', () => {
    const injections = resolveInjections(spec, openFields(spec));
    // Connected only: the places of [oauth] are looked at below.
    if (spec.kind === 'oauth' && injections.length === 0) return;
    expect(
      validateInjections(
        injections,
        spec.fields.map((field) => field.name),
      ),
    ).toEqual([]);
  });

  test('leads to exact hosts', () => {
    for (const host of resolveHosts(spec, openFields(spec))) expect(host).toMatch(/^[a-z0-9.-]+(?::\d+)?$/);
  });

  test('gives agents a placeholder that the field would accept', () => {
    expect(spec.placeholder).not.toBeNull();
    const placeholder = mintPlaceholder(spec.placeholder!);
    expect(placeholder).not.toMatch(/[{}]/);
    const secret = spec.fields.find((field) => field.secret);
    // Connected only: nothing is ever typed in.
    expect(secret === undefined || matchesPattern(secret, placeholder)).toBe(true);
  });

  test('goes somewhere, by every way in which it can be had', () => {
    if (spec.kind === 'oauth') expect(spec.oauth).toBeDefined();
    if (spec.oauth === undefined) return;
    expect(spec.oauth.inject.length).toBeGreaterThan(0);
    const names = [...OAUTH_FIELDS, ...spec.fields.flatMap((field) => (field.secret ? [] : [field.name]))];
    expect(validateInjections(spec.oauth.inject, names)).toEqual([]);
    // Every endpoint is an address once the fields are filled in; one that a connection names whole is looked at then.
    const { authorizeUrl, tokenUrl, refreshUrl, revokeUrl, deviceUrl } = spec.oauth;
    for (const url of [authorizeUrl, tokenUrl, refreshUrl, revokeUrl, deviceUrl])
      if (url !== null && wholeField(url) === null) expect(new URL(url.replaceAll(/\{[^}]*\}/g, 'x1')).protocol).toBe('https:');
    for (const scope of spec.oauth.scopes) expect(scope.label, scope.name).not.toBe('');
  });

  test('is marked as what it is', () => {
    expect(spec.evidence).toBe('general');
  });
});
