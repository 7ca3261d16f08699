/** Moving everything of a vault: what arrives, what a second time changes, what is in the way, and tokens that may be lost by nobody. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openWithPassphrase, sealWithPassphrase } from '../../../src/crypto/passphrase-seal.ts';
import { NO_NARROWING } from '../../../src/domain/agent.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { EXPORT_KIND, type MovedRows } from '../../../src/vault/transfer/document.ts';
import type { ImportReport } from '../../../src/vault/transfer/transfer.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { fieldsOf, type OpenedVault, openedVault, refusal, TOKEN } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { answerTo, connectAccount, openAccountVault } from './oauth-vault.ts';

const directory = temporaryDirectory();
const PASSPHRASE = new Secret('SEKRET-marker-passphrase');
/** Cheap: what a guess costs is tested where the file is. */
const costLog2 = 10;
const HOUR = 3_600_000;
const POLICY = (name: string) =>
  `name = "${name}"\nlayer = "installation"\n[[rules]]\nname = "no-deletes"\neffect = "deny"\non = { methods = ["DELETE"] }\n`;

const exported = async (vault: Vault): Promise<Buffer> =>
  (await vault.transfer.exportAll({ passphrase: PASSPHRASE, providerFiles: ['acme'], costLog2 })).file;
const imported = (vault: Vault, file: Uint8Array, dryRun = false, allowReferences = false): Promise<ImportReport> =>
  vault.transfer.importAll(file, PASSPHRASE, { dryRun, allowReferences });

type Rows<K extends keyof MovedRows> = { -readonly [M in keyof MovedRows[K][number]]: MovedRows[K][number][M] }[];
type Document = { readonly [K in keyof MovedRows]: Rows<K> } & { readonly material: [string, [string, string][]][] };

/** The export as somebody who has its passphrase may have changed it. */
async function changed(file: Uint8Array, change: (document: Document) => void): Promise<Buffer> {
  const document = JSON.parse((await openWithPassphrase(file, PASSPHRASE, EXPORT_KIND)).toString('utf8')) as Document;
  change(document);
  return sealWithPassphrase(Buffer.from(JSON.stringify(document)), PASSPHRASE, { kind: EXPORT_KIND, now: 0, costLog2 });
}

function first<T>(list: readonly T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error('an empty list');
  return one;
}

async function another(): Promise<OpenedVault> {
  const opened = await openedVault(directory());
  onTestFinished(() => opened.vault.close());
  return opened;
}

describe('everything of a vault', () => {
  let source: OpenedVault;
  let file: Buffer;
  let key: Secret;
  let derived: Secret;
  let grantId: string;

  beforeAll(async () => {
    const policiesDir = join(directory(), 'policies');
    mkdirSync(policiesDir);
    writeFileSync(join(policiesDir, 'file.toml'), POLICY('of-a-file'));
    source = await openedVault(directory(), { policiesDir });
    const { vault } = source;
    const bot = await vault.agents.create({ name: 'bot' });
    key = bot.key;
    await vault.agents.create({ name: 'helper', parent: 'bot' });
    derived = (await vault.agents.deriveKey(bot.keyInfo.id, { narrowing: { ...NO_NARROWING, deniedMethods: ['POST'] } })).key;
    await vault.secrets.create({ name: 'token', providerId: 'good', fields: TOKEN });
    const grant = await vault.grants.create({ credential: 'token', agent: 'bot', label: 'work', methods: ['GET'] });
    grantId = grant.id;
    const user = await vault.users.admit({
      ...{ issuer: 'https://idp.test', subject: 'ada', email: 'ada@idp.test', name: 'Ada', groups: ['devs'] },
      ...{ issuedAt: source.clock.now, expiresAt: source.clock.now + HOUR },
    });
    const theirs = await vault.grants.create({ credential: 'token', user: user.id });
    const delegation = await vault.delegations.create({ grant: theirs.id, agent: 'bot', by: 'operator' });
    await vault.permits.create(
      {
        ...{ agentId: bot.agent.id, userId: user.id, grantId: theirs.id, rule: 'r', method: 'GET' },
        ...{ origin: 'https://api.good.test', path: '/x', delegationId: delegation.id },
      } as never,
      'standing',
      { approvalId: 'apr_1', by: 'ops' },
    );
    await vault.policies.add(POLICY('of-the-vault'), { replace: false });
    file = await exported(vault);
  });
  afterAll(() => source.vault.close());

  it('is in the file, and nothing of it can be read there', async () => {
    const text = file.toString('latin1');
    for (const part of ['SEKRET', 'bot', 'api.good.test', 'ada', 'of-a-file']) expect(text).not.toContain(part);
    expect(source.journal.actions.filter((action) => action === 'vault.exported')).toHaveLength(1);
  });

  it('arrives in one change, with its ids, its keys and its material; policies are in force before the grants are', async () => {
    const { vault, journal } = await another();
    const epoch = vault.epoch;
    const order: string[] = [];
    vault.policies.onChange(() => order.push('policies'));
    vault.onAuthorityChange(() => order.push('grants'));
    const report = await imported(vault, file);
    expect(report).toMatchObject({
      outcome: 'imported',
      added: { agents: 2, keys: 3, credentials: 1, grants: 2, users: 1, delegations: 1, permits: 1, policies: 2, clients: 0 },
      conflicts: [],
      missingProviders: ['acme'],
    });
    expect([...report.agents].sort()).toEqual(['bot', 'helper']);
    expect(vault.epoch).toBe(epoch + 1);
    expect(order).toEqual(['policies', 'grants']);
    expect(journal.actions.at(-1)).toBe('vault.imported');
    const grant = vault.grants.find(grantId);
    expect(grant).toEqual(source.vault.grants.find(grantId));
    expect((await vault.obtain(grant)).fields.get('token')?.reveal()).toBe('SEKRET-marker-token');
    expect(vault.identify(key.reveal())).toMatchObject({ agentName: 'bot', narrowing: { deniedMethods: [] } });
    expect(vault.identify(derived.reveal())).toMatchObject({ agentName: 'bot', narrowing: { deniedMethods: ['POST'] } });
    expect(
      vault.policies
        .list()
        .map(({ policy }) => policy.name)
        .sort(),
    ).toEqual(['of-a-file', 'of-the-vault']);
    expect(vault.delegations.list()).toEqual(source.vault.delegations.list());
    expect(vault.permits.list()).toEqual(source.vault.permits.list());
    expect(vault.users.list()).toMatchObject([{ subject: 'ada', groups: ['devs'] }]);
  });

  it('opens again after a restart, with the same policies', async () => {
    const home = directory();
    const { vault, masterKey, dbFile } = await openedVault(home);
    await imported(vault, file);
    const { epoch } = vault;
    await vault.close();
    const again = await openedVault(home, { dbFile, masterKey: masterKey() });
    onTestFinished(() => again.vault.close());
    expect(again.vault.epoch).toBe(epoch);
    expect(again.vault.policies.list()).toHaveLength(2);
  });

  it('a second time nothing is changed, also when this vault went on meanwhile', async () => {
    const { vault, journal } = await another();
    await imported(vault, file);
    await vault.secrets.rotate('token', fieldsOf({ token: 'SEKRET-marker-newer' }));
    await vault.grants.remove(vault.grants.list().find(({ id }) => id !== grantId)?.id ?? '');
    const { epoch } = vault;
    const events = journal.events.length;
    expect(await imported(vault, file)).toMatchObject({
      outcome: 'before',
      conflicts: [expect.stringContaining('secret token')],
    });
    expect([vault.epoch, journal.events.length]).toEqual([epoch, events]);
  });

  it('another export of the same things changes nothing either', async () => {
    const { vault } = await another();
    await imported(vault, file);
    const { epoch } = vault;
    expect(await imported(vault, await exported(source.vault))).toMatchObject({ outcome: 'unchanged' });
    expect(vault.epoch).toBe(epoch);
  });

  it('only looking changes nothing', async () => {
    const { vault } = await another();
    const { epoch } = vault;
    expect(await imported(vault, file, true)).toMatchObject({ outcome: 'planned', added: { agents: 2, grants: 2 } });
    expect([vault.epoch, vault.agents.list()]).toEqual([epoch, []]);
    expect(await imported(vault, file)).toMatchObject({ outcome: 'imported' });
  });

  it('everything that is in the way is listed at once, with what differs, and nothing is changed', async () => {
    const { vault } = await another();
    await imported(vault, await exported(source.vault));
    await vault.agents.changeStatus('bot', 'paused');
    await vault.agents.remove('helper');
    await vault.agents.create({ name: 'helper' });
    await vault.secrets.rotate('token', fieldsOf({ token: 'SEKRET-marker-newer' }));
    await vault.policies.add(POLICY('of-the-vault').replace('DELETE', 'PUT'), { replace: true });
    const { epoch } = vault;
    const planned = await imported(vault, file, true);
    expect(planned.outcome).toBe('conflict');
    // In the order of ids where the times are equal.
    expect([...planned.conflicts].sort()).toEqual([
      'agent bot: status (here "paused", in the file "active")',
      expect.stringMatching(/^agent helper: the name is taken by another one here/),
      expect.stringMatching(/^policy of-the-vault: toml differs, version/),
      expect.stringMatching(/^secret token: version \(here 2, in the file 1\), rotatedAt/),
    ]);
    const { code, text } = await refusal(imported(vault, file));
    expect([code, vault.epoch]).toEqual(['import_conflict', epoch]);
    for (const conflict of planned.conflicts) expect(text).toContain(conflict);
    expect(text).not.toContain('SEKRET');
  });

  it('a value that differs where the rows are alike is in the way', async () => {
    const { vault } = await another();
    await vault.secrets.create({ name: 'token', providerId: 'good', fields: TOKEN });
    const mine = await exported(vault);
    const { vault: there } = await another();
    await imported(there, mine);
    await there.secrets.rotate('token', fieldsOf({ token: 'SEKRET-marker-there' }));
    await vault.secrets.rotate('token', fieldsOf({ token: 'SEKRET-marker-here' }));
    expect((await imported(there, await exported(vault), true)).conflicts).toEqual([
      'secret token: its value is another one here',
    ]);
  });

  it('a key, a delegation or a permit for what is here already is in the way: it would open what was granted here since', async () => {
    const { vault: theirs } = await another();
    await imported(theirs, file);
    const { vault } = await another();
    await imported(vault, file);
    await theirs.agents.createKey('bot', {});
    const [grant] = theirs.grants.list().filter(({ principal }) => principal.type === 'user');
    await theirs.delegations.create({ grant: grant?.id as string, agent: 'helper', by: 'operator' });
    const { epoch } = vault;
    const more = await exported(theirs);
    const { conflicts } = await imported(vault, more, true);
    expect([...conflicts].sort()).toEqual([
      expect.stringMatching(/^delegation \w+: grant \w+ is here already, and it would open/),
      expect.stringMatching(/^key alter_key_agent_\w+…: agent bot is here already, and it would open/),
    ]);
    expect(await refusal(imported(vault, more))).toMatchObject({ code: 'import_conflict' });
    expect(vault.epoch).toBe(epoch);
  });

  it('what would be run or read on this machine is shown first, and taken only when it is meant', async () => {
    const { vault: theirs } = await another();
    const reference = `command:${JSON.stringify([process.execPath, '-p', '"SEKRET-marker-fetched"'])}`;
    await theirs.secrets.create({
      ...{ name: 'fetched', providerId: 'good', fields: new Map() },
      sources: { fields: { token: reference }, lifetimeMs: 60_000 },
    });
    const { vault } = await another();
    const { epoch } = vault;
    const fetching = await exported(theirs);
    expect(await imported(vault, fetching, true)).toMatchObject({
      outcome: 'planned',
      references: [`fetched.token: ${reference}`],
    });
    await expect(imported(vault, fetching)).rejects.toMatchObject({
      code: 'invalid_input',
      hint: expect.stringContaining('--allow-references'),
    });
    expect(vault.epoch).toBe(epoch);
    expect(await imported(vault, fetching, false, true)).toMatchObject({ outcome: 'imported' });
  });

  it.each<[string, (document: Document) => void, string]>([
    [
      'a host for a whole public suffix',
      ({ grants }) => Object.assign(first(grants).destinations[0] ?? {}, { pattern: '*.com' }),
      'hosts: ',
    ],
    [
      'a host that is written in another way',
      ({ grants }) => Object.assign(first(grants).destinations[0] ?? {}, { pattern: 'API.good.test' }),
      'hosts: ',
    ],
    [
      'a host that its secret has not',
      ({ grants, credentials }) => {
        Object.assign(first(credentials), { destinations: [{ pattern: 'api.good.test', port: 443, scheme: 'https' }] });
        Object.assign(first(grants).destinations[0] ?? {}, { pattern: 'elsewhere.test' });
      },
      'is none of its secret',
    ],
    [
      'plaintext that was not allowed',
      ({ grants }) => Object.assign(first(grants).destinations[0] ?? {}, { scheme: 'http', port: 80 }),
      '--allow-plaintext',
    ],
    ['a method that would never match', ({ grants }) => Object.assign(first(grants), { approval: ['post'] }), 'upper-case'],
    ['a method that echoes', ({ grants }) => Object.assign(first(grants), { methods: ['TRACE'] }), 'TRACE'],
    ['a path that is no pattern', ({ grants }) => Object.assign(first(grants), { paths: ['/a/../b'] }), 'paths: '],
    [
      'an injection into a head that frames',
      ({ grants }) => Object.assign(first(first(grants).injections), { name: 'Content-Length' }),
      'Content-Length',
    ],
    [
      'a placeholder of another grant',
      ({ grants }) => Object.assign(grants[1] ?? {}, { placeholder: first(grants).placeholder }),
      'another grant has it',
    ],
    [
      'a placeholder that any text could hold',
      ({ grants }) => Object.assign(first(grants), { placeholder: 'a' }),
      'placeholder: ',
    ],
    [
      'a value that is a placeholder',
      (document) => {
        (first(document.material)[1] as [string, string][])[0] = ['token', `x${first(document.grants).placeholder}`];
      },
      'placeholder',
    ],
    [
      'a value that ends a line',
      (document) => {
        (first(document.material)[1] as [string, string][])[0] = ['token', 'SEKRET-marker\r\nX-More: 1'];
      },
      'fields.token',
    ],
    ['a key that is none', ({ keys }) => Object.assign(first(keys), { hash: 'abc' }), 'hash'],
    ['a name with control characters', ({ agents }) => Object.assign(agents[1] ?? {}, { name: 'a\u001b[2J' }), 'name: '],
  ])('%s could not be made here, and does not come in', async (_what, change, said) => {
    const { vault, journal } = await another();
    const events = journal.events.length;
    const bad = await changed(file, change);
    for (const dryRun of [true, false]) {
      const { code, text } = await refusal(imported(vault, bad, dryRun));
      expect([code, text]).toEqual(['invalid_input', expect.stringContaining(said)]);
      expect(text).not.toContain('SEKRET');
    }
    expect([vault.agents.list(), journal.events.length]).toEqual([[], events]);
  });

  it('what the journal refuses does not happen', async () => {
    const { vault, journal } = await another();
    journal.failure = new Error('disk full');
    expect(await refusal(imported(vault, file))).toMatchObject({ code: 'audit_unavailable' });
    expect(await refusal(exported(vault))).toMatchObject({ code: 'audit_unavailable' });
    expect(vault.agents.list()).toEqual([]);
  });

  it('a short passphrase is refused', async () => {
    const short = { passphrase: new Secret('elevenchars'), providerFiles: [] };
    expect(await refusal(source.vault.transfer.exportAll(short))).toMatchObject({ code: 'invalid_input' });
  });
});

describe('connected accounts', () => {
  async function account() {
    const pending: (() => void)[] = [];
    const provider = { calls: 0, hold: false };
    const home = directory();
    const opened = await openAccountVault(home, async ({ body }) => {
      provider.calls++;
      if (provider.hold) await new Promise<void>((resolve) => pending.push(resolve));
      return answerTo(body);
    });
    onTestFinished(() => opened.vault.close());
    const { vault } = opened;
    const token = async (): Promise<string> =>
      (await vault.obtain(vault.authority.grants[0]!)).fields.get('access_token')!.reveal();
    const made = () => vault.transfer.exportAll({ passphrase: PASSPHRASE, providerFiles: [], costLog2 });
    return { ...opened, home, provider, token, made, answer: () => pending.splice(0).map((each) => each()) };
  }

  it('go on at the new place with the token that was there last, and the old place renews and uses it no more', async () => {
    const from = await account();
    await connectAccount(from.vault);
    const to = await account();
    const made = await from.made();
    expect(made.accounts).toMatchObject([{ providerId: 'acme', isBegun: false }]);
    expect(await imported(to.vault, made.file)).toMatchObject({ outcome: 'imported', added: { clients: 1 } });
    expect(await from.vault.transfer.retire(made.id, made.accounts)).toBe(1);
    expect(await refusal(from.token())).toMatchObject({
      code: 're_auth_required',
      text: expect.stringContaining('moved to another vault'),
    });
    from.clock.now += 2 * HOUR;
    from.provider.calls = 0;
    expect(await refusal(from.token())).toMatchObject({ code: 're_auth_required' });
    expect(from.provider.calls).toBe(0);
    expect(await to.token()).toBe('SEKRET-marker-access-1');
    // Nothing is left to be read by whoever gets that master key, or to be revoked with the last grant there.
    const left = new Database(join(from.home, 'vault.db'), { readonly: true });
    expect(left.prepare('select count(*) from sealed_material').pluck().get()).toBe(0);
    left.close();
    await from.vault.grants.revoke(from.vault.authority.grants[0]?.id as string);
    await from.vault.close();
    expect(from.provider.calls).toBe(0);
    to.clock.now += 2 * HOUR;
    expect(await to.token()).toBe('SEKRET-marker-access-2');
  });

  it('are not given up when they were renewed since, or are being renewed: no token is lost', async () => {
    const { vault, provider, token, made, clock, answer } = await account();
    await connectAccount(vault);
    const before = await made();
    clock.now += 2 * HOUR;
    expect(await token()).toBe('SEKRET-marker-access-2');
    expect(await refusal(vault.transfer.retire(before.id, before.accounts))).toMatchObject({ code: 'conflict' });
    const now = await made();
    provider.hold = true;
    clock.now += 2 * HOUR;
    provider.calls = 0;
    const renewing = token();
    await expect.poll(() => provider.calls).toBe(1);
    expect(await refusal(vault.transfer.retire(now.id, now.accounts))).toMatchObject({ code: 'conflict' });
    // An export waits for it.
    const waiting = made();
    provider.hold = false;
    answer();
    expect(await renewing).toBe('SEKRET-marker-access-3');
    const last = await waiting;
    expect(await vault.transfer.retire(last.id, last.accounts)).toBe(1);
    const to = await account();
    await imported(to.vault, last.file);
    expect(await to.token()).toBe('SEKRET-marker-access-3');
  });
});
