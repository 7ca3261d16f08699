/** A replica that renews an account and is killed when the provider has answered: it says so and stores nothing. Run as a program. */
import { writeSync } from 'node:fs';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault } from '../../../src/vault/vault.ts';
import { MemoryJournal } from '../../contract/vault/fixtures.ts';
import { answerTo, SPEC } from './oauth-vault.ts';

const [, , url = '', key = ''] = process.argv;
const journal = new MemoryJournal();
const vault = await openVault({
  ...{ dbFile: '', openStore: () => openPostgresStore({ url }), followEveryMs: 20, audit: journal },
  ...{ masterKey: new MasterKey('file', Buffer.from(key, 'hex')), catalogue: { find: () => SPEC } },
  https: async ({ body }) => answerTo(body),
  now: () => Date.now() + 2 * 3_600_000,
});
journal.record = async (opening) => {
  if (opening.action !== 'oauth.refreshed') return 'req_1';
  writeSync(1, 'answered\n');
  return new Promise<never>(() => setInterval(() => {}, 60_000));
};
await vault.obtain(vault.authority.grants[0]!);
