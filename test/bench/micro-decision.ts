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

/** The grant number 0 names the destination of the bench; the others name hosts of their own. */
export function benchGrant(n: number): Grant {
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
    approval: null,
    overrideMode: 'always',
    placeholder: null,
    injections: [INJECTION],
    allowPrivate: false,
    allowPlaintext: false,
    passResponseCookies: false,
    noCache: false,
    offlineGraceMs: 0,
    auditBodies: 'none',
    auditBodyBytes: 16_384,
    git: null,
    status: 'active',
    expiresAt: null,
    createdAt: 0,
    revokedAt: null,
  };
}

export const BENCH_CALLER: CallerIdentity = {
  agentId: 'agent',
  agentName: 'bench',
  keyId: 'key',
  keyPrefix: 'alter_key_',
  keyKind: 'agent',
  sessionId: null,
  narrowing: { grantIds: null, deniedMethods: [], deniedPaths: [], deniedHosts: [] },
  expiresAt: null,
  boundUid: null,
  binding: { unit: null, executable: null, cidr: null },
  userId: null,
  parentAgent: null,
};

export const BENCH_DESTINATION: Destination = {
  scheme: 'https',
  host: HOST,
  port: 443,
  family: 0,
  authority: HOST,
  origin: `https://${HOST}:443`,
};

/** Microseconds for one request. */
export async function decisionMicros(): Promise<number> {
  const [caller, destination] = [BENCH_CALLER, BENCH_DESTINATION];
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

  const grants = Array.from({ length: GRANTS }, (_, n) => benchGrant(n));
  const compiled = compileAuthority({ version: 1, agents: new Map(), grants, users: new Map(), delegations: [] });
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

/**
 * Two hundred rules over all layers, as one request meets them: those of others are passed by the index, about sixty are looked at. Without
 * expressions, whose cost is a figure of its own.
 * @returns µs for a decision, and for one expression
 */
export async function policyMicros(): Promise<{ readonly rulesUs: number; readonly celUs: number }> {
  const { loadPolicies } = (await import(
    dist('config/policy-directory.js')
  )) as typeof import('../../src/config/policy-directory.ts');
  const { decidePolicies } = (await import(
    dist('policy/decide-policies.js')
  )) as typeof import('../../src/policy/decide-policies.ts');
  const { parseTarget } = (await import(dist('policy/path.js'))) as typeof import('../../src/policy/path.ts');
  const { LimitLedger } = (await import(dist('policy/limit-ledger.js'))) as typeof import('../../src/policy/limit-ledger.ts');
  const headers = ['Host', HOST, 'User-Agent', 'bench', 'Accept', '*/*', 'Accept-Encoding', 'gzip', 'X-Request', '1'];
  const target = parseTarget('/v1/items/7?page=2');
  const source = { address: '127.0.0.1:40000', uid: null, executable: null };
  const ledger = new LimitLedger();
  const measure = async (tomls: readonly string[]): Promise<number> => {
    const { set, problems } = await loadPolicies(tomls.map((toml, i) => ({ origin: 'file', place: `${i}.toml`, toml })));
    if (set === null) throw new Error(JSON.stringify(problems));
    const grant = benchGrant(0);
    const one = (now: number): boolean =>
      decidePolicies(
        set,
        {
          method: 'GET',
          headers,
          target,
          caller: BENCH_CALLER,
          destination: BENCH_DESTINATION,
          grant,
          source,
          principal: { kind: 'none' },
          body: null,
          now,
        },
        ledger,
      ).allow;
    if (!one(Date.now())) throw new Error('the request has to pass every rule');
    const costs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const startedAt = performance.now();
      for (let n = 0; n < PER_ROUND; n++) one(1_790_000_000_000 + n);
      costs.push(((performance.now() - startedAt) * 1000) / PER_ROUND);
    }
    return median(costs.slice(3));
  };
  const expression = `request.method == "GET" && request.path.startsWith("/v1/")`;
  const alone = '[[rules]]\nname = "r"\neffect = "require"\nwhen = { before = 2099-01-01T00:00:00Z }';
  const withCel = alone.replace('when = {', `when = { cel = '${expression}',`);
  const head = 'name = "p"\nlayer = "installation"\n';
  return { rulesUs: await measure(manyPolicies()), celUs: (await measure([head + withCel])) - (await measure([head + alone])) };
}

/** Ten policies of twenty rules. */
function manyPolicies(): string[] {
  const rules = (n: number): string =>
    Array.from({ length: 4 }, (_none, i) =>
      [
        `effect = "deny"\nwhen = { methods = ["DELETE", "PUT"], paths = ["/v1/a${i}/**"] }`,
        `effect = "deny"\nwhen = { paths = ["/admin${n}/${i}/**", "/v2/*/keys"] }`,
        `effect = "require"\non = { hosts = ["${i === 0 ? HOST : `h${i}.test`}"] }\nwhen = { time = [{ zone = "UTC" }], before = 2099-01-01T00:00:00Z }`,
        `effect = "deny"\nwhen = { hosts = ["x${i}.test", "*.y.test"], query = [{ name = "force", exists = true }] }`,
        `effect = "${i === 0 ? 'limit' : 'deny'}"\nwhen = { methods = ["${i === 0 ? 'GET' : 'PATCH'}"] }${i === 0 ? '\nlimit = { kind = "token_bucket", requests = 1000000, per = "1s" }' : ''}`,
      ].map((body, k) => `[[rules]]\nname = "r${i}-${k}"\n${body}`),
    )
      .flat()
      .join('\n');
  const layers = ['installation', 'provider', 'agent', 'grant', 'session'];
  const names: Readonly<Record<string, string>> = {
    provider: 'bench',
    agent: BENCH_CALLER.agentName,
    grant: benchGrant(0).id,
    session: '*',
  };
  return Array.from({ length: 10 }, (_none, n) => {
    const layer = layers[n % 5] as string;
    const target = n >= 5 && n % 5 !== 0 ? 'somebody-else' : names[layer];
    const targets = layer === 'installation' ? '' : `targets = ["${target}"]\n`;
    return `name = "p${n}"\nlayer = "${layer}"\n${targets}${rules(n)}`;
  });
}
