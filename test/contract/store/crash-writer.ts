/** Writes to a store until it is killed; prints each epoch that it was promised. */
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { agentRow, keyRow } from './store-rows.ts';

const store = await openSqliteStore({ dbFile: process.argv[2]! });
let { epoch } = await store.load();
for (;;) {
  const id = `w${epoch}`;
  epoch = await store.apply(
    [
      { put: 'agent', row: agentRow(id) },
      { put: 'key', row: keyRow(`${id}-1`, id) },
      { put: 'key', row: keyRow(`${id}-2`, id) },
    ],
    epoch,
  );
  writeSync(1, `${epoch}\n`);
}
