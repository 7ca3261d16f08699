/** A replica that can't ask its database, or finds another one there, goes on with nothing. Over SQLite, whose file a test can put back. */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, expect, test, vi } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { openVault, type Vault } from '../../../src/vault/vault.ts';
import { catalogue, MemoryJournal } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const open: Vault[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const vault of open.splice(0)) await vault.close();
});

/** A vault over a database that the test can take away, or put another one in the place of. */
async function openShared(dbFile: string): Promise<{ readonly vault: Vault; readonly place: { store: Store | null } }> {
  const first = await openSqliteStore({ dbFile });
  const place: { store: Store | null } = { store: first };
  const shared = new Proxy(first, {
    get: (target, name) => {
      const { store } = place;
      if (store === null && name !== 'close') return () => Promise.reject(new Error('the database is away'));
      const member = Reflect.get(store ?? target, name) as unknown;
      return typeof member === 'function' ? member.bind(store ?? target) : member;
    },
  });
  const vault = await openVault({
    dbFile: '',
    openStore: async () => shared,
    followEveryMs: 3_600_000,
    masterKey: new MasterKey('file', Buffer.alloc(32, 3)),
    catalogue,
    audit: new MemoryJournal(),
  });
  open.push(vault);
  return { vault, place };
}

test('who has not heard of its database for five seconds lets nobody in, and does again once it has', async () => {
  const { vault, place } = await openShared(join(directory(), 'vault.db'));
  const { key } = await vault.agents.create({ name: 'bot' });
  const { store } = place;
  vi.useFakeTimers({ toFake: ['performance'] });
  await vault.agents.create({ name: 'just-now' });
  place.store = null;
  vi.advanceTimersByTime(4_900);
  expect([vault.isFresh, vault.identify(key.reveal()).agentName]).toEqual([true, 'bot']);
  vi.advanceTimersByTime(200);
  expect(vault.isFresh).toBe(false);
  expect(() => vault.identify(key.reveal())).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  await expect(vault.agents.create({ name: 'lost' })).rejects.toThrow();
  place.store = store;
  await vault.agents.create({ name: 'back' });
  expect(vault.identify(key.reveal()).agentName).toBe('bot');
});

test('a database that went back in time is refused, though its MAC was right once', async () => {
  const dir = directory();
  const file = join(dir, 'vault.db');
  const { vault, place } = await openShared(file);
  const { agent } = await vault.agents.create({ name: 'bot' });
  const copy = new Database(file, { readonly: true });
  await copy.backup(join(dir, 'older.db'));
  copy.close();
  await vault.agents.changeStatus(agent.id, 'paused');
  const newest = place.store;
  chmodSync(join(dir, 'older.db'), 0o600);
  place.store = await openSqliteStore({ dbFile: join(dir, 'older.db') });
  await expect(vault.agents.create({ name: 'next' })).rejects.toMatchObject({
    code: 'vault_unavailable',
    details: { reason: expect.stringMatching(/went back in time/) },
  });
  expect(vault.authority.agents.get(agent.id)?.status).toBe('paused');
  await place.store.close();
  place.store = newest;
});

test('what something else wrote into the database is not taken over, whatever its log says', async () => {
  const dir = directory();
  const file = join(dir, 'vault.db');
  const { vault, place } = await openShared(file);
  const { agent } = await vault.agents.create({ name: 'bot' });
  await vault.agents.changeStatus(agent.id, 'paused');
  // Not through the writer's lock: as somebody with the file in hand would.
  const forged = join(dir, 'forged.db');
  const source = new Database(file, { readonly: true });
  await source.backup(forged);
  source.close();
  const db = new Database(forged);
  const epoch = vault.epoch + 1;
  const active = { put: 'agent', row: { ...vault.authority.agents.get(agent.id), status: 'active' } };
  db.exec(`update meta set value = '${epoch}' where name = 'epoch'; update agents set status = 'active'`);
  db.prepare('insert into change_log (epoch, changes) values (?, ?)').run(epoch, JSON.stringify([active]));
  db.close();
  const newest = place.store;
  chmodSync(forged, 0o600);
  place.store = await openSqliteStore({ dbFile: forged });
  await expect(vault.agents.create({ name: 'next' })).rejects.toMatchObject({ code: 'vault_unavailable' });
  expect(vault.authority.agents.get(agent.id)?.status).toBe('paused');
  await place.store.close();
  place.store = newest;
});
