/** Slices of shared limits at the vault: replicas over one database, policies that change, and a database that was put back. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadPolicies } from '../../../src/config/policy-directory.ts';
import type { PolicySet } from '../../../src/policy/policy-set.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { QuotaStore, Store } from '../../../src/store/store.ts';
import { EmbeddedQuotas, type QuotaAsk } from '../../../src/vault/quotas.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const HOUR = 3_600_000;
const T = 500_000 * HOUR;
const LIMIT = '{ kind = "fixed_window", requests = 100, per = "1h" }';

async function setOf(limit: string): Promise<PolicySet> {
  const toml = `name = "p"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "limit"\nlimit = ${limit}\n`;
  return (await loadPolicies([{ origin: 'file', place: 'p', toml }])).set as PolicySet;
}

/** A replica, and what its policies are. */
async function replicaOf(store: QuotaStore, limit = LIMIT, version = 1) {
  const policies = { set: await setOf(limit), version: () => ({ version, digest: '', createdAt: 0, sources: [] }) };
  const clock = { now: T };
  return { quotas: new EmbeddedQuotas(store, policies, () => clock.now), policies, clock };
}

const open = (dbFile: string): Promise<Store> => openSqliteStore({ dbFile });
let made = 0;
const ask = (hostId: string, want: number, more: Partial<QuotaAsk> = {}): QuotaAsk => ({
  ...{ hostId, rule: 'p/r', agentId: 'a', grantId: 'g', id: `slice-${made++}`, want, settled: [], seen: 0 },
  ...more,
});
const sum = (draws: readonly { readonly count: number }[]): number => draws.reduce((all, { count }) => all + count, 0);

test('replicas that give out the same limit at once never give out more of it', async () => {
  const store = await open(join(directory(), 'vault.db'));
  const replicas = [await replicaOf(store), await replicaOf(store), await replicaOf(store)];
  const draws = await Promise.all(
    Array.from({ length: 90 }, (_each, i) => (replicas[i % 3] as (typeof replicas)[0]).quotas.draw(ask(`h${i % 4}`, 7))),
  );
  expect(sum(draws)).toBe(100);
  expect(draws.some(({ count, retryMs }) => count === 0 && retryMs > 0)).toBe(true);
  expect((await replicas[0]?.quotas.list())?.map(({ left, hosts }) => [left, hosts.length])).toEqual([[0, 4]]);
  for (const { clock } of replicas) clock.now += HOUR;
  expect((await replicas[1]?.quotas.draw(ask('h1', 7)))?.count).toBe(7);
  await store.close();
});

test('the same id gets the same slice at another replica; what is given back there is free here', async () => {
  const store = await open(join(directory(), 'vault.db'));
  const [one, other] = [await replicaOf(store), await replicaOf(store)];
  const asked = ask('h1', 30);
  const first = await one.quotas.draw(asked);
  expect(await other.quotas.draw(asked)).toMatchObject({ count: first.count, validMs: HOUR });
  const settled = [{ id: asked.id, used: 10, idleMs: 0 }];
  for (let i = 0; i < 2; i++) await other.quotas.draw(ask('h1', 0, { settled }));
  expect(sum(await Promise.all(Array.from({ length: 60 }, () => one.quotas.draw(ask('h2', 9)))))).toBe(90);
  await store.close();
});

test.each([
  ['no rule has this name', 'p/other', LIMIT],
  ['each host counts for itself', 'p/r', LIMIT.replace(' }', ', scope = "host" }')],
])('nothing is given out where %s', async (_why, rule, limit) => {
  const store = await open(join(directory(), 'vault.db'));
  const { quotas } = await replicaOf(store, limit);
  await expect(quotas.draw(ask('h1', 1, { rule }))).rejects.toMatchObject({ code: 'not_found' });
  expect(await store.listQuotas()).toEqual([]);
  await store.close();
});

test('a replica that does not know the newest policies yet gives out nothing by the older ones', async () => {
  const store = await open(join(directory(), 'vault.db'));
  const newer = await replicaOf(store, LIMIT.replace('100', '10'), 2);
  const older = await replicaOf(store);
  expect((await newer.quotas.draw(ask('h1', 4))).count).toBe(4);
  expect(await older.quotas.draw(ask('h1', 4))).toMatchObject({ count: 0, retryMs: 100 });
  older.policies.version = newer.policies.version;
  older.policies.set = newer.policies.set;
  expect((await older.quotas.draw(ask('h1', 4))).count).toBe(3);
  await store.close();
});

test('an older copy of the database gives out nothing once a host is back that was told of a later one', async () => {
  const dir = directory();
  const file = (name: string): string => join(dir, name);
  let store = await open(file('vault.db'));
  let replica = await replicaOf(store);
  await replica.quotas.draw(ask('h1', 10));
  await store.close();
  copyFileSync(file('vault.db'), file('copy.db'));
  store = await open(file('vault.db'));
  replica = await replicaOf(store);
  const { version: seen } = await replica.quotas.draw(ask('h1', 40));
  await store.close();

  store = await open(file('copy.db'));
  replica = await replicaOf(store);
  expect((await replica.quotas.draw(ask('h1', 40, { seen }))).count).toBe(0);
  const { count, version } = await replica.quotas.draw(ask('h2', 40));
  expect([count, version > seen]).toEqual([0, true]);
  // A version that nobody can have been told says nothing.
  replica.clock.now += HOUR;
  expect((await replica.quotas.draw(ask('h2', 40, { seen: T * 2 }))).count).toBe(40);
  await store.close();
});

test('a copy that an operator accepted gives out nothing for a window, also after the next start', async () => {
  const dbFile = join(directory(), 'vault.db');
  let store = await open(dbFile);
  const { quotas } = await replicaOf(store);
  await quotas.draw(ask('h1', 10));
  await quotas.distrust();
  expect((await quotas.draw(ask('h1', 10))).count).toBe(0);
  await store.close();
  store = await open(dbFile);
  const next = await replicaOf(store);
  next.clock.now += 1;
  expect((await next.quotas.draw(ask('h1', 10))).count).toBe(0);
  expect((await next.quotas.draw(ask('h2', 10, { grantId: 'another' }))).count).toBe(0);
  next.clock.now += HOUR;
  expect((await next.quotas.draw(ask('h1', 10))).count).toBe(10);
  await store.close();
});
