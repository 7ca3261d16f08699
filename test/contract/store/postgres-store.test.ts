import { afterAll, describe, expect, it } from 'vitest';
import { MIGRATIONS } from '../../../src/store/migrations.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { describeCoordination } from './coordination-contract.ts';
import { describeStore, type StoreFactory } from './store-contract.ts';
import { agentRow } from './store-rows.ts';

if (!isPostgresHere) {
  it('not present here: PostgreSQL 15', () => {});
} else {
  let server: PostgresServer | undefined;
  let made = 0;
  afterAll(() => server?.remove());
  const newUrl = (): string => {
    server ??= startPostgres();
    return server.createDatabase(`t${made++}`);
  };
  const factory: StoreFactory = {
    create: async () => {
      const url = newUrl();
      return { store: await openPostgresStore({ url }), reopen: () => openPostgresStore({ url }) };
    },
  };
  describeStore('PostgreSQL', factory);
  describeCoordination('PostgreSQL', factory);

  const unavailable = (reason: RegExp) =>
    expect.objectContaining({ code: 'vault_unavailable', message: expect.stringMatching(reason) });

  describe('PostgreSQL with several replicas', () => {
    it('is brought up to date once by replicas that start together', async () => {
      const url = newUrl();
      const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgresStore({ url })));
      expect(await Promise.all(stores.map((store) => store.currentEpoch()))).toEqual([0, 0, 0, 0]);
      await Promise.all(stores.map((store) => store.close()));
    });

    it('refuses a schema that is newer, and one whose steps are others', async () => {
      const url = newUrl();
      await (await openPostgresStore({ url })).close();
      const older = openPostgresStore({ url, migrations: MIGRATIONS.slice(0, 1) });
      await expect(older).rejects.toThrow(unavailable(/schema version \d+, this alterd knows up to/));
      const others = MIGRATIONS.map((step, i) => (i === 1 ? { ...step, sql: `${step.sql} ` } : step));
      await expect(openPostgresStore({ url, migrations: others })).rejects.toThrow(unavailable(/not the one/));
    });

    it('goes on beside a newer replica whose steps only add, and refuses one whose steps do not say so', async () => {
      const url = newUrl();
      const running = await openPostgresStore({ url });
      const version = MIGRATIONS.length + 1;
      const sql = `alter table grants add column colour text not null default 'grey';`;
      const adding = { version, name: 'colours', sql, goesWith: MIGRATIONS.length };
      const newer = await openPostgresStore({ url, migrations: [...MIGRATIONS, adding] });
      await running.apply([{ put: 'agent', row: agentRow('one') }], 0);
      await newer.apply([{ put: 'agent', row: agentRow('two') }], 1);
      const restarted = await openPostgresStore({ url });
      for (const store of [running, newer, restarted]) expect((await store.load()).agents).toHaveLength(2);
      const changing = { version: version + 1, name: 'other', sql: 'drop table nonces;' };
      const newest = await openPostgresStore({ url, migrations: [...MIGRATIONS, adding, changing] });
      await expect(openPostgresStore({ url })).rejects.toThrow(unavailable(/schema version \d+, this alterd knows up to/));
      await Promise.all([running, newer, restarted, newest].map((store) => store.close()));
    });

    it('lets one of many writers through an epoch, and every writer that goes on from the new one', async () => {
      const url = newUrl();
      const stores = await Promise.all([1, 2, 3].map(() => openPostgresStore({ url })));
      await Promise.all(
        stores.map(async (store, n) => {
          for (let left = 10; left > 0; ) {
            const epoch = await store.currentEpoch();
            try {
              await store.apply([{ put: 'agent', row: agentRow(`w${n}-${left}`) }], epoch);
              left--;
            } catch (thrown) {
              expect(thrown).toEqual(expect.objectContaining({ code: 'conflict' }));
            }
          }
        }),
      );
      const { epoch, agents } = await stores[0]!.load();
      expect([epoch, agents.length]).toEqual([30, 30]);
      await Promise.all(stores.map((store) => store.close()));
    });

    it('says that it is away, without the password, and goes on by itself when it is back', async () => {
      const url = newUrl();
      const store = await openPostgresStore({ url });
      server!.stop('immediate');
      await expect(store.load()).rejects.toThrow(unavailable(/can't be reached or failed/));
      const withPassword = url.replace('alterd@', 'alterd:SEKRET-marker-pg@');
      const atStart = await openPostgresStore({ url: withPassword }).catch((thrown: unknown) => thrown);
      expect(atStart).toEqual(unavailable(/can't be reached or failed \(E/));
      expect(`${atStart} ${JSON.stringify(atStart)}`).not.toContain('SEKRET');
      server!.start();
      expect(await store.currentEpoch()).toBe(0);
      await store.close();
    });
  });
}

it.each(['not a url', 'mysql://SEKRET-marker-a:SEKRET-marker-b@db/x', 'postgresql://u:SEKRET-marker-b@db.test/x?sslmode=prefer'])(
  'refuses a database URL that it does not understand, and does not repeat it: %s',
  async (url) => {
    const refusal = await openPostgresStore({ url }).catch((thrown: unknown) => thrown);
    expect(refusal).toEqual(expect.objectContaining({ code: 'vault_unavailable' }));
    expect(`${refusal} ${JSON.stringify(refusal)}`).not.toContain('SEKRET');
  },
);
