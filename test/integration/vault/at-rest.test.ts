/** What the files of a vault give away, and what happens when they are changed, swapped or opened with something else. */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { loadMasterKey, MasterKey } from '../../../src/crypto/master-key.ts';
import { NO_BINDING } from '../../../src/domain/agent.ts';
import { openVault } from '../../../src/vault/vault.ts';
import { catalogue, fieldsOf, MemoryJournal, type OpenedVault, openedVault, refusal } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const MARKER = 'SEKRET-marker-at-rest-value';
/** The schema as it was before there were users. */
const WITHOUT_PEOPLE = [
  ...['permits', 'delegations', 'users', 'change_log', 'nonces', 'leases', 'hosts', 'host_audit', 'quotas'].map(
    (table) => `drop table ${table}`,
  ),
  ...['agents_by_parent', 'agent_keys_by_parent', 'grants_by_user'].map((index) => `drop index ${index}`),
  ...['type', 'providers', 'parent_id', 'metadata'].map((column) => `alter table agents drop column ${column}`),
  ...['parent_key_id', 'narrowing', 'bound_unit', 'bound_executable', 'bound_cidr'].map(
    (column) => `alter table agent_keys drop column ${column}`,
  ),
  ...['user_id', 'group_issuer', 'group_name', 'no_cache', 'offline_grace_ms', 'audit_bodies', 'audit_body_bytes'].map(
    (column) => `alter table grants drop column ${column}`,
  ),
].join('; ');
const SECOND = 'SEKRET-marker-second-value';

async function filled(): Promise<OpenedVault & { readonly agentKey: string }> {
  const all = await openedVault(directory());
  const { key } = await all.vault.agents.create({ name: 'bot' });
  await all.vault.secrets.create({ providerId: 'good', fields: fieldsOf({ token: MARKER }) });
  await all.vault.secrets.create({ providerId: 'shaped', fields: fieldsOf({ token: SECOND }) });
  await all.vault.grants.create({ provider: 'good', agent: 'bot', label: 'main' });
  await all.vault.grants.create({ provider: 'shaped', agent: 'bot', label: 'second' });
  return { ...all, agentKey: key.reveal() };
}

/** A row of everything that has to do with people, each with something in it that somebody could want otherwise. */
async function withPeople({ vault, clock }: OpenedVault): Promise<void> {
  const claims = {
    issuer: 'https://login.good.test',
    email: null,
    name: null,
    issuedAt: clock.now,
    expiresAt: clock.now + 1_000,
  };
  const user = await vault.users.admit({ ...claims, subject: 'anna', groups: ['staff'] });
  await vault.agents.create({ name: 'limited', providers: ['good'], type: 'service', metadata: { team: 'a' } });
  const [key] = vault.agents.listKeys('bot');
  await vault.agents.deriveKey(key?.id ?? '', {
    binding: { unit: 'bot.service' },
    narrowing: { grantIds: null, deniedMethods: ['DELETE'], deniedPaths: [], deniedHosts: [] },
  });
  await vault.grants.create({ provider: 'good', user: user.id, label: 'hers' });
  await vault.grants.create({ provider: 'good', group: { issuer: claims.issuer, name: 'staff' }, label: 'theirs' });
  await vault.delegations.create({ grant: 'theirs', agent: 'bot', by: 'operator' });
  const { id } = await vault.delegations.create({ grant: 'hers', agent: 'bot', by: 'operator' });
  await vault.delegations.revoke(id, 'operator');
  const pattern = { agentId: vault.agents.find('bot').id, userId: null, grantId: vault.grants.find('main').id };
  const call = { ...pattern, rule: 'grant.approval', method: 'GET', origin: 'https://api.good.test:443', path: '/a' };
  await vault.permits.create(call, 'standing', { approvalId: 'apr_1', by: 'operator' });
  await vault.users.changeStatus(user.id, 'deactivated');
  await vault.hosts.invite('web-01');
}

const reopen = ({ dbFile, masterKey, journal }: OpenedVault, key: MasterKey = masterKey()) =>
  openVault({ dbFile, masterKey: key, catalogue, audit: journal });

/** Every way in which a value could lie in a file: raw, wide, hex, base64 at each alignment, reversed, in halves. */
function formsOf(value: string): Buffer[] {
  const raw = Buffer.from(value);
  const aligned = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), raw]).toString('base64');
    const core = text.slice(shift === 0 ? 0 : shift + 1, -4);
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const texts = [
    raw.toString('hex'),
    raw.toString('hex').toUpperCase(),
    [...value].reverse().join(''),
    encodeURIComponent(value),
    ...aligned,
  ];
  return [raw, Buffer.from(value, 'utf16le'), raw.subarray(0, 14), raw.subarray(-14), ...texts.map((text) => Buffer.from(text))];
}

function leaks(folder: string, values: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .flatMap((name) => {
      const bytes = readFileSync(join(folder, name));
      return values.flatMap((value) => formsOf(value).flatMap((form) => (bytes.includes(form) ? [`${name}: ${form}`] : [])));
    });
}

describe('the files of a vault (S-86, S-87)', () => {
  it('hold no secret and no agent key in any form, while it runs and after it is closed; the search does find one', async () => {
    const all = await filled();
    const folder = dirname(all.dbFile);
    await all.vault.secrets.rotate('good', fieldsOf({ token: `${MARKER}-rotated` }));
    await all.vault.obtain(all.vault.grants.find('main'));
    const values = [MARKER, SECOND, all.agentKey.slice('alter_key_agent_'.length + 6)];
    expect(readdirSync(folder)).toContain('vault.db-wal');
    expect(leaks(folder, values)).toEqual([]);
    await all.vault.close();
    expect(leaks(folder, values)).toEqual([]);
    const control = directory();
    writeFileSync(join(control, 'leak'), Buffer.from(`xx${MARKER}yy`).toString('base64'));
    expect(leaks(control, values)).not.toEqual([]);
  });

  it('do not open when they are copied away without the key, with another key, or as another source', async () => {
    const all = await filled();
    await all.vault.close();
    const copy = join(directory(), 'vault.db');
    copyFileSync(all.dbFile, copy);
    const hash = (): string => createHash('sha256').update(readFileSync(copy)).digest('hex');
    const before = hash();
    const attempts = [
      openVault({ dbFile: copy, masterKey: new MasterKey('file', randomBytes(32)), catalogue, audit: all.journal }),
    ];
    expect((await refusal(attempts[0]!)).text).toMatch(/not the one that this database was made with/);
    const elsewhere = join(directory(), 'master.key');
    const load = openVault({
      dbFile: copy,
      catalogue,
      audit: all.journal,
      masterKey: (recorded) =>
        loadMasterKey({ keyFile: elsewhere, recordedSource: recorded?.source, create: true, environment: {} }),
    });
    expect((await refusal(load)).text).toMatch(/key file .* is missing/);
    expect(existsSync(elsewhere)).toBe(false);
    const { bytes } = { bytes: randomBytes(32) };
    expect(
      (await refusal(openVault({ dbFile: copy, masterKey: new MasterKey('keyring', bytes), catalogue, audit: all.journal })))
        .text,
    ).toMatch(/kept in the source "file"/);
    expect(hash()).toBe(before);
  });

  it('are one vault with the key file of a fresh install, over restarts', async () => {
    const home = directory();
    const keyFile = join(home, 'config', 'master.key');
    const dbFile = join(home, 'state', 'vault.db');
    const open = () =>
      openVault({
        dbFile,
        catalogue,
        audit: new MemoryJournal(),
        masterKey: (recorded) =>
          loadMasterKey({ keyFile, recordedSource: recorded?.source, create: true, dbFile, environment: {} }),
      });
    const first = await open();
    await first.secrets.create({ providerId: 'good', fields: fieldsOf({ token: MARKER }) });
    const grant = await first.grants.create({ provider: 'good', system: true });
    await first.close();
    const second = await open();
    expect((await second.obtain(second.grants.find(grant.id))).fields.get('token')?.reveal()).toBe(MARKER);
    expect([second.keySource, second.epoch]).toEqual(['file', 3]);
    await second.close();
  });

  it('of a version without cookies of answers open, and pass none', async () => {
    const all = await filled();
    await all.vault.close();
    const db = new Database(all.dbFile);
    db.exec(
      [WITHOUT_PEOPLE, ';']
        .concat(
          ['pass_response_cookies', 'operations', 'approval', 'git_access'].map(
            (column) => `alter table grants drop column ${column};`,
          ),
        )
        .concat(
          'alter table credentials drop column oauth; alter table credentials drop column sources; drop table provider_clients;',
        )
        .concat('drop table policies; drop table policy_sets; drop table rate_limits;')
        .concat('delete from migrations where version > 1; pragma user_version = 1')
        .join(' '),
    );
    db.close();
    const vault = await reopen(all);
    expect(vault.grants.find('main')).toMatchObject({ passResponseCookies: false, git: null });
    await vault.close();
  });

  it('of a version without users open, and nobody has more or less than before', async () => {
    const all = await filled();
    await all.vault.close();
    const db = new Database(all.dbFile);
    db.exec(`${WITHOUT_PEOPLE}; delete from migrations where version > 8; pragma user_version = 8`);
    db.close();
    const vault = await reopen(all);
    expect(vault.identify(all.agentKey)).toMatchObject({
      agentName: 'bot',
      userId: null,
      parentAgent: null,
      binding: NO_BINDING,
    });
    expect(vault.agents.find('bot')).toMatchObject({ type: 'agent', providers: null, parentId: null, metadata: {} });
    expect([vault.users.list(), vault.delegations.list(), vault.grants.list().length]).toEqual([[], [], 2]);
    await vault.close();
  });

  it('belong to one vault at a time', async () => {
    const all = await filled();
    expect((await refusal(reopen(all))).text).toMatch(/in use by another alterd/);
    await all.vault.close();
    await (await reopen(all)).close();
  });
});

const POLICY =
  'name = "p"\nlayer = "installation"\nmode = "enforce"\n[[rules]]\nname = "r"\neffect = "deny"\nwhen = { methods = ["DELETE"] }\n';

describe('a database that was edited without the key', () => {
  const edits: [string, string][] = [
    ['a grant is brought back', `update grants set status = 'active', revoked_at = null where label = 'second'`],
    ['a grant is widened', `update grants set destinations = '[{"pattern":"evil.test","port":443,"scheme":"https"}]'`],
    ['a host gets another agent', `update hosts set agent_ids = '["x"]'`],
    ['a host is let in again', `update hosts set status = 'active'`],
    ["a host's key is another", `update hosts set signing_key = 'x'`],
    [
      'a host is added',
      `insert into hosts select 'x', 'x', status, 'x', invite_expires_at, signing_key, sealing_key, capabilities, version, agent_ids, system_grants, created_at, enrolled_at, last_used_at from hosts`,
    ],
    ['a grant may be kept on hosts', 'update grants set no_cache = 1 - no_cache'],
    ['a grant gets an offline grace', 'update grants set offline_grace_ms = 3600000'],
    ['a grant keeps bodies', `update grants set audit_bodies = 'both'`],
    ['a grant keeps more of them', 'update grants set audit_body_bytes = 262144'],
    ['a grant passes cookies', 'update grants set pass_response_cookies = 1'],
    ['a grant for git becomes one for pushes', `update grants set git_access = 'write'`],
    ['a grant is given to everybody', `update grants set principal_type = 'system', agent_id = null`],
    [
      'a grant is planted',
      `create temp table planted as select * from grants limit 1; update planted set id = 'planted', destinations = '[{"pattern":"evil.test","port":443,"scheme":"https"}]', allow_private = 1; insert into grants select * from planted`,
    ],
    ['a grant is deleted', `delete from grants where label = 'main'`],
    [
      'a key is planted',
      `insert into agent_keys select 'planted', agent_id, 'hash', prefix, status, created_at, expires_at, last_used_at, bound_uid, null, null, null, null, null from agent_keys limit 1`,
    ],
    [
      'a key loses its binding',
      `update agent_keys set hash = 'other' where parent_key_id is null and hash = (select max(hash) from agent_keys where parent_key_id is null)`,
    ],
    ['an agent loses its limit of providers', `update agents set providers = null`],
    ['a derived key is cut loose from its parent', `update agent_keys set parent_key_id = null`],
    ['a derived key is widened', `update agent_keys set narrowing = null`],
    ['a key is unbound from its unit', `update agent_keys set bound_unit = null`],
    ['a user is let in again', `update users set status = 'active'`],
    ['a user is put into a group', `update users set groups = '["admins"]'`],
    ['a user becomes another', `update users set subject = 'other'`],
    ['all users are taken away', `delete from users`],
    ['a delegation is brought back', `update delegations set status = 'active'`],
    [
      'a delegation is given to another agent',
      `update delegations set agent_id = (select id from agents where name = 'limited')`,
    ],
    ['a delegation never ends', `update delegations set expires_at = null`],
    ["a user's grant becomes another's", `update grants set principal_type = 'system', user_id = null where user_id is not null`],
    ["a group's grant becomes another group's", `update grants set group_name = 'all' where group_name is not null`],
    ['a permit is for another path', `update permits set path = '/'`],
    ['a permit is given to a user', `update permits set user_id = (select id from users)`],
    ['all permits are taken away', `delete from permits`],
    ['a policy is loosened', `update policies set toml = replace(toml, 'enforce', 'monitor')`],
    ['a policy is taken away', 'delete from policies'],
    ['a set of policies is swapped', `update policy_sets set sources = '[]'`],
    ['an agent is renamed', `update agents set name = 'boss' where name = 'bot'`],
    ['a secret is sent elsewhere', `update credentials set injections = '[]'`],
    ['the epoch is turned back', `update meta set value = '2' where name = 'epoch'`],
    ['the MAC is taken away', `delete from meta where name = 'authority_mac'`],
    ['everything is recorded as new', `update meta set value = '0' where name = 'epoch'; delete from meta where name <> 'epoch'`],
    [
      'everything is recorded as new, without data keys',
      `update meta set value = '0' where name = 'epoch'; delete from meta where name <> 'epoch'; delete from sealed_material; delete from data_keys`,
    ],
  ];
  it.each(edits)('does not open when %s', async (_what, sql) => {
    const all = await filled();
    await all.vault.grants.revoke('second');
    await withPeople(all);
    await all.vault.policies.add(POLICY, { replace: false });
    await all.vault.close();
    const db = new Database(all.dbFile);
    db.pragma('foreign_keys = off');
    db.exec(sql);
    db.close();
    const { code, text } = await refusal(reopen(all));
    expect([code, text]).toEqual([
      'vault_unavailable',
      expect.stringMatching(/changed by something other|does not say which key/),
    ]);
  });

  const sealedEdits: [string, string][] = [
    [
      'swapped for that of another secret',
      `update sealed_material set sealed = (select sealed from sealed_material other where other.credential_id <> sealed_material.credential_id)`,
    ],
    ['relabelled as another version', 'update sealed_material set version = version + 1'],
    ['cut', 'update sealed_material set sealed = substr(sealed, 1, 20)'],
    ['gone', 'delete from sealed_material'],
  ];
  it.each(sealedEdits)('refuses the request when sealed material was %s', async (_what, sql) => {
    const all = await filled();
    await all.vault.close();
    const db = new Database(all.dbFile);
    db.exec(sql);
    db.close();
    const vault = await reopen(all);
    const { code, text } = await refusal(async () => vault.obtain(vault.grants.find('main')));
    expect([code, text]).toEqual(['credential_unavailable', expect.not.stringContaining('SEKRET')]);
    await vault.close();
  });

  it('refuses the request when a secret was rolled back to its old value', async () => {
    const all = await filled();
    const db = new Database(all.dbFile, { timeout: 1000 });
    const { sealed } = db
      .prepare('select sealed from sealed_material join credentials on id = credential_id where name = ?')
      .get('good') as { sealed: Buffer };
    db.close();
    await all.vault.secrets.rotate('good', fieldsOf({ token: SECOND }));
    await all.vault.close();
    const again = new Database(all.dbFile);
    again
      .prepare('update sealed_material set sealed = ? where credential_id = (select id from credentials where name = ?)')
      .run(sealed, 'good');
    again.close();
    const vault = await reopen(all);
    expect((await refusal(async () => vault.obtain(vault.grants.find('main')))).code).toBe('credential_unavailable');
    await vault.close();
  });
});

describe('rotating keys', () => {
  it('a new master key opens the vault and the old one no longer does', async () => {
    const all = await filled();
    const bytes = randomBytes(32);
    const to = (): MasterKey => new MasterKey('keyring', Buffer.from(bytes));
    await all.vault.rotateMasterKey(to());
    expect(all.vault.keySource).toBe('keyring');
    await all.vault.agents.create({ name: 'after' });
    await all.vault.close();
    expect((await refusal(reopen(all))).code).toBe('vault_unavailable');
    const vault = await reopen(all, to());
    expect((await vault.obtain(vault.grants.find('main'))).fields.get('token')?.reveal()).toBe(MARKER);
    expect(
      vault.agents
        .list()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['after', 'bot']);
    await vault.close();
  });

  it('a new data key seals everything again, also for requests under way, and the old one is gone', async () => {
    const all = await filled();
    const read = (sql: string): unknown[] => {
      const db = new Database(all.dbFile, { readonly: true });
      try {
        return db.prepare(sql).all();
      } finally {
        db.close();
      }
    };
    const before = read('select id from data_keys');
    const grant = all.vault.grants.find('main');
    const [, material] = await Promise.all([all.vault.rotateDataKey(), all.vault.obtain(grant)]);
    expect(material.fields.get('token')?.reveal()).toBe(MARKER);
    expect(read('select id from data_keys')).not.toEqual(before);
    expect(read('select distinct data_key_id from sealed_material')).toHaveLength(1);
    await all.vault.secrets.create({ name: 'late', providerId: 'good', fields: fieldsOf({ token: SECOND }) });
    await all.vault.close();
    const vault = await reopen(all);
    for (const label of ['main', 'second']) await vault.obtain(vault.grants.find(label));
    await vault.close();
  });
});

describe('a vault whose process is killed', () => {
  it('opens again with every change that was promised, and no half of one', async () => {
    const home = directory();
    mkdirSync(join(home, 'config'), { mode: 0o700 });
    const script = join(import.meta.dirname, 'crash-vault.ts');
    for (const kills of [3, 11]) {
      const promised = await new Promise<number>((resolve, reject) => {
        const child = spawn(process.execPath, ['--import', 'tsx', script, home], { stdio: ['ignore', 'pipe', 'inherit'] });
        let lines = 0;
        let last = 0;
        child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
          for (const line of chunk.trim().split('\n')) {
            lines++;
            last = Number(line);
          }
          if (lines >= kills) child.kill('SIGKILL');
        });
        child.once('error', reject);
        child.once('close', (_code, signal) => (signal === 'SIGKILL' ? resolve(last) : reject(new Error('it ended by itself'))));
      });
      const dbFile = join(home, 'state', 'vault.db');
      const vault = await openVault({
        dbFile,
        catalogue,
        audit: new MemoryJournal(),
        masterKey: (recorded) =>
          loadMasterKey({
            keyFile: join(home, 'config', 'master.key'),
            recordedSource: recorded?.source,
            create: false,
            environment: {},
          }),
      });
      expect(vault.secrets.list().length).toBeGreaterThanOrEqual(promised);
      for (const grant of vault.grants.list()) expect((await vault.obtain(grant)).fields.size).toBe(1);
      await vault.close();
    }
  });
});
