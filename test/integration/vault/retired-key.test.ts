/** A master key that was replaced stays out, also where it is still on hand: who has it and can write to the database forges nothing. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { VaultKeys } from '../../../src/vault/vault-keys.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const keyOf = (fill: number): MasterKey => new MasterKey('file', Buffer.alloc(32, fill));

test('rows that name it are refused by whoever knows that it was replaced; a key that is really next is taken', async () => {
  const [before, inForce, next] = [keyOf(1), keyOf(2), keyOf(3)];
  const store = await openSqliteStore({ dbFile: join(directory(), 'vault.db') });
  const onHand = [before, next];
  const watch = {
    find: async (check: string) => onHand.find((key) => key.checkValue === check),
    hint: 'bring it',
    inForce: () => {},
  };
  const { keys, snapshot } = await VaultKeys.unlock(store, await store.load(), inForce, { now: 1, watch });
  const rowsWith = (meta: Record<string, string>) => ({
    ...snapshot,
    meta: new Map([...snapshot.meta, ...Object.entries(meta)]),
  });
  keys.follow(rowsWith({ keys_retired: before.checkValue }));
  // As a forger would: rows under the key of before, which say nothing of what was replaced.
  await expect(keys.macKeyFor(rowsWith({ key_check: before.checkValue }))).rejects.toMatchObject({
    code: 'vault_unavailable',
    message: expect.stringContaining('a master key that was replaced'),
  });
  expect((await keys.macKeyFor(rowsWith({ key_check: next.checkValue }))).equals(next.derive('authority mac'))).toBe(true);
  await store.close();
});
