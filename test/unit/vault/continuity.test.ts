/** What vault and journal know of each other, and when that stops a start. */
import { expect, it } from 'vitest';
import { type ContinuityFacts, continuityFault } from '../../../src/vault/continuity.ts';

const facts = (more: Partial<ContinuityFacts>): ContinuityFacts => ({
  vaultEpoch: 7,
  vaultJournal: 'a',
  journal: 'a',
  journalEpoch: 7,
  ...more,
});

it.each<[string, Partial<ContinuityFacts>, RegExp]>([
  ['a vault one change behind', { vaultEpoch: 6 }, /change 6 of 7/],
  ['a vault behind, of before it noted its journal', { vaultEpoch: 1, vaultJournal: null }, /change 1 of 7/],
  ['another journal', { journal: 'b' }, /another one/],
  ['another journal that knows nothing', { journal: 'b', journalEpoch: null }, /another one/],
  ['a journal without a head', { journalEpoch: null }, /head/],
])('%s is a fault', (_what, more, words) => {
  expect(continuityFault(facts(more))).toMatch(words);
});

it.each<[string, Partial<ContinuityFacts>]>([
  ['both at the same change', {}],
  ['a vault that is ahead: the daemon was killed in between', { vaultEpoch: 8 }],
  ['a fresh installation', { vaultEpoch: 1, vaultJournal: null, journalEpoch: null }],
  ['a journal that was made for a vault of before', { vaultJournal: null, journalEpoch: null }],
])('%s is none', (_what, more) => {
  expect(continuityFault(facts(more))).toBeNull();
});
