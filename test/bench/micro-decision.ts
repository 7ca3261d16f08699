/** What a verdict costs: find the placeholder, resolve the grant, decide, inject; as the line does it, on the built modules. */
import type { CallerIdentity } from '../../src/domain/agent.ts';
import type { Destination } from '../../src/domain/destination.ts';
import type { Grant } from '../../src/domain/grant.ts';
import { median } from './arithmetic.ts';

const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
const GRANTS = 51;
const PER_ROUND = 20_000;
const ROUNDS = 9;
const HOST = 'api.bench.test';
const INJECTION = { in: 'header', name: 'Authorization', template: 'Bearer {token}' } as const;

function grantOf(n: number): Grant {
  return {
    id: `6f1a2b3c-0000-4000-8000-${String(n).padStart(12, '0')}`,
    label: '',
    principal: { type: 'agent', agentId: 'agent' },
    grantKind: 'managed_secret',
    providerId: 'bench',
    credentialId: `credential-${n}`,
    credentialName: 'bench',
    destinations: [{ pattern: n === 0 ? HOST : `other-${n}.test`, port: 443, scheme: 'https' }],
    methods: ['GET', 'POST'],
    paths: ['/user', '/repos/**', '/v1/items/*'],
    excludedPaths: [],
    operations: [],
    overrideMode: 'always',
    placeholder: null,
    injections: [INJECTION],
    allowPrivate: false,
    allowPlaintext: false,
    passResponseCookies: false,
    status: 'active',
    expiresAt: null,
    createdAt: 0,
    revokedAt: null,
  };
}

const caller: CallerIdentity = {
  agentId: 'agent',
  agentName: 'bench',
  keyId: 'key',
  keyPrefix: 'alter_key_',
  keyKind: 'agent',
  sessionId: null,
  narrowing: { grantIds: null, deniedMethods: [], deniedPaths: [], deniedHosts: [] },
  expiresAt: null,
  boundUid: null,
};

const destination: Destination = {
  scheme: 'https',
  host: HOST,
  port: 443,
  family: 0,
  authority: HOST,
  origin: `https://${HOST}:443`,
};

/** Microseconds for one request. */
export async function decisionMicros(): Promise<number> {
  const { compileAuthority, resolveGrant } = (await import(
    dist('policy/resolve.js')
  )) as typeof import('../../src/policy/resolve.ts');
  const { compileGrantRules, decide } = (await import(dist('policy/decide.js'))) as typeof import('../../src/policy/decide.ts');
  const { parseTarget } = (await import(dist('policy/path.js'))) as typeof import('../../src/policy/path.ts');
  const { NO_SELECTORS } = (await import(dist('domain/selectors.js'))) as typeof import('../../src/domain/selectors.ts');
  const { compileInjections } = (await import(dist('injection/compile.js'))) as typeof import('../../src/injection/compile.ts');
  const { applyInjection } = (await import(dist('injection/inject.js'))) as typeof import('../../src/injection/inject.ts');
  const { findPlaceholder, placesOf } = (await import(
    dist('injection/placeholder.js')
  )) as typeof import('../../src/injection/placeholder.ts');
  const { Secret } = (await import(dist('domain/secret.js'))) as typeof import('../../src/domain/secret.ts');

  const grants = Array.from({ length: GRANTS }, (_, n) => grantOf(n));
  const compiled = compileAuthority({ version: 1, agents: new Map(), grants });
  const rules = new Map(grants.map((grant) => [grant, compileGrantRules(grant)]));
  const fields = new Map([['token', new Secret('SEKRET-marker-decision')]]);
  const injection = compileInjections([INJECTION], { credentialId: 'credential-0', version: 1, fields }, HOST);
  const headers = ['Host', HOST, 'User-Agent', 'bench', 'Accept', '*/*', 'Accept-Encoding', 'gzip', 'X-Request', '1'];
  const one = (n: number): number => {
    const now = 1_000 + n;
    const target = parseTarget(`/v1/items/${n % 1000}?page=${n % 7}`);
    const candidates = compiled.candidates(caller.agentId, destination);
    const placeholder = findPlaceholder(headers, target.raw, placesOf(candidates, compiled.placeholders));
    const grant = resolveGrant(compiled, caller, destination, NO_SELECTORS, placeholder, now);
    const rule = rules.get(grant) as NonNullable<ReturnType<typeof rules.get>>;
    const decision = decide(rule, { method: 'GET', headers, target, caller, destination, now });
    if (!decision.allow) throw decision.error;
    return applyInjection(headers, target.raw, injection, grant.overrideMode, grant.placeholder).headers.length;
  };
  const costs: number[] = [];
  let total = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    for (let n = 0; n < PER_ROUND; n++) total += one(n);
    costs.push(((performance.now() - startedAt) * 1000) / PER_ROUND);
  }
  // Nothing that is measured may be left out by the compiler.
  if (total === 0) throw new Error('nothing was injected');
  return median(costs.slice(3));
}
