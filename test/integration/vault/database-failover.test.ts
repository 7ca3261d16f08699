/**
 * A primary that dies while it is written to, and a standby that takes its place behind an address that moves with it. With
 * synchronous_commit=remote_apply nothing that the vault acknowledged is lost.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault } from '../../../src/vault/vault.ts';
import { catalogue, MemoryJournal } from '../../contract/vault/fixtures.ts';
import { startFaultProxy } from '../../helpers/fault-proxy.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';

const servers: PostgresServer[] = [];
afterAll(() => {
  for (const server of servers) server.remove();
});

const ask = (server: PostgresServer, sql: string): string =>
  server.tool('psql', ['-h', server.directory, '-U', 'alterd', '-d', 'vault', '-At', '-c', sql]).trim();

if (!isPostgresHere) test('not present here: PostgreSQL 15', () => {});
else
  test('the vault follows to the standby with every change that it acknowledged', async () => {
    const primary = startPostgres();
    servers.push(primary);
    primary.createDatabase('vault');
    const standby = primary.makeStandby();
    servers.push(standby);
    // After the copy was made: a new primary must not wait for a standby that it has not.
    for (const setting of [`synchronous_standby_names = '*'`, `synchronous_commit = remote_apply`])
      ask(primary, `alter system set ${setting}`);
    ask(primary, 'select pg_reload_conf()');
    await expect.poll(() => ask(primary, 'select sync_state from pg_stat_replication'), { timeout: 10_000 }).toBe('sync');

    let serving = primary;
    const way = await startFaultProxy({ target: () => ({ path: join(serving.directory, '.s.PGSQL.5432') }) });
    const journal = new MemoryJournal();
    const vault = await openVault({
      ...{ dbFile: '', openStore: () => openPostgresStore({ url: `postgresql://alterd@127.0.0.1:${way.port}/vault` }) },
      ...{ followEveryMs: 50, masterKey: new MasterKey('file', randomBytes(32)), catalogue, audit: journal },
    });
    const acknowledged: string[] = [];
    let crash: Promise<void> | null = null;
    let refused = 0;
    for (let i = 0; refused === 0; i++) {
      if (i === 5) crash = primary.crash();
      await vault.agents.create({ name: `a${i}` }).then(
        () => acknowledged.push(`a${i}`),
        () => refused++,
      );
    }
    await crash;
    expect(acknowledged.length).toBeGreaterThanOrEqual(5);
    standby.promote();
    serving = standby;
    await expect
      .poll(
        () =>
          vault.agents.create({ name: 'after' }).then(
            () => 'made',
            ({ code }: { code: string }) => code,
          ),
        { timeout: 20_000 },
      )
      .toBe('made');
    const names = ask(standby, 'select name from agents').split('\n');
    expect(names).toEqual(expect.arrayContaining([...acknowledged, 'after']));
    expect(
      vault.agents
        .list()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(names.toSorted());
    await vault.close();
    await way.close();
  });
