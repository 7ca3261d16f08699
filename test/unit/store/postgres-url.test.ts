/** What the URL of a database may say of TLS: nothing that goes on in clear because somebody in between wants it so. */
import { expect, test } from 'vitest';
import { databaseUrl } from '../../../src/config/vault-reader.ts';
import { parseDatabaseUrl, withPassword } from '../../../src/domain/database-url.ts';
import { connectionOf } from '../../../src/store/postgres/connection.ts';
import { HostPools } from '../../../src/store/postgres/host-pools.ts';

const PASSWORD = 'SEKRET-marker-database';
const ssl = (query: string, host = 'db.example.test'): unknown => {
  const { pool } = connectionOf(`postgres://alterd:${PASSWORD}@${host}:5432/vault${query}`);
  return (pool as unknown as { options: { ssl: unknown } }).options.ssl;
};

test.each(['', '?sslmode=require', '?sslmode=verify-ca', '?sslmode=verify-full'])(
  'with %j another machine is verified',
  (query) => {
    expect(ssl(query)).toEqual({ rejectUnauthorized: true });
  },
);

test('in clear only where the URL says so, or on the same machine', () => {
  expect([ssl('?sslmode=disable'), ssl('', '127.0.0.1'), ssl('', '[::1]')]).toEqual([false, false, false]);
});

test.each(['prefer', 'allow', 'Require', ''])('sslmode=%s is refused, and the refusal shows no password', (mode) => {
  const attempt = (): unknown => ssl(`?sslmode=${mode}`);
  expect(attempt).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  try {
    attempt();
  } catch (error) {
    expect(`${error} ${JSON.stringify(error)}`).not.toContain(PASSWORD);
  }
});

const hostsIn = (text: string): unknown => parseDatabaseUrl(text)?.hosts.map(({ host, port }) => `${host} ${port}`) ?? null;

test.each<[string, readonly string[] | null]>([
  ['postgresql://a@db/vault', ['db 5432']],
  ['postgresql://a@db:6000/vault', ['db 6000']],
  ['postgresql://a@db1,db2:5433/vault', ['db1 5432', 'db2 5433']],
  ['postgresql://a:p%40ss@10.0.0.1:1,[::1]:2,[fd00::2]/vault?sslmode=require', ['10.0.0.1 1', '::1 2', 'fd00::2 5432']],
  ['postgresql:///vault?host=/run/postgresql', ['/run/postgresql 5432']],
  ['postgresql://a@localhost/vault?host=%2Frun%2Fpg&port=6000', ['/run/pg 6000']],
  ['postgresql://a@/vault?host=db1,db2&port=1,2', ['db1 1', 'db2 2']],
  ['postgresql://a@/vault?host=db1,db2&port=6000', ['db1 6000', 'db2 6000']],
  ['postgres://db', ['db 5432']],
  ['postgresql://a@/vault', null],
  ['postgresql://a@db1,/vault', null],
  ['postgresql://a@db1,db2/vault?port=1,2,3', null],
  ['postgresql://a@db:0/vault', null],
  ['postgresql://a@db:65536/vault', null],
  ['postgresql://a@db:x/vault', null],
  ['postgresql://a@%ff/vault', null],
  ['mysql://a@db/vault', null],
  ['', null],
])('%s leads to %j', (text, hosts) => {
  expect(hostsIn(text)).toEqual(hosts);
});

test('a password is put where it belongs, whatever it is made of', () => {
  const password = `${PASSWORD}@:/?#%,`;
  for (const text of [
    'postgresql://a@db1:1,db2:2/vault?sslmode=require',
    'postgresql://a:old@db1:1,db2:2/vault?sslmode=require',
  ]) {
    const parsed = parseDatabaseUrl(withPassword(text, password));
    expect(parsed?.hosts.map(({ host, port }) => `${host} ${port}`)).toEqual(['db1 1', 'db2 2']);
    expect([parsed?.url.username, decodeURIComponent(parsed?.url.password ?? '')]).toEqual(['a', password]);
  }
});

test('each of several hosts is verified by its own name, and only what can be written to is used', () => {
  const { pool, place } = connectionOf('postgresql://a@db1:1,127.0.0.1:2/vault?target_session_attrs=primary');
  expect([pool instanceof HostPools, place]).toEqual([true, 'db1:1,127.0.0.1:2']);
});

test.each(['any', 'standby', 'prefer-standby', 'read-only', ''])(
  'a vault reads from no standby: target_session_attrs=%s',
  (asked) => {
    expect(() => connectionOf(`postgresql://a@db1,db2/vault?target_session_attrs=${asked}`)).toThrow(
      expect.objectContaining({ code: 'vault_unavailable', hint: expect.stringContaining('target_session_attrs=read-write') }),
    );
  },
);

test('the configuration takes several hosts, and a password in none of them', () => {
  for (const url of ['postgres://a@db1:1,db2:2/vault', 'postgresql://a@db/vault'])
    expect(databaseUrl.read(url)).toEqual({ value: url });
  for (const url of ['postgres://a:pw@db1,db2/vault', 'postgres://a@db1,/vault', 'mysql://a@db/vault', 7])
    expect(databaseUrl.read(url)).toEqual({ problem: expect.stringContaining('without a password') });
});
