/**
 * What can become of a change between a replica and PostgreSQL: it collides, its answer is lost, the way dies without a word, the disk is
 * full. Nothing is made twice, nothing that was acknowledged is lost, and what nobody can know is said so.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import type { AlterError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault, type Vault, type VaultOptions } from '../../../src/vault/vault.ts';
import { agentRow } from '../../contract/store/store-rows.ts';
import { catalogue, MemoryJournal } from '../../contract/vault/fixtures.ts';
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from '../../helpers/fault-proxy.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { answered, answerTo, connectAccount, SPEC } from './oauth-vault.ts';

let server: PostgresServer;
let made = 0;

beforeAll(() => {
  if (isPostgresHere) server = startPostgres();
});
afterAll(() => server?.remove());

interface Database {
  readonly name: string;
  /** By a way that can be broken. */
  readonly url: string;
  readonly way: FaultProxy;
  readonly direct: string;
}

async function database(tap?: FaultProxyOptions['tap']): Promise<Database> {
  const name = `d${made++}`;
  const direct = server.createDatabase(name);
  const way = await startFaultProxy({ target: () => ({ path: join(server.directory, '.s.PGSQL.5432') }), tap });
  onTestFinished(() => way.close());
  return { name, direct, way, url: `postgresql://alterd@127.0.0.1:${way.port}/${name}` };
}

const CHILD = join(import.meta.dirname, 'killed-replica.ts');
const key = randomBytes(32);
interface Replica {
  readonly vault: Vault;
  readonly journal: MemoryJournal;
}
async function replica(url: string, more: Partial<VaultOptions> = {}): Promise<Replica> {
  const journal = new MemoryJournal();
  const vault = await openVault({
    ...{ dbFile: '', openStore: () => openPostgresStore({ url }), followEveryMs: 20, catalogue, audit: journal },
    masterKey: new MasterKey('file', Buffer.from(key)),
    ...more,
  });
  onTestFinished(() => vault.close());
  return { vault, journal };
}

const isCommit = (bytes: Buffer): boolean => bytes.includes('commit');
const unavailable = (reason: RegExp) =>
  expect.objectContaining({ code: 'vault_unavailable', message: expect.stringMatching(reason) });
const namesIn = async (url: string): Promise<string[]> => {
  const store = await openPostgresStore({ url });
  const { agents, epoch } = await store.load();
  await store.close();
  return [...agents.map(({ name }) => name).toSorted(), `epoch ${epoch}`];
};

if (!isPostgresHere) test('not present here: PostgreSQL 15', () => {});
else {
  test('a serialization failure (40001) is no failure: the change is made again, once', async () => {
    let begun = 0;
    const { url, direct } = await database((bytes) => {
      if (bytes.includes('serializable')) begun++;
      return true;
    });
    const store = await openPostgresStore({ url });
    const other = new pg.Client({ host: server.directory, user: 'alterd', database: new URL(direct).pathname.slice(1) });
    await other.connect();
    await other.query(`begin isolation level serializable; update meta set value = value where name = 'epoch'`);
    begun = 0;
    const applying = store.apply([{ put: 'agent', row: agentRow('bot') }], 0);
    // It waits for the row that the other one holds, and loses when that commits.
    await expect
      .poll(async () => (await other.query(`select 1 from pg_locks where not granted`)).rowCount, { interval: 10 })
      .toBeGreaterThan(0);
    await other.query('commit');
    expect(await applying).toBe(1);
    expect(begun).toBe(2);
    await other.end();
    await store.close();
    expect(await namesIn(direct)).toEqual(['agent-bot', 'epoch 1']);
  });

  describe('a connection that is lost during COMMIT', () => {
    test.each([
      ['after it was made', 'lost'],
      ['before it was made', 'cut'],
    ])('%s: the change is there once, and is told as made', async (_when, how) => {
      let isArmed = false;
      const { url, direct } = await database((bytes, way) => {
        if (!isArmed || !isCommit(bytes)) return true;
        isArmed = false;
        if (how === 'cut') way.reset();
        else way.loseAnswer();
        return how !== 'cut';
      });
      const { vault, journal } = await replica(url, { followEveryMs: 3_600_000 });
      const { epoch } = vault;
      await vault.agents.create({ name: 'before' });
      journal.onRecord = () => {
        isArmed = true;
        journal.onRecord = null;
      };
      await vault.agents.create({ name: 'bot' });
      expect(isArmed).toBe(false);
      expect(journal.events.map(({ closing }) => closing.outcome)).toEqual(['success', 'success']);
      await vault.agents.create({ name: 'after' });
      expect(vault.epoch).toBe(epoch + 3);
      expect(await namesIn(direct)).toEqual(['after', 'before', 'bot', `epoch ${epoch + 3}`]);
    });

    test('with a database that stays away: it is said that nobody knows; afterwards it shows, and to do it again is safe', async () => {
      let isArmed = false;
      const { url, direct, way } = await database((bytes, each) => {
        if (!isArmed || !isCommit(bytes)) return true;
        isArmed = false;
        each.loseAnswer(() => way.set('reset'));
        return true;
      });
      const { vault, journal } = await replica(url, { followEveryMs: 3_600_000 });
      journal.onRecord = () => {
        isArmed = true;
        journal.onRecord = null;
      };
      await expect(vault.agents.create({ name: 'bot' })).rejects.toEqual(unavailable(/may have been made or not/));
      expect(journal.events.at(-1)?.closing).toMatchObject({ outcome: 'unknown', error: 'vault_unavailable' });
      way.set(null);
      await expect(vault.agents.create({ name: 'bot' })).rejects.toMatchObject({ code: 'conflict' });
      expect((await namesIn(direct)).filter((name) => name === 'bot')).toHaveLength(1);
      expect(vault.agents.list().map(({ name }) => name)).toEqual(['bot']);
    });
  });

  test('connections that died without a word are found by the first one that is asked, in two seconds', async () => {
    const { url, way } = await database();
    const store = await openPostgresStore({ url });
    // As many as the pool holds.
    await Promise.all(Array.from({ length: 8 }, () => store.load()));
    way.strike('half-open', () => true);
    const startedAt = performance.now();
    await store.apply([{ put: 'agent', row: agentRow('bot') }], 0);
    expect(performance.now() - startedAt).toBeLessThan(6_000);
    expect(await store.currentEpoch()).toBe(1);
    await store.close();
  });

  test('an answer that could not be stored is stored first when the database is back, however long that took', async () => {
    const { url, direct, way } = await database();
    const clock = { now: Date.now() };
    const asked: string[] = [];
    let isCut = false;
    const more: Partial<VaultOptions> = {
      catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
      https: async ({ body }) => {
        asked.push(new URLSearchParams(body?.toString()).get('refresh_token') ?? '');
        if (isCut) way.set('reset');
        return answerTo(body);
      },
      now: () => clock.now,
    };
    const { vault: holder } = await replica(url, more);
    await connectAccount(holder);
    const { vault: other } = await replica(direct, more);
    const token = async (of: Vault): Promise<string> =>
      (await of.obtain(of.authority.grants[0]!)).fields.get('access_token')!.reveal();
    clock.now += 2 * 3_600_000;
    isCut = true;
    await expect(token(holder)).rejects.toMatchObject({ code: expect.stringMatching(/unavailable/) });
    expect(asked.at(-1)).toBe('SEKRET-marker-refresh-1');
    // The lease of the refresh is long over, and the other one has just come: it must not ask with what is used up.
    clock.now += 10 * 60_000;
    isCut = false;
    await expect(token(other)).rejects.toMatchObject({ code: 'credential_unavailable' });
    way.set(null);
    await expect.poll(() => token(other).catch(() => ''), { timeout: 10_000 }).toBe('SEKRET-marker-access-2');
    expect(asked).toEqual(['SEKRET-marker-refresh-0', 'SEKRET-marker-refresh-1']);
  });

  test('a replica that is killed with the answer of a provider: another asks once, when the lease is over, and then a person has to', async () => {
    const { direct } = await database();
    const clock = { now: Date.now() };
    const asked: string[] = [];
    const more: Partial<VaultOptions> = {
      catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
      https: async ({ body }) => {
        asked.push(new URLSearchParams(body?.toString()).get('refresh_token') ?? '');
        return asked.length === 1 ? answerTo(body) : answered(400, { error: 'invalid_grant' });
      },
      now: () => clock.now,
    };
    const { vault } = await replica(direct, more);
    await connectAccount(vault);
    // A process of its own: its provider answers, and it is killed before it can store what it got.
    const child = spawn(process.execPath, ['--import', 'tsx', CHILD, direct, key.toString('hex')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const said of child.stdout) if (String(said).includes('answered')) break;
    child.kill('SIGKILL');
    await once(child, 'exit');
    const token = async (): Promise<string> =>
      (await vault.obtain(vault.authority.grants[0]!)).fields.get('access_token')!.reveal();
    clock.now += 2 * 3_600_000;
    asked.length = 1;
    for (let i = 0; i < 5; i++) await expect(token()).rejects.toMatchObject({ code: 'credential_unavailable' });
    expect(asked).toHaveLength(1);
    // The lease of the dead one is over, and the database has been there all along.
    clock.now += 200_000;
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    for (const ms of [3_600_000, 4_000, 4_000, 4_000, 4_000]) {
      vi.advanceTimersByTime(ms);
      await vault.ping().then(() => vault.agents.create({ name: `at-${performance.now() | 0}` }));
    }
    const outcomes = [];
    for (let i = 0; i < 5; i++) outcomes.push(await token().catch(({ code }: { code: string }) => code));
    expect(outcomes).toEqual(Array(5).fill('re_auth_required'));
    expect(asked).toEqual(['SEKRET-marker-refresh-0', 'SEKRET-marker-refresh-1']);
  });

  const small = smallDisk();
  if (small === null) test('not present here: a file system of one megabyte (mount)', () => {});
  else
    test('a full disk of the database is said so, changes nothing, and is over when there is room', async () => {
      const place = join(small, 'space');
      psql(`create tablespace small location '${place}'`);
      const { url, direct, name } = await database();
      psql(`alter database ${name} set tablespace small`);
      const { vault, journal } = await replica(url);
      await vault.agents.create({ name: 'bot' });
      writeFileSync(join(small, 'filler'), randomBytes(1));
      const free = statfsSync(small);
      writeFileSync(join(small, 'filler'), Buffer.alloc(free.bavail * free.bsize));
      const kept: string[] = [];
      let thrown: unknown = null;
      for (let i = 0; i < 100 && thrown === null; i++)
        await vault.secrets
          .create({
            name: `s${i}`,
            providerId: 'good',
            fields: new Map([['token', new Secret(randomBytes(12_000).toString('base64'))]]),
          })
          .then(
            () => kept.push(`s${i}`),
            (error: unknown) => {
              thrown = error;
            },
          );
      expect(thrown).toEqual(unavailable(/disk of the database is full/));
      expect((thrown as AlterError).hint).toContain('nothing was changed');
      expect(journal.events.at(-1)?.closing).toMatchObject({ outcome: 'refused', error: 'vault_unavailable' });
      expect(vault.secrets.list().map((secret) => secret.name)).toEqual(kept);
      rmSync(join(small, 'filler'));
      await vault.secrets.create({
        name: 'later',
        providerId: 'good',
        fields: new Map([['token', new Secret('SEKRET-marker-later')]]),
      });
      const store = await openPostgresStore({ url: direct });
      expect((await store.load()).credentials.map((row) => row.name).toSorted()).toEqual([...kept, 'later'].toSorted());
      await store.close();
    });
}

function psql(command: string): void {
  server.tool('psql', ['-h', server.directory, '-U', 'alterd', '-d', 'postgres', '-c', command]);
}

/** A file system that is full soon; null where nobody may make one. Ended with the process that PostgreSQL is in. */
function smallDisk(): string | null {
  if (process.getuid?.() !== 0) return null;
  const place = mkdtempSync(join(tmpdir(), 'alterd-small-'));
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0755', 'tmpfs', place]).status !== 0) return null;
  mkdirSync(join(place, 'space'), { mode: 0o700 });
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' })));
  chownSync(join(place, 'space'), uid as number, gid as number);
  afterAll(() => {
    server?.remove();
    spawnSync('umount', ['-l', place]);
    rmSync(place, { recursive: true, force: true });
  });
  return place;
}
