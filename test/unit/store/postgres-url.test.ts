/** What the URL of a database may say of TLS: nothing that goes on in clear because somebody in between wants it so. */
import { expect, test } from 'vitest';
import { connectionOf } from '../../../src/store/postgres/connection.ts';

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
