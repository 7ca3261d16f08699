/** config/providers/README.md is made from the files beside it; the README of the repository says how many there are. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { waysOf } from '../../../src/api/provider-view.ts';
import { builtinProvidersDir, loadCatalogue } from '../../../src/config/catalogue.ts';
import type { ProviderSpec } from '../../../src/config/provider.ts';
import { injectionText } from '../../../src/injection/injection-parts.ts';
import { expectBlock, table } from './documents.ts';

const providers = loadCatalogue({ builtinDir: builtinProvidersDir(), userDir: null }).list();
const connected = providers.filter((spec) => spec.oauth !== undefined);
const KINDS = { static: 'static', oauth: 'OAuth', both: 'static, OAuth' } as const;

const code = (text: string): string => `\`${text}\``;

/** Comments of the file that stand before its first key or before `[oauth]`; the one that explains the format is not about the service. */
function remarksOf(slug: string): string {
  const text = readFileSync(join(builtinProvidersDir(), `${slug}.toml`), 'utf8');
  if (text.startsWith('# A provider file, annotated')) return '';
  const before = [/^((?:# .*\n)+)slug = /, /^((?:# .*\n)+)\[oauth\]/m].flatMap((pattern) => pattern.exec(text)?.[1] ?? []);
  return before.map((comment) => comment.replaceAll(/^# /gm, '').trim().replaceAll('\n', ' ')).join(' ');
}

function quirksOf(spec: ProviderSpec): string {
  const { oauth } = spec;
  return [
    ...(spec.onlyPaths === undefined ? [] : [`only ${spec.onlyPaths.map(code).join(' ')}`]),
    ...(spec.gitHosts === undefined ? [] : [`git on ${spec.gitHosts.map(code).join(' ')}`]),
    ...(spec.sharesHostWith ?? []).map(({ provider }) => `shares a host with ${code(provider)}`),
    ...(oauth?.pkce === 'required' ? ['PKCE required'] : []),
    ...(oauth?.refresh === 'rotating' ? ['refresh tokens work once'] : []),
    ...(oauth?.refresh === 'exchange' ? ['access tokens are exchanged'] : []),
    ...(oauth?.deviceUrl == null ? [] : ['device flow']),
    remarksOf(spec.slug),
  ]
    .filter((part) => part !== '')
    .join('; ');
}

test('every provider has a row with its kind, hosts, places, evidence and quirks', () => {
  const rows = providers.map((spec) => {
    const places = [...new Set([...spec.inject, ...(spec.oauth?.inject ?? [])].map(injectionText))];
    const hosts = spec.hosts.length === 0 ? 'you name them' : spec.hosts.map(code).join(' ');
    return [code(spec.slug), spec.name, KINDS[waysOf(spec)], hosts, places.join(', '), spec.evidence, quirksOf(spec)];
  });
  const header = ['slug', 'name', 'kind', 'hosts', 'goes into', 'evidence', 'quirks'];
  expectBlock('config/providers/README.md', 'catalogue', table(header, rows));
});

test('the README says how many there are', () => {
  expect(providers.length).toBeGreaterThan(connected.length);
  const text = `**${providers.length} providers are built in**, ${connected.length} of them with OAuth: [the whole list](config/providers/README.md) with hosts, evidence and\nquirks. Most of it is general knowledge, not a run against the service; \`alterd provider test NAME\` tries yours, and a file of your own with the\nsame name takes the place of ours.\n`;
  expectBlock('README.md', 'providers', text);
});
