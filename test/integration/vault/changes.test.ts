import { describe, expect, it } from 'vitest';
import { NO_NARROWING } from '../../../src/domain/agent.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { Secret } from '../../../src/domain/secret.ts';
import type { NewGrant } from '../../../src/vault/grant-input.ts';
import type { NewSecret } from '../../../src/vault/secret-input.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { fieldsOf, type OpenedVault, openedVault, refusal, START, TOKEN } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const opened = (): Promise<OpenedVault> => openedVault(directory());

const CUSTOM: NewSecret = {
  providerId: 'own',
  fields: fieldsOf({ token: 'SEKRET-marker-own' }),
  kind: 'bearer',
  hosts: ['own.test', 'own.test:8443', 'http://plain.test'],
};

async function filled(): Promise<OpenedVault> {
  const all = await opened();
  await all.vault.agents.create({ name: 'bot' });
  await all.vault.secrets.create({ providerId: 'good', fields: TOKEN });
  await all.vault.secrets.create({ ...CUSTOM, name: 'own' });
  return all;
}

describe('every change', () => {
  const changes: [string, (vault: Vault) => Promise<unknown>][] = [
    ['agent.created', (vault) => vault.agents.create({ name: 'new' })],
    ['agent.paused', (vault) => vault.agents.changeStatus('bot', 'paused')],
    ['agent.revoked', (vault) => vault.agents.changeStatus('bot', 'revoked')],
    ['agent.removed', (vault) => vault.agents.remove('bot')],
    ['key.created', (vault) => vault.agents.createKey('bot')],
    ['key.rotated', (vault) => vault.agents.rotateKey('bot', { overlapMs: 5 })],
    ['key.revoked', (vault) => vault.agents.revokeKey(vault.agents.listKeys('bot')[0]!.prefix, { force: true })],
    ['session.created', (vault) => vault.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: 5 })],
    ['secret.created', (vault) => vault.secrets.create({ providerId: 'shaped', fields: TOKEN })],
    ['secret.rotated', (vault) => vault.secrets.rotate('good', TOKEN)],
    ['secret.removed', (vault) => vault.secrets.remove('own')],
    ['grant.created', (vault) => vault.grants.create({ provider: 'own', system: true })],
    ['grant.revoked', (vault) => vault.grants.revoke('main')],
    ['grant.removed', (vault) => vault.grants.remove('main')],
    ['vault.data_key_rotated', (vault) => vault.rotateDataKey()],
  ];
  const prepared = async (): Promise<OpenedVault> => {
    const all = await filled();
    await all.vault.grants.create({ provider: 'good', agent: 'bot', label: 'main' });
    return all;
  };
  const stateOf = (vault: Vault): string =>
    JSON.stringify([
      vault.agents.list(),
      vault.agents.list().map((agent) => vault.agents.listKeys(agent.id)),
      vault.secrets.list(),
      vault.grants.list(),
      vault.sessions.list(),
      vault.epoch,
    ]);

  it.each(changes)('%s does not happen when it can not be audited', async (_action, change) => {
    const { vault, journal } = await prepared();
    const before = [stateOf(vault), vault.authority];
    journal.failure = new AlterError('audit_unavailable', { reason: 'the disk is full' });
    expect((await refusal(change(vault))).code).toBe('audit_unavailable');
    journal.failure = new Error('something else');
    expect((await refusal(change(vault))).code).toBe('audit_unavailable');
    expect([stateOf(vault), vault.authority]).toEqual(before);
    journal.failure = null;
    await change(vault);
    expect(stateOf(vault)).not.toBe(before[0]);
    await vault.close();
  });

  it.each(changes)('%s is audited before it is made, and says no secret', async (action, change) => {
    const { vault, journal } = await prepared();
    const before = stateOf(vault);
    const epoch = vault.epoch;
    journal.onRecord = () => expect(stateOf(vault)).toBe(before);
    journal.events.length = 0;
    await change(vault);
    expect(journal.actions).toEqual([action]);
    const { opening, closing } = journal.events[0]!;
    expect([opening.kind, opening.at, closing.outcome]).toEqual(['event', START, 'success']);
    if (!action.startsWith('session.')) expect([opening.details?.epoch, vault.epoch]).toEqual([epoch + 1, epoch + 1]);
    expect(JSON.stringify(journal.events)).not.toMatch(/SEKRET|[0-9A-Za-z]{38}"/);
    await vault.close();
  });

  it('are made one after the other, so that of two that exclude each other one is refused', async () => {
    const { vault, journal } = await opened();
    const results = await Promise.all(Array.from({ length: 5 }, () => refusal(vault.agents.create({ name: 'bot' }))));
    expect(results.map(({ code }) => code).sort()).toEqual(['conflict', 'conflict', 'conflict', 'conflict', 'none']);
    expect(journal.actions).toEqual(['agent.created']);
    await vault.close();
  });

  it('nothing that the vault answers or audits in a whole life holds a secret', async () => {
    const { vault, journal } = await prepared();
    const answers = JSON.stringify([
      vault.secrets.list(),
      vault.secrets.find('own'),
      vault.grants.list(),
      vault.authority.grants,
      journal.events,
    ]);
    expect(answers).not.toContain('SEKRET');
    await vault.close();
  });
});

describe('agents and keys', () => {
  it.each(['', 'Bot', 'a b', '-a', 'a-', 'ä', 'a/b', 'a'.repeat(64), '../x'])('refuses the name %j', async (name) => {
    const { vault } = await opened();
    expect((await refusal(vault.agents.create({ name }))).code).toBe('invalid_input');
    await vault.close();
  });

  it('refuses what does not exist, with the command that lists what does', async () => {
    const { vault } = await opened();
    for (const work of [() => vault.agents.find('x'), () => vault.agents.createKey('x'), () => vault.agents.remove('x')]) {
      expect(await refusal(async () => work())).toMatchObject({
        code: 'not_found',
        hint: expect.stringContaining('alterd agent list'),
      });
    }
    expect((await refusal(vault.agents.revokeKey('alter_key_agent_zzzzzz'))).code).toBe('not_found');
    expect((await refusal(vault.sessions.revoke('x'))).code).toBe('not_found');
    expect((await refusal(async () => vault.secrets.find('x'))).code).toBe('not_found');
    expect((await refusal(async () => vault.grants.find(''))).code).toBe('not_found');
    await vault.close();
  });

  it('a revoked agent stays revoked and gets no key, session or grant', async () => {
    const { vault } = await filled();
    await vault.agents.changeStatus('bot', 'revoked');
    const works: Promise<unknown>[] = [
      vault.agents.changeStatus('bot', 'active'),
      vault.agents.createKey('bot'),
      vault.agents.rotateKey('bot', { overlapMs: 0 }),
      vault.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: 1000 }),
      vault.grants.create({ provider: 'good', agent: 'bot' }),
    ];
    expect((await Promise.all(works.map(refusal))).map(({ code }) => code)).toEqual(works.map(() => 'conflict'));
    await vault.close();
  });

  it('the last active key is only revoked with force, whatever deprecated keys there are', async () => {
    const { vault } = await filled();
    const { keyInfo } = await vault.agents.rotateKey('bot', { overlapMs: 100_000 });
    expect(await refusal(vault.agents.revokeKey(keyInfo.id))).toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('--force'),
    });
    expect((await vault.agents.revokeKey(keyInfo.id, { force: true })).status).toBe('revoked');
    expect(
      vault.agents
        .listKeys('bot')
        .map(({ status }) => status)
        .sort(),
    ).toEqual(['deprecated', 'revoked']);
    await vault.close();
  });

  it('a rotation keeps the user that all old keys are bound to', async () => {
    const { vault } = await opened();
    const { keyInfo } = await vault.agents.create({ name: 'bot' });
    await vault.agents.createKey('bot', { boundUid: 1000 });
    await vault.agents.revokeKey(keyInfo.id);
    expect((await vault.agents.rotateKey('bot', { overlapMs: 0 })).keyInfo.boundUid).toBe(1000);
    await vault.close();
  });

  it.each([
    [{ expiresAt: START }, /expires_at/],
    [{ expiresAt: 1.5 }, /expires_at/],
    [{ boundUid: -1 }, /bound_uid/],
  ])('refuses a key with %j', async (options, problem) => {
    const { vault } = await filled();
    expect((await refusal(vault.agents.createKey('bot', options))).text).toMatch(problem);
    await vault.close();
  });

  it('moments of use are seen at once and kept over a restart', async () => {
    const { vault, clock, dbFile, masterKey, journal } = await filled();
    const { key, keyInfo } = await vault.agents.createKey('bot');
    const grant = await vault.grants.create({ provider: 'good', agent: 'bot' });
    clock.now += 77;
    vault.identify(key.reveal());
    await vault.obtain(grant);
    expect([
      vault.agents.listKeys('bot').find(({ id }) => id === keyInfo.id)?.lastUsedAt,
      vault.secrets.find('good').lastUsedAt,
    ]).toEqual([START + 77, START + 77]);
    await vault.close();
    const { openVault } = await import('../../../src/vault/vault.ts');
    const again = await openVault({ dbFile, masterKey: masterKey(), catalogue: { find: () => undefined }, audit: journal });
    expect(again.agents.listKeys('bot').find(({ id }) => id === keyInfo.id)?.lastUsedAt).toBe(START + 77);
    await again.close();
  });
});

describe('sessions', () => {
  it('refuse all that is wrong at once', async () => {
    const { vault } = await filled();
    const { code, text } = await refusal(
      vault.sessions.create({
        agentName: 'bot',
        ttlMs: 0,
        narrowing: { grantIds: ['nothing'], deniedMethods: ['G T'], deniedPaths: ['no-slash'], deniedHosts: ['a b'] },
      }),
    );
    expect(code).toBe('invalid_input');
    for (const part of ['ttl_ms', 'grant_ids', 'denied_methods', 'denied_paths', 'denied_hosts']) expect(text).toContain(part);
    await vault.close();
  });

  it('are listed while they are good and unknown after a restart', async () => {
    const { vault, clock } = await filled();
    const { sessionId } = await vault.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: 1000, label: 'run' });
    await vault.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: 10 });
    clock.now += 10;
    expect(vault.sessions.list()).toMatchObject([{ sessionId, agentName: 'bot', label: 'run', expiresAt: START + 1000 }]);
    await vault.close();
  });
});

describe('secrets', () => {
  const good: NewSecret = { providerId: 'good', fields: TOKEN };
  it.each<[string, NewSecret, RegExp[]]>([
    ['a line break (S-40)', { ...good, fields: fieldsOf({ token: 'a\r\nX: y' }) }, [/fields\.token/]],
    ['a NUL', { ...good, fields: fieldsOf({ token: 'a\0b' }) }, [/fields\.token/]],
    ['an empty value', { ...good, fields: fieldsOf({ token: '' }) }, [/fields\.token: is empty/]],
    [
      'a missing and an unknown field',
      { ...good, fields: fieldsOf({ tokn: 'x' }) },
      [/fields\.token: is missing/, /fields\.tokn: is not a field/],
    ],
    ['a placeholder of ours (S-66)', { ...good, fields: fieldsOf({ token: 'Xalter_ph_abc' }) }, [/placeholder/]],
    ['a bad name', { ...good, name: 'My Secret' }, [/name/]],
    ['an unknown provider without a way to inject', { providerId: 'nobody', fields: TOKEN }, [/not in the catalogue/]],
    ['a bearer secret of two fields', { ...CUSTOM, fields: fieldsOf({ a: 'x', b: 'y' }) }, [/exactly one/]],
    ['a header secret without a header', { ...CUSTOM, kind: 'header' }, [/needs the place/]],
    [
      'bad hosts',
      { ...CUSTOM, hosts: ['a b', '*.com', 'x.test:0', 'ftp://x.test', 'x.test/path'] },
      [/"a b"/, /com/, /x\.test:0|0 is not a port/, /ftp/, /path/],
    ],
    [
      'an injection of a field that it has not',
      { ...CUSTOM, kind: undefined, injections: [{ in: 'header', name: 'X-Key', template: '{other}' }] },
      [/other/],
    ],
    [
      'a value that is not of the provider',
      { providerId: 'sited', fields: fieldsOf({ site: 'acme', email: 'a@b.test', token: 'wrong' }) },
      [/fields\.token: does not look like/],
    ],
    [
      'a site that would choose the host',
      { providerId: 'sited', fields: fieldsOf({ site: 'evil.test/', email: 'a@b.test', token: 'SEKRET-a' }) },
      [/site/],
    ],
  ])('refuse %s, naming it and never the value', async (_what, input, problems) => {
    const { vault, journal } = await opened();
    const { code, text } = await refusal(vault.secrets.create(input));
    expect(code).toBe('invalid_input');
    for (const problem of problems) expect(text).toMatch(problem);
    expect(text).not.toMatch(/SEKRET|a\r\n|Xalter_ph/);
    expect([vault.secrets.list(), journal.events]).toEqual([[], []]);
    await vault.close();
  });

  it('refuse a value that holds the placeholder of a grant (S-66), also when they are rotated', async () => {
    const { vault } = await filled();
    await vault.secrets.create({ providerId: 'shaped', fields: TOKEN });
    const { placeholder } = await vault.grants.create({ provider: 'shaped', system: true });
    const fields = fieldsOf({ token: `x${placeholder}y` });
    expect((await refusal(vault.secrets.create({ providerId: 'good', fields }))).text).toMatch(/placeholder/);
    expect((await refusal(vault.secrets.rotate('good', fields))).text).toMatch(/placeholder/);
    await vault.close();
  });

  it('are named after their provider; a second one only under a name of its own', async () => {
    const { vault } = await opened();
    expect((await vault.secrets.create({ providerId: 'shp', fields: TOKEN })).name).toBe('shaped');
    const again = await vault.secrets.create({ providerId: 'shp', fields: TOKEN }).catch((error: unknown) => error);
    expect(again).toMatchObject({
      code: 'conflict',
      hint: expect.stringMatching(/`alterd secret rotate shaped`.*`alterd secret add shaped --name OTHER`/),
    });
    await vault.secrets.create({ name: 'shaped-2', providerId: 'shp', fields: TOKEN });
    expect(vault.secrets.find('shaped-2')).toMatchObject({
      providerId: 'shaped',
      kind: 'bearer',
      fieldNames: ['token'],
      version: 1,
    });
    expect((await refusal(vault.secrets.create({ name: 'shaped', providerId: 'good', fields: TOKEN }))).code).toBe('conflict');
    await vault.close();
  });

  it('keep fields that are no secret readable, and those fields can not change', async () => {
    const { vault } = await opened();
    await vault.secrets.create({
      providerId: 'sited',
      fields: fieldsOf({ token: 'SEKRET-a', email: 'SEKRET@b.test', site: 'acme' }),
    });
    expect([...vault.secrets.publicFields('sited')]).toEqual([['site', 'acme']]);
    expect(vault.secrets.find('sited').fieldNames).toEqual(['site', 'email', 'token']);
    expect(
      (await refusal(vault.secrets.rotate('sited', fieldsOf({ site: 'evil', email: 'a@b.test', token: 'SEKRET-b' })))).text,
    ).toMatch(/site: can't change/);
    expect((await vault.secrets.rotate('sited', fieldsOf({ email: 'a@b.test', token: 'SEKRET-b' }))).version).toBe(2);
    const grant = await vault.grants.create({ provider: 'sited', system: true });
    expect(grant.destinations).toEqual([{ pattern: 'acme.sited.test', port: 443, scheme: 'https' }]);
    const { fields } = await vault.obtain(grant);
    expect([...fields].map(([name, value]) => [name, value.reveal()])).toEqual([
      ['site', 'acme'],
      ['email', 'a@b.test'],
      ['token', 'SEKRET-b'],
    ]);
    await vault.close();
  });

  it('with active grants are only removed together with them', async () => {
    const { vault } = await filled();
    const grant = await vault.grants.create({ provider: 'good', agent: 'bot' });
    expect(await refusal(vault.secrets.remove('good'))).toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('--cascade'),
    });
    await vault.grants.revoke(grant.id);
    await vault.secrets.remove('good');
    expect(vault.grants.list()).toEqual([]);
    await vault.close();
  });
});

describe('grants', () => {
  const forBot = (more: Partial<NewGrant>): NewGrant => ({ provider: 'good', agent: 'bot', ...more });

  it.each<[string, NewGrant, RegExp]>([
    ['for nobody', { provider: 'good' }, /name an agent/],
    ['for an agent and everybody', forBot({ system: true }), /name an agent/],
    ['of nothing', { agent: 'bot' }, /name a provider/],
    ['of a secret of another provider', forBot({ credential: 'own' }), /not of provider/],
    ['that has expired', forBot({ expiresAt: START }), /future/],
    ['with a bad label', forBot({ label: '"x"' }), /label/],
    ['that allows no method', forBot({ methods: [] }), /methods/],
    ['with no method', forBot({ methods: ['GET', 'P UT'] }), /"P UT"/],
    ['for TRACE', forBot({ methods: ['trace'] }), /TRACE/],
    ['with a bad path', forBot({ paths: ['no-slash'] }), /no-slash/],
    ['with a bad mode', forBot({ overrideMode: 'sometimes' as 'always' }), /override/],
    ['for another host', forBot({ hosts: ['evil.test'] }), /evil\.test is not a host of "good"/],
    ['for a deeper host', forBot({ hosts: ['a.b.good.test'] }), /is not a host/],
    ['for a wildcard that is wider', forBot({ hosts: ['*.api.good.test'] }), /is not a host/],
    ['for another port', forBot({ hosts: ['api.good.test:9000'] }), /is not a host/],
    ['for another port under the wildcard', forBot({ hosts: ['x.good.test:8443'] }), /is not a host/],
    ['for plain http without permission', forBot({ hosts: ['http://api.good.test'] }), /allow_plaintext/],
    ['for userinfo in a host', forBot({ hosts: ['a@api.good.test'] }), /hosts/],
  ])('are refused %s', async (_what, input, problem) => {
    const { vault } = await filled();
    const { code, text } = await refusal(vault.grants.create(input));
    expect([code, text]).toEqual(['invalid_input', expect.stringMatching(problem)]);
    expect(vault.grants.list()).toEqual([]);
    await vault.close();
  });

  it('are refused with all problems at once', async () => {
    const { vault } = await filled();
    const { text } = await refusal(
      vault.grants.create(
        forBot({
          hosts: ['evil.test', 'a b'],
          methods: ['x y'],
          paths: ['p'],
          expiresAt: 1,
          label: '!',
          overrideMode: 'x' as 'always',
        }),
      ),
    );
    for (const part of ['evil.test', '"a b"', 'methods', 'paths', 'expires_at', 'label', 'override'])
      expect(text).toContain(part);
    await vault.close();
  });

  it('are refused without a secret, with one that is ambiguous, and without hosts', async () => {
    const { vault } = await filled();
    expect(await refusal(vault.grants.create({ provider: 'shaped', system: true }))).toMatchObject({
      code: 'not_found',
      hint: expect.stringContaining('alterd secret add shaped'),
    });
    await vault.secrets.create({ name: 'good-2', providerId: 'good', fields: TOKEN });
    expect((await refusal(vault.grants.create(forBot({})))).text).toMatch(/several secrets of "good" \(good, good-2\)/);
    expect((await vault.grants.create(forBot({ credential: 'good-2' }))).credentialName).toBe('good-2');
    await vault.secrets.create({ providerId: 'selfhosted', fields: TOKEN });
    expect((await refusal(vault.grants.create({ provider: 'selfhosted', system: true }))).text).toMatch(/name at least one/);
    expect(
      (await vault.grants.create({ provider: 'selfhosted', system: true, hosts: ['git.corp.test:8443'] })).destinations,
    ).toEqual([{ pattern: 'git.corp.test', port: 8443, scheme: 'https' }]);
    await vault.close();
  });

  it('take everything from the provider when nothing is said', async () => {
    const { vault } = await filled();
    const { agent } = { agent: vault.agents.find('bot') };
    expect(await vault.grants.create(forBot({}))).toMatchObject({
      label: '',
      principal: { type: 'agent', agentId: agent.id },
      grantKind: 'managed_secret',
      providerId: 'good',
      credentialName: 'good',
      destinations: [
        { pattern: 'api.good.test', port: 443, scheme: 'https' },
        { pattern: '*.good.test', port: 443, scheme: 'https' },
        { pattern: 'api.good.test', port: 8443, scheme: 'https' },
      ],
      methods: null,
      paths: null,
      excludedPaths: ['/oauth/**'],
      overrideMode: 'always',
      placeholder: expect.stringMatching(/^alter_ph_[0-9A-Za-z]{16,}$/),
      injections: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
      allowPrivate: false,
      allowPlaintext: false,
      passResponseCookies: false,
      noCache: false,
      offlineGraceMs: 0,
      git: null,
      status: 'active',
      expiresAt: null,
      revokedAt: null,
    });
    await vault.close();
  });

  it('change what hosts may keep of them, within bounds, and only while they are active', async () => {
    const { vault, journal } = await opened();
    await vault.secrets.create({ providerId: 'good', fields: TOKEN });
    const { id } = await vault.grants.create({ provider: 'good', system: true, offlineGraceMs: 3_600_000 });
    expect(vault.grants.find(id)).toMatchObject({ noCache: false, offlineGraceMs: 3_600_000 });
    expect((await refusal(vault.grants.change(id, { noCache: true }))).text).toMatch(/no offline grace/);
    expect(await vault.grants.change(id, { noCache: true, offlineGraceMs: 0 })).toMatchObject({ noCache: true });
    expect(journal.actions.at(-1)).toBe('grant.changed');
    const { epoch } = vault;
    await vault.grants.change(id, { noCache: true });
    expect(vault.epoch).toBe(epoch);
    for (const offlineGraceMs of [-1, 0.5, 8 * 86_400_000])
      expect((await refusal(vault.grants.change(id, { noCache: false, offlineGraceMs }))).code).toBe('invalid_input');
    await vault.grants.revoke(id);
    expect((await refusal(vault.grants.change(id, { noCache: false }))).code).toBe('conflict');
    await vault.close();
  });

  it('are for the paths that the provider says, and for git only on the hosts that serve it', async () => {
    const { vault } = await opened();
    await vault.secrets.create({ providerId: 'forge', fields: TOKEN });
    await vault.secrets.create({ providerId: 'good', fields: TOKEN });
    const create = (more: Partial<NewGrant>): Promise<Grant> => vault.grants.create({ provider: 'forge', system: true, ...more });
    const hostsOf = (grant: Grant): string[] => grant.destinations.map((each) => each.pattern);
    const api = await create({});
    expect([hostsOf(api), api.paths, api.git]).toEqual([['api.forge.test', 'git.forge.test'], ['/api/**'], null]);
    expect((await create({ paths: ['/own'] })).paths).toEqual(['/own']);
    const git = await create({ git: 'read' });
    expect([hostsOf(git), git.paths, git.git]).toEqual([['git.forge.test'], null, 'read']);
    expect(hostsOf(await create({ git: 'write', hosts: ['api.forge.test'] }))).toEqual(['api.forge.test']);
    expect((await refusal(create({ provider: 'good', git: 'read' }))).text).toMatch(
      /no host of good is known to serve repositories/,
    );
    expect((await refusal(create({ git: 'all' as never }))).text).toMatch(/git: must be one of read, write/);
    await vault.close();
  });

  it('narrow hosts, methods and paths', async () => {
    const { vault } = await filled();
    const grant = await vault.grants.create(
      forBot({ hosts: ['X.Good.Test', 'api.good.test:8443'], methods: ['get', 'GET'], paths: ['/v1/**'], label: ' main ' }),
    );
    expect(grant).toMatchObject({
      label: 'main',
      destinations: [
        { pattern: 'x.good.test', port: 443, scheme: 'https' },
        { pattern: 'api.good.test', port: 8443, scheme: 'https' },
      ],
      methods: ['GET'],
      paths: ['/v1/**'],
    });
    await vault.close();
  });

  it('reach plain http only when that is allowed', async () => {
    const { vault } = await filled();
    const tls = await vault.grants.create({ provider: 'own', system: true });
    expect(tls.destinations.map(({ scheme }) => scheme)).toEqual(['https', 'https']);
    const plain = await vault.grants.create({ provider: 'own', system: true, allowPlaintext: true });
    expect(plain.destinations.map(({ scheme, pattern, port }) => `${scheme}://${pattern}:${port}`)).toEqual([
      'https://own.test:443',
      'http://own.test:80',
      'https://own.test:8443',
      'http://own.test:8443',
      'http://plain.test:80',
    ]);
    await vault.close();
  });

  it('have placeholders of the shape that the provider wants, different for each grant', async () => {
    const { vault } = await opened();
    for (const providerId of ['shaped', 'fixed']) await vault.secrets.create({ providerId, fields: TOKEN });
    const placeholders = [];
    for (const provider of ['shaped', 'shaped', 'fixed', 'fixed']) {
      placeholders.push((await vault.grants.create({ provider, system: true })).placeholder!);
    }
    expect(placeholders.slice(0, 2).every((text) => /^sk-shaped-[0-9A-Za-z]{40}$/.test(text))).toBe(true);
    expect(placeholders.slice(2).every((text) => /^fixed-shape_[0-9A-Za-z]{24}$/.test(text))).toBe(true);
    expect(new Set(placeholders).size).toBe(4);
    await vault.close();
  });

  it('share a label only across principals, providers, and with grants that have ended', async () => {
    const { vault, clock } = await filled();
    const main = await vault.grants.create(forBot({ label: 'main' }));
    expect((await refusal(vault.grants.create(forBot({ label: 'main' })))).code).toBe('conflict');
    await vault.grants.create({ provider: 'good', system: true, label: 'main' });
    await vault.grants.create({ provider: 'own', agent: 'bot', label: 'main' });
    expect((await refusal(async () => vault.grants.find('main'))).code).toBe('conflict');
    expect(vault.grants.find(main.id.slice(0, 12)).id).toBe(main.id);
    await vault.grants.revoke(main.id);
    await vault.grants.create(forBot({ label: 'main', expiresAt: START + 5 }));
    clock.now += 5;
    await vault.grants.create(forBot({ label: 'main' }));
    await vault.close();
  });

  it('can not be changed by who reads them', async () => {
    const { vault } = await filled();
    const grant = await vault.grants.create(forBot({}));
    expect(() => Object.assign(vault.authority.grants[0]!, { allowPrivate: true })).toThrow(TypeError);
    expect(() => (vault.authority.grants as unknown[]).push(grant)).toThrow(TypeError);
    await vault.close();
  });
});

it('a secret never travels as a plain string through the facade', async () => {
  const { vault } = await opened();
  const { key } = await vault.agents.create({ name: 'bot' });
  expect(key).toBeInstanceOf(Secret);
  expect(key.reveal()).toMatch(/^alter_key_agent_[0-9A-Za-z]{38}$/);
  await vault.close();
});
