/** Which grant: every refusal with its reason, then the one grant that is used. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { NO_SELECTORS, type Selectors } from '../../../src/domain/selectors.ts';
import { compileAuthority, resolveGrant } from '../../../src/policy/resolve.ts';
import { authorityOf, callerOf, grantOf, NOW } from './fixtures.ts';

const at = (url: string) => {
  const [scheme, authority] = url.split('://') as ['http' | 'https', string];
  return parseAuthority(authority, scheme, scheme === 'https' ? 443 : 80);
};

interface Ask {
  url?: string;
  agent?: string;
  selectors?: Partial<Selectors>;
  placeholder?: string | null;
  grantIds?: readonly string[] | null;
  now?: number;
}

function resolve(grants: readonly Grant[], ask: Ask = {}): Grant {
  return resolveGrant(
    compileAuthority(authorityOf(...grants)),
    callerOf(ask.agent ?? 'bot', { grantIds: ask.grantIds ?? null }),
    at(ask.url ?? 'https://api.good.test'),
    { ...NO_SELECTORS, ...ask.selectors },
    ask.placeholder ?? null,
    ask.now ?? NOW,
  );
}

function refusalOf(grants: readonly Grant[], ask: Ask = {}): AlterError {
  try {
    resolve(grants, ask);
  } catch (thrown) {
    if (thrown instanceof AlterError) return thrown;
    throw thrown;
  }
  throw new Error('a grant was resolved');
}

const G = 'api.good.test';
const work = grantOf('work', 'bot', G, { label: 'work' });
const home = grantOf('home', 'bot', G, { label: 'home' });
const shared = grantOf('shared', null, G, { label: 'shared' });
const other = grantOf('other', 'rival', G, { label: 'theirs' });
const elsewhere = grantOf('elsewhere', 'bot', 'api.else.test');
const http = (port: number, more: Partial<Grant> = {}) =>
  grantOf('plain', 'bot', G, { destinations: [{ pattern: G, port, scheme: 'http' }], ...more });

describe('resolveGrant refuses', () => {
  it.each<[string, readonly Grant[], Ask, string, object]>([
    ['an agent without grants', [], {}, 'grant_not_found', { host: G, agent: 'name-of-bot' }],
    ["another agent's grant", [other], {}, 'grant_not_found', { host: G }],
    ['another host', [elsewhere], {}, 'grant_not_found', {}],
    [
      'another port (S-15)',
      [work],
      { url: `https://${G}:8443` },
      'grant_not_found',
      { reason: expect.stringContaining('port 443') },
    ],
    [
      'plain http (S-16)',
      [work],
      { url: `http://${G}` },
      'policy_violation',
      { policy_error: 'plaintext_injection', grant_id: 'work' },
    ],
    [
      'plain http on the same port',
      [work],
      { url: `http://${G}:443` },
      'policy_violation',
      { policy_error: 'plaintext_injection' },
    ],
    [
      'a grant for http that does not say so',
      [http(80)],
      { url: `http://${G}` },
      'policy_violation',
      { policy_error: 'plaintext_injection' },
    ],
    ['plain http on another port', [http(8080, { allowPlaintext: true })], { url: `http://${G}` }, 'grant_not_found', {}],
    ['https with a grant for http', [http(443, { allowPlaintext: true })], {}, 'grant_not_found', {}],
    ['an address for a name (S-20)', [work], { url: 'https://203.0.113.5' }, 'grant_not_found', {}],
    ['the apex of a wildcard (S-14)', [grantOf('w', 'bot', '*.good.test')], { url: 'https://good.test' }, 'grant_not_found', {}],
    [
      'two labels under a wildcard (S-14)',
      [grantOf('w', 'bot', '*.good.test')],
      { url: 'https://a.b.good.test' },
      'grant_not_found',
      {},
    ],
    ['a grant without destinations', [grantOf('none', 'bot', G, { destinations: [] })], {}, 'grant_not_found', {}],
    [
      'two grants',
      [work, home],
      {},
      'ambiguous_grant',
      {
        host: G,
        provider_id: 'good',
        candidates: [
          { grant_id: 'work', label: 'work' },
          { grant_id: 'home', label: 'home' },
        ],
      },
    ],
    [
      "two own ones, without the system's",
      [shared, work, home],
      {},
      'ambiguous_grant',
      {
        candidates: [
          { grant_id: 'work', label: 'work' },
          { grant_id: 'home', label: 'home' },
        ],
      },
    ],
    ['an exact one and a wildcard', [work, grantOf('w', 'bot', '*.good.test')], {}, 'ambiguous_grant', {}],
    ['two system grants', [shared, { ...shared, id: 'shared2' }], {}, 'ambiguous_grant', {}],
    ['two of a label', [work, { ...work, id: 'w2', providerId: 'x' }], { selectors: { label: 'work' } }, 'ambiguous_grant', {}],
    ['an expired grant', [{ ...work, expiresAt: NOW }], {}, 'grant_expired', { grant_id: 'work' }],
    ['a revoked grant', [{ ...work, status: 'revoked' }], {}, 'grant_revoked', { grant_id: 'work' }],
    ['a revoked grant that expired too', [{ ...work, status: 'revoked', expiresAt: 1 }], {}, 'grant_revoked', {}],
    [
      'the newest of several ended ones',
      [
        { ...work, expiresAt: 1, createdAt: 5 },
        { ...home, status: 'revoked', createdAt: 3 },
      ],
      {},
      'grant_expired',
      { grant_id: 'work' },
    ],
    [
      'an id that is not there',
      [work],
      { selectors: { grantId: 'nope' } },
      'grant_not_found',
      { reason: expect.stringContaining('nope') },
    ],
    ["another agent's id", [work, other], { selectors: { grantId: 'other' } }, 'grant_not_found', {}],
    ['an id of another host', [work, elsewhere], { selectors: { grantId: 'elsewhere' } }, 'grant_not_found', {}],
    ['a label that is not there', [work], { selectors: { label: 'WORK' } }, 'grant_not_found', {}],
    ['id and label of different grants', [work, home], { selectors: { grantId: 'work', label: 'home' } }, 'grant_not_found', {}],
    ['an account that is not there', [work], { selectors: { account: 'me@good.test' } }, 'grant_not_found', {}],
    [
      'a grant outside the session',
      [work],
      { grantIds: ['home'] },
      'grant_not_found',
      { reason: expect.stringContaining('session') },
    ],
    ['a session without grants', [work, shared], { grantIds: [] }, 'grant_not_found', {}],
    [
      'an unknown placeholder (S-67)',
      [work],
      { placeholder: 'alter_ph_nobody' },
      'policy_violation',
      { policy_error: 'unknown_placeholder' },
    ],
    [
      "another agent's placeholder, told apart by nothing",
      [work, other],
      { placeholder: 'alter_ph_other' },
      'policy_violation',
      { policy_error: 'unknown_placeholder' },
    ],
    [
      'the placeholder of another host (S-64)',
      [work, elsewhere],
      { placeholder: 'alter_ph_elsewhere' },
      'policy_violation',
      { policy_error: 'placeholder_wrong_host', grant_id: 'elsewhere' },
    ],
    [
      'the placeholder of another host where nothing is granted',
      [elsewhere],
      { placeholder: 'alter_ph_elsewhere' },
      'policy_violation',
      { policy_error: 'placeholder_wrong_host' },
    ],
    [
      'a placeholder outside the session',
      [work, home],
      { placeholder: 'alter_ph_work', grantIds: ['home'] },
      'grant_not_found',
      {},
    ],
    [
      'a placeholder that contradicts the label',
      [work, home],
      { placeholder: 'alter_ph_work', selectors: { label: 'home' } },
      'grant_not_found',
      {},
    ],
    [
      'the placeholder of a revoked grant, with another one active',
      [{ ...work, status: 'revoked' }, home],
      { placeholder: 'alter_ph_work' },
      'grant_revoked',
      { grant_id: 'work' },
    ],
  ])('%s', (_name, grants, ask, code, details) => {
    const error = refusalOf(grants, ask);
    expect({ code: error.code, ...error.details }).toMatchObject({ code, ...details });
    expect(error.hint).toEqual(expect.any(String));
    expect(JSON.stringify([error.details, error.message, error.hint])).not.toMatch(/theirs|name-other/);
  });
});

describe('resolveGrant answers', () => {
  it.each<[string, readonly Grant[], Ask, string]>([
    ['the only grant', [work, other, elsewhere], {}, 'work'],
    ['a wildcard', [grantOf('w', 'bot', '*.good.test')], {}, 'w'],
    ['the system grant', [shared, other], {}, 'shared'],
    ["the agent's own before the system's", [shared, work], {}, 'work'],
    ["the system's when the own has expired", [shared, { ...work, expiresAt: NOW }], {}, 'shared'],
    ["the system's when the own is revoked", [shared, { ...work, status: 'revoked' }], {}, 'shared'],
    ["the system's by its id", [shared, work], { selectors: { grantId: 'shared' } }, 'shared'],
    ["the system's in a session that has only it", [shared, work], { grantIds: ['shared'] }, 'shared'],
    ['the active one beside a revoked one', [{ ...work, status: 'revoked' }, home], {}, 'home'],
    ['the living one beside an expired one', [{ ...work, expiresAt: 5 }, home], {}, 'home'],
    ['one that expires later', [{ ...work, expiresAt: NOW + 1 }], {}, 'work'],
    ["the agent's own where both have the label", [{ ...shared, label: 'work' }, work], { selectors: { label: 'work' } }, 'work'],
    ['by id', [work, home], { selectors: { grantId: 'home' } }, 'home'],
    ['by label', [work, home], { selectors: { label: 'home' } }, 'home'],
    ['by name of the credential', [work, home], { selectors: { label: 'name-home' } }, 'home'],
    ['by account', [work, home], { selectors: { account: 'home' } }, 'home'],
    ['by placeholder', [work, home], { placeholder: 'alter_ph_home' }, 'home'],
    ['by session', [work, home], { grantIds: ['home', 'elsewhere'] }, 'home'],
    ['plain http where the grant says so', [http(80, { allowPlaintext: true })], { url: `http://${G}` }, 'plain'],
    ['a grant for https over http on its port', [{ ...work, allowPlaintext: true }], { url: `http://${G}:443` }, 'work'],
    [
      'another port that is granted',
      [work, grantOf('alt', 'bot', G, { destinations: [{ pattern: G, port: 8443, scheme: 'https' }] })],
      { url: `https://${G}:8443` },
      'alt',
    ],
    ['an address', [grantOf('ip', 'bot', '203.0.113.5')], { url: 'https://203.0.113.5' }, 'ip'],
  ])('%s', (_name, grants, ask, id) => {
    expect(resolve(grants, ask).id).toBe(id);
  });

  it('asks the clock again for a destination that it has seen', () => {
    const compiled = compileAuthority(authorityOf({ ...work, expiresAt: NOW + 10 }));
    const ask = (now: number) => resolveGrant(compiled, callerOf('bot'), at(`https://${G}`), NO_SELECTORS, null, now);
    expect(ask(NOW).id).toBe('work');
    expect(() => ask(NOW + 10)).toThrow(expect.objectContaining({ code: 'grant_expired' }));
  });

  it("never answers another agent's grant, in whatever order agents call (S-17)", () => {
    const agents = ['a', 'b', 'c'];
    const hosts = ['x.good.test', 'y.good.test', 'z.test'];
    const grant = fc.record({
      agent: fc.constantFrom(...agents, null),
      host: fc.constantFrom(...hosts, '*.good.test'),
      status: fc.constantFrom('active' as const, 'revoked' as const),
      label: fc.constantFrom('', 'l', 'm'),
    });
    const call = fc.record({
      agent: fc.constantFrom(...agents),
      host: fc.constantFrom(...hosts),
      label: fc.constantFrom(null, null, 'l', 'm'),
      pick: fc.nat({ max: 9 }),
      way: fc.constantFrom('free', 'id', 'placeholder'),
    });
    fc.assert(
      fc.property(fc.array(grant, { maxLength: 8 }), fc.array(call, { maxLength: 20 }), (specs, calls) => {
        const grants = specs.map((s, i) => grantOf(`g${i}`, s.agent, s.host, { status: s.status, label: s.label }));
        const compiled = compileAuthority(authorityOf(...grants));
        for (const c of calls) {
          const selectors = { ...NO_SELECTORS, label: c.label, grantId: c.way === 'id' ? `g${c.pick}` : null };
          const placeholder = c.way === 'placeholder' ? `alter_ph_g${c.pick}` : null;
          let got: Grant;
          try {
            got = resolveGrant(compiled, callerOf(c.agent), at(`https://${c.host}`), selectors, placeholder, NOW);
          } catch (thrown) {
            if (!(thrown instanceof AlterError)) throw thrown;
            const named = JSON.stringify(thrown.details) + thrown.hint;
            for (const g of grants)
              if (g.principal.type === 'agent' && g.principal.agentId !== c.agent && g.id !== selectors.grantId)
                expect(named).not.toContain(`"${g.id}"`);
            continue;
          }
          expect(got.status).toBe('active');
          if (got.principal.type === 'agent') expect(got.principal.agentId).toBe(c.agent);
          expect(got.destinations[0]?.pattern === c.host || c.host.endsWith('.good.test')).toBe(true);
          expect(compiled.candidates(c.agent, at(`https://${c.host}`))).toContain(got);
        }
      }),
    );
  });
});

describe('covers', () => {
  const compiled = compileAuthority(
    authorityOf(
      work,
      { ...elsewhere, status: 'revoked' },
      grantOf('w', 'rival', '*.wild.test'),
      grantOf('ip', null, '::1'),
      grantOf('v4', 'bot', '10.0.0.1'),
    ),
  );
  it.each([
    [G, 443, true],
    [G, 80, true],
    [G, 8443, true],
    ['api.else.test', 443, true],
    ['a.wild.test', 443, true],
    ['wild.test', 443, false],
    ['a.b.wild.test', 443, false],
    ['good.test', 443, false],
    ['evil.test', 443, false],
    ['::1', 443, true],
    ['10.0.0.1', 443, true],
    ['10.0.0.2', 443, false],
  ])('%s:%i %s', (host, port, expected) => {
    expect(compiled.covers(host, port)).toBe(expected);
  });
});

describe('size', () => {
  it('10,000 grants of 1,000 agents are indexed quickly and answered from the index', () => {
    const grants = Array.from({ length: 10_000 }, (_, i) =>
      grantOf(`g${i}`, `agent${i % 1000}`, `api${Math.floor(i / 1000)}.good.test`),
    );
    const started = performance.now();
    const compiled = compileAuthority(authorityOf(...grants));
    for (let i = 0; i < 1000; i++)
      expect(resolveGrant(compiled, callerOf(`agent${i}`), at('https://api3.good.test'), NO_SELECTORS, null, NOW).id).toBe(
        `g${3000 + i}`,
      );
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
