/**
 * A replica is held up at each statement that it sends to PostgreSQL, while others change the same database: whatever comes in between, it
 * never takes that for a database that went back or was forged, and ends with the rows that everybody has.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { StaleEpoch } from '../../../src/store/conflicts.ts';
import { MIGRATIONS, type Migration } from '../../../src/store/migrations.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault, type Vault } from '../../../src/vault/vault.ts';
import { catalogue, MemoryJournal, TOKEN } from '../../contract/vault/fixtures.ts';
import { startFaultProxy } from '../../helpers/fault-proxy.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';

let server: PostgresServer;
let client: pg.Client;
let made = 0;

beforeAll(async () => {
  if (!isPostgresHere) return;
  server = startPostgres();
  client = new pg.Client({ host: server.directory, user: 'alterd', database: 'postgres' });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  server?.remove();
});

/** Nobody follows by itself: what is read is read by the call that asks for it. */
async function vaultOf(url: string, key: Buffer, more: { migrations?: readonly Migration[]; policiesDir?: string } = {}) {
  const vault = await openVault({
    ...{ dbFile: '', followEveryMs: 3_600_000, catalogue, audit: new MemoryJournal(), policiesDir: more.policiesDir },
    openStore: () => openPostgresStore({ url, migrations: more.migrations }),
    masterKey: new MasterKey('file', Buffer.from(key)),
  });
  onTestFinished(() => vault.close());
  return vault;
}

/** Takes over what others changed, and changes nothing. */
const follow = async (vault: Vault): Promise<void> => void (await vault.fleetIdentity(() => Buffer.from('authority')));

const withoutUse = ({ rows }: Vault): unknown =>
  JSON.parse(JSON.stringify({ ...rows, meta: [...rows.meta].sort() }, (name, value) => (name === 'lastUsedAt' ? null : value)));

/** Undefined, or what it failed with when that is more than somebody else having been quicker. */
const faultOf = (change: Promise<unknown>): Promise<unknown> =>
  change.then(
    () => undefined,
    (thrown: unknown) => (thrown instanceof StaleEpoch ? undefined : thrown),
  );

/** Resolves when a change is over, or waits for a row that another transaction holds. */
async function overOrBlocked(change: Promise<unknown>): Promise<void> {
  let isOver = false;
  void change.then(() => {
    isOver = true;
  });
  while (!isOver && (await client.query('select 1 from pg_locks where not granted')).rowCount === 0);
}

const POLICY = 'name = "office-hours"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\n';

const OF_LOADING = ['select name, value from meta', 'from agents', 'from hosts'];
const STATEMENTS = [
  'begin isolation level repeatable read',
  'from change_log where epoch >',
  'select value from meta where name',
  ...OF_LOADING,
  'begin isolation level serializable',
  'update meta set value',
  'insert into agents',
  'insert into change_log',
  'commit',
];

if (!isPostgresHere) test('not present here: PostgreSQL 15', () => {});
else {
  describe('a replica that is held up', () => {
    test('at any statement, with any change in between, follows and is followed', async () => {
      const url = server.createDatabase(`o${made++}`);
      const key = randomBytes(32);
      let armed: { readonly at: string; readonly stop: () => Promise<boolean> } | null = null;
      const way = await startFaultProxy({
        target: () => ({ path: join(server.directory, '.s.PGSQL.5432') }),
        tap: (bytes) => {
          if (armed === null || !bytes.includes(armed.at)) return true;
          const { stop } = armed;
          armed = null;
          return stop();
        },
      });
      onTestFinished(() => way.close());
      const other = await vaultOf(url, key);
      const third = await vaultOf(url, key);
      const held = await vaultOf(`postgresql://alterd@127.0.0.1:${way.port}${new URL(url).pathname}`, key);
      let n = 0;
      const another = (vault: Vault): Promise<unknown> => vault.agents.create({ name: `a${n++}` });
      /** What the log does not tell: everybody has to load. */
      const cut = (): Promise<unknown> => third.rotateDataKey(0);
      const between: readonly (() => Promise<unknown>)[] = [
        () => another(other),
        async () => {
          await cut();
          await another(third);
          await other.secrets.create({ name: `s${n++}`, providerId: 'good', fields: TOKEN });
          await other.grants.create({ credential: `s${n - 1}`, system: true, label: `g${n}` });
        },
      ];
      const behind = [cut, () => another(third), async () => {}];
      const reached = new Set<string>();
      for (const [s, at] of STATEMENTS.entries())
        for (const [i, change] of between.entries()) {
          // Only who has to load everything gets to the statements of that.
          await behind[OF_LOADING.includes(at) ? 0 : (s + i) % behind.length]?.();
          let release = (_mayPass: boolean): void => {};
          const stopped = new Promise<boolean>((resolve) => {
            armed = {
              at,
              stop: () => {
                reached.add(at);
                resolve(true);
                return new Promise((go) => {
                  release = go;
                });
              },
            };
          });
          const own = faultOf(another(held));
          await Promise.race([stopped, own]);
          armed = null;
          const others = faultOf(change());
          await overOrBlocked(others);
          release(true);
          expect([await own, await others], `${at}, ${i}`).toEqual([undefined, undefined]);
          for (const vault of [held, other, third]) await follow(vault);
          expect(withoutUse(held), `${at}, ${i}`).toEqual(withoutUse(other));
        }
      expect([...reached]).toEqual(STATEMENTS);
      expect(withoutUse(await vaultOf(url, key))).toEqual(withoutUse(held));
    }, 120_000);
  });

  describe('replicas of which one is newer', () => {
    const NEWER: readonly Migration[] = [
      ...MIGRATIONS,
      {
        ...{ version: MIGRATIONS.length + 1, name: 'colours', goesWith: MIGRATIONS.length },
        sql: `alter table grants add column colour text not null default 'grey';`,
      },
    ];

    /** Two of them, and the newest entry of the log as another version would have written it. */
    async function pair(): Promise<{ older: Vault; newer: Vault; rewrite: (how: (log: Entry[]) => void) => Promise<void> }> {
      const url = server.createDatabase(`o${made++}`);
      const key = randomBytes(32);
      const older = await vaultOf(url, key);
      const newer = await vaultOf(url, key, { migrations: NEWER });
      await newer.secrets.create({ name: 'main', providerId: 'good', fields: TOKEN });
      await follow(older);
      await newer.grants.create({ credential: 'main', system: true, label: 'new' });
      const rewrite = async (how: (log: Entry[]) => void): Promise<void> => {
        const db = new pg.Client({ host: server.directory, user: 'alterd', database: new URL(url).pathname.slice(1) });
        await db.connect();
        const { rows } = await db.query<{ epoch: string; changes: string }>(
          'select * from change_log order by epoch desc limit 1',
        );
        const log = JSON.parse(rows[0]!.changes) as Entry[];
        how(log);
        await db.query('update change_log set changes = $1 where epoch = $2', [JSON.stringify(log), rows[0]!.epoch]);
        await db.end();
      };
      return { older, newer, rewrite };
    }
    type Entry = { put: string; name?: string; value?: string; row: Record<string, unknown> };
    const grantIn = (log: readonly Entry[]): Entry => log.find(({ put }) => put === 'grant')!;

    test.each<[string, (log: Entry[]) => void]>([
      ['with its default, what the older one does not know', (log) => void (grantIn(log).row.colour = 'grey')],
      ['nothing of what the older one knows and it does not', (log) => void delete grantIn(log).row.auditBodies],
      ['a kind of rows that the older one does not know', (log) => void log.push({ put: 'widget', row: { id: 'w' } })],
    ])('go on when it writes %s', async (_what, how) => {
      const { older, newer, rewrite } = await pair();
      await rewrite(how);
      await older.agents.create({ name: 'bot' });
      expect(older.rows.grants[0]).toEqual(newer.rows.grants[0]);
      await newer.agents.create({ name: 'other' });
      await follow(older);
      expect(withoutUse(older)).toEqual(withoutUse(newer));
    });

    test('refuse, and say which one to update, once a row means what the older one can not read', async () => {
      const { older, rewrite } = await pair();
      await rewrite((log) => {
        log.find(({ name }) => name === 'authority_mac')!.value = '2.of-another-meaning';
      });
      await expect(older.agents.create({ name: 'bot' })).rejects.toMatchObject({
        message: expect.stringMatching(/a newer alterd keeps something in its database/),
        hint: expect.stringMatching(/^Update this replica/),
      });
      expect(older.rows.grants).toEqual([]);
    });
  });

  test('replicas that begin an empty database together, with policies of their own, all start as the same vault', async () => {
    const url = server.createDatabase(`o${made++}`);
    const key = randomBytes(32);
    const policiesDir = join(server.directory, 'policies');
    mkdirSync(policiesDir, { recursive: true, mode: 0o700 });
    writeFileSync(join(policiesDir, 'a.toml'), POLICY, { mode: 0o600 });
    const vaults = await Promise.all([1, 2, 3].map(() => vaultOf(url, key, { policiesDir })));
    const identities = await Promise.all(vaults.map((vault) => vault.fleetIdentity(() => Buffer.from(randomBytes(8)))));
    expect(new Set(identities.map(({ vaultId, authority }) => `${vaultId} ${authority.toString('hex')}`)).size).toBe(1);
    expect(vaults.map((vault) => vault.policies.list().length)).toEqual([1, 1, 1]);
    expect(vaults[0]!.policies.versions()).toHaveLength(1);
  });
}
