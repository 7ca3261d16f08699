import { join } from 'node:path';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { describeCoordination } from './coordination-contract.ts';
import { describeStore, type StoreFactory } from './store-contract.ts';

const directory = temporaryDirectory();

const factory: StoreFactory = {
  create: async () => {
    const dbFile = join(directory(), 'vault.db');
    return { store: await openSqliteStore({ dbFile }), reopen: () => openSqliteStore({ dbFile }) };
  },
};

describeStore('SQLite', factory);
describeCoordination('SQLite', factory);
