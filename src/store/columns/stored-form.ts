/**
 * A change as every reader of the store will see it. The vault's MAC is made over this form, and the log of changes is read through it: so
 * whoever follows the log and whoever loads all rows have the same ones, also where an older and a newer alterd share a database. It must
 * never let a member through that no column keeps.
 */
import type { StoreChange } from '../rows.ts';
import { agentRow, keyRow } from './agents.ts';
import { credentialRow, dataKeyRow, providerClientRow, sealedRow } from './credentials.ts';
import { grantRow } from './grants.ts';
import { hostRow } from './hosts.ts';
import { delegationRow, userRow } from './people.ts';
import { permitRow, policyRow, policySetRow } from './policies.ts';
import { columnsOf, REMOVALS } from './statements.ts';

export function storedForm(change: StoreChange): StoreChange {
  if ('remove' in change) return { ...change };
  switch (change.put) {
    case 'meta':
      return { put: 'meta', name: change.name, value: change.value };
    case 'agent':
      return { put: 'agent', row: agentRow(columnsOf(change)) };
    case 'key':
      return { put: 'key', row: keyRow(columnsOf(change)) };
    case 'credential':
      return { put: 'credential', row: credentialRow(columnsOf(change)) };
    case 'sealed':
      return { put: 'sealed', row: sealedRow(columnsOf(change)) };
    case 'grant':
      return { put: 'grant', row: grantRow(columnsOf(change)) };
    case 'user':
      return { put: 'user', row: userRow(columnsOf(change)) };
    case 'delegation':
      return { put: 'delegation', row: delegationRow(columnsOf(change)) };
    case 'data_key':
      return { put: 'data_key', row: dataKeyRow(columnsOf(change)) };
    case 'policy':
      return { put: 'policy', row: policyRow(columnsOf(change)) };
    case 'policy_set':
      return { put: 'policy_set', row: policySetRow(columnsOf(change)) };
    case 'provider_client':
      return { put: 'provider_client', row: providerClientRow(columnsOf(change)) };
    case 'permit':
      return { put: 'permit', row: permitRow(columnsOf(change)) };
    case 'host':
      return { put: 'host', row: hostRow(columnsOf(change)) };
  }
}

const KINDS: ReadonlySet<string> = new Set([...REMOVALS, 'sealed']);

/**
 * A change that another alterd wrote into the log; null where only the tables tell what it means here: it is of a kind that is not known,
 * or an older alterd left out a column that is filled with its default.
 */
export function readChange(written: unknown): StoreChange | null {
  const change = written as StoreChange;
  if ('remove' in change) return KINDS.has(change.remove) ? { remove: change.remove, id: change.id } : null;
  const read = storedForm(change) as StoreChange | undefined;
  if (read === undefined || !('row' in read) || !('row' in change)) return read ?? null;
  const given = change.row;
  return Object.keys(read.row).every((name) => Object.hasOwn(given, name)) ? read : null;
}
