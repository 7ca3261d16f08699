/**
 * A primary that dies while it is written to, and a standby that takes its place, behind an address that moves with it or as one of several
 * hosts of the URL. With synchronous_commit=remote_apply nothing that the vault acknowledged is lost.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault, type Vault } from '../../../src/vault/vault.ts';
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
    // Two that know both hosts, one of them with the standby in front.
    const [toPrimary, toStandby] = await Promise.all(
      [primary, standby].map(({ directory }) => startFaultProxy({ target: () => ({ path: join(directory, '.s.PGSQL.5432') }) })),
    );
    const masterKey = randomBytes(32);
    const open = (url: string) =>
      openVault({
        ...{ dbFile: '', openStore: () => openPostgresStore({ url }), followEveryMs: 50 },
        ...{ masterKey: new MasterKey('file', Buffer.from(masterKey)), catalogue, audit: new MemoryJournal() },
      });
    const knowing = [];
    for (const ports of [
      [toPrimary!.port, toStandby!.port],
      [toStandby!.port, toPrimary!.port],
    ])
      knowing.push(await open(`postgresql://alterd@${ports.map((port) => `127.0.0.1:${port}`).join(',')}/vault`));
    const way = await startFaultProxy({ target: () => ({ path: join(serving.directory, '.s.PGSQL.5432') }) });
    const vault = await open(`postgresql://alterd@127.0.0.1:${way.port}/vault`);
    for (const [i, each] of knowing.entries()) await each.agents.create({ name: `knows-${i}` });
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
    const make = (by: Vault, name: string) =>
      expect
        .poll(
          () =>
            by.agents.create({ name }).then(
              () => 'made',
              ({ code }: { code: string }) => code,
            ),
          { timeout: 20_000 },
        )
        .toBe('made');
    await make(vault, 'after');
    for (const [i, each] of knowing.entries()) await make(each, `after-${i}`);
    // The old one comes back as if nothing had been: who has left it stays away.
    await primary.begin();
    for (const [i, each] of knowing.entries()) await make(each, `later-${i}`);
    await vault.agents.create({ name: 'last' });
    const names = ask(standby, 'select name from agents').split('\n');
    expect(names).toEqual(expect.arrayContaining([...acknowledged, 'after', 'after-0', 'after-1', 'later-0', 'later-1', 'last']));
    expect(
      vault.agents
        .list()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(names.toSorted());
    for (const each of [vault, ...knowing]) await each.close();
    for (const each of [way, toPrimary!, toStandby!]) await each.close();
  });
