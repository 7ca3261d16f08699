/** Stores secrets with grants until it is killed; prints how many are promised. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { loadMasterKey } from '../../../src/crypto/master-key.ts';
import { openVault } from '../../../src/vault/vault.ts';
import { catalogue, MemoryJournal, TOKEN } from '../../contract/vault/fixtures.ts';

const home = process.argv[2]!;
const vault = await openVault({
  dbFile: join(home, 'state', 'vault.db'),
  catalogue,
  audit: new MemoryJournal(),
  masterKey: (recorded) =>
    loadMasterKey({
      keyFile: join(home, 'config', 'master.key'),
      recordedSource: recorded?.source,
      create: true,
      environment: {},
    }),
});
for (;;) {
  const { name } = await vault.secrets.create({ name: `good-${vault.secrets.list().length}`, providerId: 'good', fields: TOKEN });
  await vault.grants.create({ credential: name, system: true });
  writeSync(1, `${vault.secrets.list().length}\n`);
}
