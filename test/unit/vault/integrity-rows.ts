/** One row of each table. */

import type { StoreChange, StoreSnapshot } from '../../../src/store/rows.ts';
import { changeSnapshot, EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import {
  agentRow,
  credentialRow,
  dataKeyRow,
  delegationRow,
  grantRow,
  hostRow,
  keyRow,
  permitRow,
  policyRow,
  policySetRow,
  userRow,
} from '../../contract/store/store-rows.ts';

export const CHANGES: readonly StoreChange[] = [
  { put: 'agent', row: agentRow('a1') },
  { put: 'key', row: keyRow('k1', 'a1') },
  { put: 'credential', row: credentialRow('c1') },
  { put: 'user', row: userRow('u1') },
  { put: 'grant', row: grantRow('g1', 'a1', 'c1') },
  { put: 'delegation', row: delegationRow('d1', 'u1', 'a1', 'g1') },
  { put: 'data_key', row: dataKeyRow('dk1') },
  { put: 'policy', row: policyRow('p1') },
  { put: 'policy_set', row: policySetRow('1') },
  { put: 'permit', row: permitRow('pm1', 'a1', 'g1') },
  { put: 'host', row: hostRow('h1') },
  {
    put: 'provider_client',
    row: {
      ...{ id: 'pc1', providerId: 'good', clientId: 'client', version: 1, dataKeyId: 'dk1' },
      ...{ sealed: Buffer.from('sealed'), createdAt: 1 },
    },
  },
  { put: 'meta', name: 'key_source', value: 'file' },
];

export const SNAPSHOT: StoreSnapshot = changeSnapshot(EMPTY_SNAPSHOT, CHANGES);
