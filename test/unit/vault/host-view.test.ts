/** What one host gets to see, how two views differ, and how they travel. */
import { describe, expect, test } from 'vitest';
import type { StoreSnapshot } from '../../../src/store/rows.ts';
import { EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import { HostIndexer } from '../../../src/vault/host-index.ts';
import {
  changeView,
  diffViews,
  EMPTY_VIEW,
  type HostAssignment,
  type HostView,
  hostView,
  keptView,
  VIEW_KINDS,
} from '../../../src/vault/host-view.ts';
import { readWireChange, readWireView, wireChange, wireView } from '../../../src/vault/host-wire.ts';
import { agentRow, credentialRow, delegationRow, grantRow, keyRow, permitRow, userRow } from '../../contract/store/store-rows.ts';

const ISSUER = 'https://login.good.test';

const DENY = 'effect = "deny"';
const LIMIT = 'effect = "limit"\nlimit = { kind = "fixed_window", requests = 5, per = "1m" }';
const OWN_LIMIT = LIMIT.replace(' }', ', scope = "host" }');
const policyOf = (layer: string, targets: readonly string[], rule: string, mode = 'enforce'): string =>
  `name = "p"\nlayer = "${layer}"\nmode = "${mode}"\n${layer === 'installation' ? '' : `targets = ${JSON.stringify(targets)}\n`}[[rules]]\nname = "r"\n${rule}\n`;

const ROWS: StoreSnapshot = {
  ...EMPTY_SNAPSHOT,
  epoch: 7,
  agents: [
    agentRow('boss', { metadata: { aB: 'kept_as_it_is' } }),
    agentRow('bot', { parentId: 'boss' }),
    agentRow('other'),
    agentRow('narrow', { providers: ['elsewhere'] }),
  ],
  keys: [keyRow('k-boss', 'boss'), keyRow('k-bot', 'bot'), keyRow('k-other', 'other'), keyRow('k-narrow', 'narrow')],
  credentials: [
    credentialRow('c-bot', {
      sources: { fields: { token: 'file:/etc/secret' }, lifetimeMs: 1 },
      publicFields: { aB_c: 'x' },
      lastUsedAt: 5,
    }),
    credentialRow('c-other'),
    credentialRow('c-user'),
    credentialRow('c-system'),
  ],
  grants: [
    grantRow('g-bot', 'bot', 'c-bot'),
    grantRow('g-asks', 'bot', 'c-bot', { approval: ['POST'] }),
    grantRow('g-secret', 'bot', 'c-bot', { noCache: true }),
    grantRow('g-other', 'other', 'c-other'),
    grantRow('g-narrow', 'narrow', 'c-other'),
    grantRow('g-user', null, 'c-user', { principal: { type: 'user', userId: 'u-owner' } }),
    grantRow('g-group', null, 'c-user', { principal: { type: 'group', issuer: ISSUER, group: 'ops' } }),
    grantRow('g-system', null, 'c-system'),
  ],
  users: [
    userRow('u-owner'),
    userRow('u-member', { groups: ['ops'] }),
    userRow('u-stranger', { groups: ['sales'] }),
    userRow('u-gone', { status: 'deactivated', email: 'gone@good.test', groups: ['ops2'] }),
  ],
  delegations: [
    delegationRow('d-bot', 'u-owner', 'bot', 'g-user'),
    delegationRow('d-group', null, 'bot', 'g-group'),
    delegationRow('d-other', 'u-owner', 'other', 'g-user'),
  ],
  permits: [permitRow('p-bot', 'bot', 'g-bot'), permitRow('p-other', 'other', 'g-other')],
  policySets: [
    { id: '3', digest: 'old', sources: [], createdAt: 1 },
    {
      id: '12',
      digest: 'new',
      sources: [{ origin: 'file', place: 'a.toml', toml: policyOf('installation', [], DENY) }],
      createdAt: 2,
    },
  ],
};

const assigned = (...agentIds: string[]): HostAssignment => ({ agentIds, systemGrants: false, capabilities: HOST_CAPABILITIES });
const viewed = (assignment: HostAssignment, rows: StoreSnapshot = ROWS): HostView =>
  hostView(new HostIndexer().index(rows), assignment);
const idsOf = (view: HostView): object => Object.fromEntries(VIEW_KINDS.map((kind) => [kind, [...view[kind].keys()].toSorted()]));

describe('a host sees', () => {
  test('its agents, those above them without their keys, and what they can use', () => {
    expect(idsOf(viewed(assigned('bot')))).toEqual({
      agent: ['boss', 'bot'],
      key: ['k-bot'],
      credential: ['c-bot', 'c-user'],
      grant: ['g-asks', 'g-bot', 'g-group', 'g-secret', 'g-user'],
      user: ['u-gone', 'u-member', 'u-owner'],
      delegation: ['d-bot', 'd-group'],
      permit: ['p-bot'],
      policies: ['12'],
    });
  });

  test('grants of the system only when it is said so', () => {
    expect([...viewed({ ...assigned('bot'), systemGrants: true }).grant.keys()]).toContain('g-system');
    expect([...viewed({ ...assigned(), systemGrants: true }).grant.keys()]).toEqual([]);
  });

  test('nothing of an agent that may use other providers only, and nothing at all without agents', () => {
    expect([...viewed(assigned('narrow')).grant.keys()]).toEqual([]);
    expect(idsOf(viewed(assigned()))).toMatchObject({ agent: [], key: [], grant: [], credential: [] });
    expect(idsOf(viewed(assigned('unknown')))).toMatchObject({ agent: [], key: [] });
  });

  test('no grant with a rule that its daemon does not know', () => {
    const view = viewed({ ...assigned('bot'), capabilities: ['grants.1', 'policies.1'] });
    expect([...view.grant.keys()]).toEqual(['g-bot']);
    expect(view.delegation.size).toBe(0);
    expect([...viewed({ ...assigned('bot'), capabilities: [] }).grant.keys()]).toEqual([]);
  });

  test('no grant at all while policies are in force that its daemon does not know', () => {
    const withoutPolicies = { ...assigned('bot'), capabilities: ['grants.1'] };
    expect([...viewed(withoutPolicies).grant.keys()]).toEqual([]);
    expect([...viewed(withoutPolicies, { ...ROWS, policySets: [] }).grant.keys()]).toEqual(['g-bot']);
  });

  test.each<[string, string, readonly string[]]>([
    ['of everything', policyOf('installation', [], LIMIT), []],
    ['of each agent', policyOf('agent', ['*'], LIMIT), []],
    ['of its agent', policyOf('agent', ['bot'], LIMIT), []],
    ['with an expression', policyOf('installation', [], `${LIMIT}\nwhen = { cel = "request.method == 'GET'" }`), []],
    ['of one grant', policyOf('grant', ['g-bot'], LIMIT), ['g-asks', 'g-secret', 'g-user', 'g-group']],
    ['of another agent', policyOf('agent', ['other'], LIMIT), ['g-bot', 'g-asks', 'g-secret', 'g-user', 'g-group']],
    ['that is only watched', policyOf('agent', ['bot'], LIMIT, 'monitor'), ['g-bot', 'g-asks', 'g-secret', 'g-user', 'g-group']],
    ['of each host', policyOf('agent', ['bot'], OWN_LIMIT), ['g-bot', 'g-asks', 'g-secret', 'g-user', 'g-group']],
    ['that can not be read', 'name =', []],
  ])('no grant under a limit %s that its daemon would count by itself', (_what, toml, seen) => {
    const rows = {
      ...ROWS,
      policySets: [{ id: '12', digest: 'n', createdAt: 2, sources: [{ origin: 'vault' as const, place: 'p', toml }] }],
    };
    const older = HOST_CAPABILITIES.filter((each) => each !== 'limits.fleet');
    expect([...viewed({ ...assigned('bot'), capabilities: older }, rows).grant.keys()].toSorted()).toEqual(seen.toSorted());
    expect(viewed(assigned('bot'), rows).grant.size).toBe(5);
  });

  test('neither where values come from, nor the names of people that it has nothing to do with', () => {
    const text = JSON.stringify(wireView(viewed(assigned('bot'))));
    expect(text).not.toMatch(/etc\/secret|gone@good|c-other|k-other|"sources":\{/);
    expect(viewed(assigned('bot')).user.get('u-gone')).toMatchObject({ status: 'deactivated', groups: [] });
  });
});

describe('two views', () => {
  const before = viewed(assigned('bot'));

  test('of the same rows are the same, whatever was used meanwhile', () => {
    const keys = ROWS.keys.map((row) => ({ ...row, lastUsedAt: 9 }));
    const credentials = ROWS.credentials.map((row) => ({ ...row, lastUsedAt: 9 }));
    expect(diffViews(before, viewed(assigned('bot'), { ...ROWS, keys, credentials }))).toEqual([]);
  });

  test('of other agents differ in nothing', () => {
    const grants = ROWS.grants.map((row) => (row.id === 'g-other' ? { ...row, status: 'revoked' as const } : row));
    expect(diffViews(before, viewed(assigned('bot'), { ...ROWS, grants }))).toEqual([]);
  });

  test.each<[string, HostAssignment, StoreSnapshot]>([
    ['a revoked grant', assigned('bot'), { ...ROWS, grants: ROWS.grants.map((row) => ({ ...row, status: 'revoked' as const })) }],
    ['removed grants', assigned('bot'), { ...ROWS, grants: [] }],
    ['another assignment', assigned('other'), ROWS],
    ['nothing any more', assigned(), EMPTY_SNAPSHOT],
    ['new policies', assigned('bot'), { ...ROWS, policySets: [{ id: '13', digest: 'n', sources: [], createdAt: 3 }] }],
  ])('lead from the one to the other, also as they travel: %s', (_what, assignment, rows) => {
    const after = viewed(assignment, rows);
    const changes = diffViews(before, after);
    expect(changes.length).toBeGreaterThan(0);
    expect(changeView(before, changes)).toEqual(after);
    const travelled = changes.map((change) => readWireChange(JSON.parse(JSON.stringify(wireChange(change)))));
    expect(changeView(before, travelled)).toEqual(after);
    // What is put may name what is put before it, never the other way round.
    const kinds = changes.flatMap((change) => ('put' in change ? [VIEW_KINDS.indexOf(change.put)] : []));
    expect(kinds).toEqual(kinds.toSorted((a, b) => a - b));
  });
});

describe('a view that travels', () => {
  const view = viewed({ ...assigned('bot', 'other', 'narrow'), systemGrants: true });

  test('arrives as it was, free names untouched', () => {
    const wire = JSON.parse(JSON.stringify(wireView(view)));
    expect(readWireView(wire)).toEqual(view);
    expect(Object.keys(wire.grant[0])).toContain('offline_grace_ms');
    expect(wire.agent.find(({ id }: { id: string }) => id === 'boss').metadata).toEqual({ aB: 'kept_as_it_is' });
    expect(wire.credential[0].public_fields).toEqual({ aB_c: 'x' });
  });

  test('says which bodies a grant keeps; from a vault that knows of none, a grant keeps none', () => {
    const keeping = new Map(
      [...view.grant].map(([id, row]) => [id, { ...row, auditBodies: 'both', auditBodyBytes: 99 } as const]),
    );
    const wire = JSON.parse(JSON.stringify(wireView({ ...view, grant: keeping })));
    expect([...readWireView(wire).grant.values()][0]).toMatchObject({ auditBodies: 'both', auditBodyBytes: 99 });
    for (const row of wire.grant) {
      delete row.audit_bodies;
      delete row.audit_body_bytes;
    }
    expect([...readWireView(wire).grant.values()][0]).toMatchObject({ auditBodies: 'none', auditBodyBytes: 16_384 });
  });

  test.each([
    'methods',
    'paths',
    'operations',
    'approval',
    'status',
    'expires_at',
    'principal',
    'git',
    'no_cache',
    'destinations',
  ])('is refused as a whole when a grant comes without its %s', (name) => {
    const wire = JSON.parse(JSON.stringify(wireView(view)));
    delete wire.grant[1][name];
    expect(() => readWireView(wire)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
    wire.grant[1][name] = { some: 'thing else' };
    if (name !== 'principal') expect(() => readWireView(wire)).toThrow();
  });

  test.each([[null], [{}], [[]], [{ put: 'grant' }], [{ put: 'nothing', row: {} }], [{ remove: 'grant' }], ['x']])(
    'is no change when it is %j',
    (value) => {
      expect(() => readWireChange(value)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
      expect(() => readWireView(value)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
    },
  );
});

test('what may be kept has nothing of a grant that may not', () => {
  const only = { ...ROWS, grants: ROWS.grants.filter(({ id }) => id === 'g-secret') };
  const kept = keptView(viewed(assigned('bot'), only));
  expect(idsOf(kept)).toMatchObject({ grant: [], credential: [], agent: ['boss', 'bot'], key: ['k-bot'] });
  expect([...keptView(viewed(assigned('bot'))).grant.keys()]).toEqual(['g-bot', 'g-asks', 'g-user', 'g-group']);
  expect(diffViews(EMPTY_VIEW, kept).length).toBeGreaterThan(0);
});
