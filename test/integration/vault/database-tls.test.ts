/** TLS to PostgreSQL, with a server that has a certificate: only who is who the URL names gets a password. */
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { authorityFromRecord, mintAuthorityRecord } from '../../../src/ca/authority.ts';
import { ownIdentity } from '../../../src/fleet/server-identity.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { freePort } from '../../helpers/free-port.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
let server: PostgresServer;
let port: number;
let caFile: string;
let foreignCaFile: string;

beforeAll(async () => {
  if (!isPostgresHere) return;
  const dir = directory();
  const authority = (name: string) => authorityFromRecord(mintAuthorityRecord(name), join(dir, `${name}.crt`));
  const ca = authority('database');
  caFile = join(dir, 'ca.pem');
  foreignCaFile = join(dir, 'foreign.pem');
  writeFileSync(caFile, ca.certPem);
  writeFileSync(foreignCaFile, authority('foreign').certPem);
  const { cert, key } = ownIdentity(ca, [
    { host: 'localhost', family: 0 },
    { host: '127.0.0.2', family: 4 },
  ]).tls();
  port = await freePort();
  server = startPostgres({
    settings: ['ssl=on', 'listen_addresses=127.0.0.1,127.0.0.2', `port=${port}`],
    prepare: ({ data, who }) => {
      for (const [name, text] of [
        ['server.crt', cert],
        ['server.key', key],
      ] as const) {
        writeFileSync(join(data, name), text, { mode: 0o600 });
        if (who !== null) chownSync(join(data, name), who.uid, who.gid);
      }
      // Over TCP only with TLS.
      const hba = join(data, 'pg_hba.conf');
      writeFileSync(hba, 'local all all trust\nhostssl all all 127.0.0.0/8 trust\n');
      if (who !== null) chownSync(hba, who.uid, who.gid);
    },
  });
  server.tool('createdb', ['-h', server.directory, '-p', String(port), '-U', 'alterd', 'vault']);
});
afterAll(() => server?.remove());

const open = async (host: string, query: string) => {
  const store = await openPostgresStore({ url: `postgresql://alterd:SEKRET-marker-tls@${host}:${port}/vault?${query}` });
  try {
    return await store.currentEpoch();
  } finally {
    await store.close();
  }
};

if (!isPostgresHere) test('not present here: PostgreSQL 15', () => {});
else {
  test.each(['verify-full', 'verify-ca', 'require'])(
    'a server that shows a certificate of the named authority is taken: sslmode=%s',
    async (mode) => {
      expect(await open('localhost', `sslmode=${mode}&sslrootcert=${caFile}`)).toBe(0);
    },
  );

  test('an address is held against the certificate as a name is', async () => {
    // Not of this machine by its name, so TLS is verified without being asked for.
    expect(await open('127.0.0.2', `sslrootcert=${caFile}`)).toBe(0);
  });

  test('each of several hosts is held against the certificate by its own name', async () => {
    const query = `sslmode=verify-full&sslrootcert=${caFile}`;
    expect(await open(`127.0.0.1:${port},localhost`, query)).toBe(0);
    await expect(open(`127.0.0.1:${port},127.0.0.1`, query)).rejects.toMatchObject({ code: 'vault_unavailable' });
  });

  test.each([
    ['of a foreign authority', 'localhost', () => `sslmode=verify-full&sslrootcert=${foreignCaFile}`],
    ['of an authority that nobody named', 'localhost', () => 'sslmode=verify-full'],
    ['for another address', '127.0.0.1', () => `sslmode=verify-full&sslrootcert=${caFile}`],
    ['that nobody looks at, since TLS is off', 'localhost', () => 'sslmode=disable'],
  ])('one %s is refused, and told without the password', async (_what, host, query) => {
    const refusal = await open(host, query()).catch((thrown: unknown) => thrown);
    expect(refusal).toMatchObject({ code: 'vault_unavailable' });
    expect(`${refusal} ${JSON.stringify(refusal)}`).not.toContain('SEKRET');
  });
}
