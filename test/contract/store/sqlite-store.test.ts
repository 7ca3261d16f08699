import { join } from 'node:path';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { describeStore } from './store-contract.ts';

const directory = temporaryDirectory();

describeStore('SQLite', {
  create: async () => {
    const dbFile = join(directory(), 'vault.db');
    return { store: await openSqliteStore({ dbFile }), reopen: () => openSqliteStore({ dbFile }) };
  },
});
