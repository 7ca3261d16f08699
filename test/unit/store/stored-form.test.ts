import { expect, test } from 'vitest';
import { wholeLog, writeChanges } from '../../../src/store/change-log.ts';
import { REMOVALS } from '../../../src/store/columns/statements.ts';
import { readChange, storedForm } from '../../../src/store/columns/stored-form.ts';
import type { StoreChange } from '../../../src/store/rows.ts';
import { CHANGES } from '../vault/integrity-rows.ts';

const grant = CHANGES.find((change) => 'put' in change && change.put === 'grant') as { put: 'grant'; row: object };

test('a row of every kind is what it was, and what no column keeps is gone', () => {
  const kinds = new Set(CHANGES.flatMap((change) => ('put' in change ? [change.put] : [])));
  expect([...kinds]).toEqual(expect.arrayContaining([...REMOVALS]));
  expect(CHANGES.map(storedForm)).toEqual(CHANGES);
  const wider = { ...grant, row: { ...grant.row, colour: 'grey', label: undefined } } as unknown as StoreChange;
  expect(storedForm(wider)).not.toHaveProperty('row.colour');
});

test.each<[string, unknown]>([
  ['a kind of rows that is not known', { put: 'widget', row: { id: 'w' } }],
  ['the end of one', { remove: 'widget', id: 'w' }],
  ['a row without a member that a column is for', { put: 'grant', row: { ...grant.row, noCache: undefined } }],
  ['a row without anything', { put: 'key', row: {} }],
])('%s is read from the tables, not from the log', (_what, change) => {
  const changes = JSON.stringify([change]);
  expect(wholeLog([{ epoch: 2, changes }], 1, 2)).toBeNull();
});

test('what is no list of changes is read from the tables', () => {
  for (const changes of ['', '{', 'null', '{}', '[null]', '["a"]', '[{}]'])
    expect(wholeLog([{ epoch: 2, changes }], 1, 2), changes).toBeNull();
});

test('what is written into the log comes out of it', () => {
  const logged = CHANGES.filter((change) => !('put' in change && ['data_key', 'provider_client', 'sealed'].includes(change.put)));
  const changes = writeChanges(logged) ?? '';
  expect(wholeLog([{ epoch: 2, changes }], 1, 2)).toEqual([{ epoch: 2, changes: logged }]);
  expect(logged.map(readChange)).toEqual(logged);
});
