/**
 * One case of a policy test: a request as somebody would describe it, and the verdict that is expected. Made into facts without a
 * daemon, so that a repository of policies can be tested where it lies. Pure.
 */
import { isIP } from 'node:net';
import { NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import { defaultPort, destinationOf, type Scheme } from '../domain/destination.ts';
import type { Grant } from '../domain/grant.ts';
import { decidePolicies } from './decide-policies.ts';
import { LimitLedger } from './limit-ledger.ts';
import { parseTarget } from './path.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { PolicySet } from './policy-set.ts';

export type FixtureVerdict = 'allow' | 'deny' | 'limited' | 'approval';
export const FIXTURE_VERDICTS = ['allow', 'deny', 'limited', 'approval'] as const;

export interface PolicyFixture {
  readonly name: string;
  readonly agent: string;
  readonly session: boolean;
  readonly grant: string;
  readonly provider: string;
  readonly method: string;
  readonly url: string;
  /** Flat name/value list. */
  readonly headers: readonly string[];
  /** null: no body. */
  readonly body: string | null;
  readonly mediaType: string;
  /** null: not known. '' : certainly none. */
  readonly user: string | null;
  readonly issuer: string | null;
  readonly groups: readonly string[] | null;
  readonly source: {
    readonly address: string;
    readonly uid: number | null;
    readonly unit: string | null;
    readonly executable: string | null;
  };
  /** Epoch milliseconds. */
  readonly at: number;
  /** How often the request is made; the verdict is that of the last. */
  readonly times: number;
  readonly expected: FixtureVerdict;
  /** `POLICY/RULE`; null when it does not matter. */
  readonly rule: string | null;
}

export interface FixtureResult {
  readonly verdict: FixtureVerdict;
  readonly rule: string | null;
  readonly passed: boolean;
}

/** @throws AlterError malformed_request when the URL's path is none; TypeError when the URL is none */
export function runFixture(set: PolicySet, fixture: PolicyFixture): FixtureResult {
  const facts = factsOf(fixture);
  const ledger = new LimitLedger();
  let decision = decidePolicies(set, facts, ledger);
  for (let i = 1; i < fixture.times; i++) decision = decidePolicies(set, facts, ledger);
  const rule = decision.allow ? null : decision.rule.replace(/^policy\./, '');
  let verdict: FixtureVerdict = 'allow';
  if (!decision.allow)
    verdict = decision.hold !== null ? 'approval' : decision.error.code === 'rate_limited' ? 'limited' : 'deny';
  return { verdict, rule, passed: verdict === fixture.expected && (fixture.rule === null || fixture.rule === rule) };
}

function factsOf(fixture: PolicyFixture): PolicyFacts {
  const url = new URL(fixture.url);
  const scheme = url.protocol.slice(0, -1) as Scheme;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? defaultPort(scheme) : Number(url.port);
  // The URL parser resolves dot segments; policy has to see the path as it was written.
  const raw = /^[a-z]+:\/\/[^/?#]*([^#]*)/i.exec(fixture.url)?.[1] || '/';
  const { user, issuer, groups } = fixture;
  return {
    method: fixture.method,
    headers: fixture.headers,
    target: parseTarget(raw.startsWith('/') ? raw : `/${raw}`),
    caller: {
      agentId: fixture.agent,
      agentName: fixture.agent,
      keyId: '',
      keyPrefix: '',
      keyKind: fixture.session ? 'session' : 'agent',
      sessionId: fixture.session ? 'session' : null,
      narrowing: NO_NARROWING,
      expiresAt: null,
      boundUid: null,
      binding: NO_BINDING,
      userId: null,
      parentAgent: null,
    },
    destination: destinationOf(scheme, host, port, isIP(host) as 0 | 4 | 6),
    grant: grantOf(fixture, host, port, scheme),
    source: fixture.source,
    principal: user === null ? null : user === '' ? { kind: 'none' } : { kind: 'user', user, issuer, groups },
    body: { text: fixture.body ?? '', mediaType: fixture.mediaType },
    now: fixture.at,
  };
}

function grantOf({ grant, provider, agent }: PolicyFixture, host: string, port: number, scheme: Scheme): Grant {
  return {
    id: grant,
    label: grant,
    principal: { type: 'agent', agentId: agent },
    grantKind: 'managed_secret',
    providerId: provider,
    credentialId: '',
    credentialName: '',
    destinations: [{ pattern: host, port, scheme }],
    methods: null,
    paths: null,
    excludedPaths: [],
    operations: [],
    git: null,
    approval: null,
    overrideMode: 'always',
    placeholder: null,
    injections: [],
    allowPrivate: false,
    allowPlaintext: false,
    passResponseCookies: false,
    noCache: false,
    offlineGraceMs: 0,
    auditBodies: 'none',
    auditBodyBytes: 16_384,
    status: 'active',
    expiresAt: null,
    createdAt: 0,
    revokedAt: null,
  };
}
