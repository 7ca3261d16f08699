/**
 * What a central vault is to its hosts: an id, and the authority that its certificates come from. Made once, kept in the database, the
 * authority sealed by a data key: so every replica is the same vault. It must never make a second one.
 */
import { randomUUID } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';
import type { StoreChange, StoreSnapshot } from '../store/rows.ts';
import type { DataKeys } from './data-keys.ts';
import { inTurn } from './in-turn.ts';
import type { VaultState } from './state.ts';

const ID_NAME = 'vault_id';
const AUTHORITY_NAME = 'fleet_authority';

export interface FleetIdentity {
  readonly vaultId: string;
  /** The authority as its maker wrote it, with its private key. The caller zeroes it. */
  readonly authority: Buffer;
}

/** Whether hosts borrow from it, or did. */
export const isCentral = ({ meta }: Pick<StoreSnapshot, 'meta'>): boolean => meta.has(ID_NAME) || meta.has(AUTHORITY_NAME);

/** The identity; made by `mint` when there is none. @throws AlterError audit_unavailable, vault_unavailable */
export function openFleetIdentity(state: VaultState, dataKeys: DataKeys, mint: () => Buffer): Promise<FleetIdentity> {
  // Another replica that starts in the same moment may be first: then its identity is read.
  return inTurn(state, async () => {
    const known = readIdentity(state, dataKeys);
    if (known !== null) return known;
    const authority = mint();
    const vaultId = randomUUID();
    try {
      const sealed = dataKeys.sealDocument(AUTHORITY_NAME, authority);
      await state.commit({ action: 'fleet.authority_created', details: { vault_id: vaultId } }, [
        { put: 'meta', name: ID_NAME, value: vaultId },
        { put: 'meta', name: AUTHORITY_NAME, value: sealed },
      ]);
    } finally {
      authority.fill(0);
    }
    return readIdentity(state, dataKeys) as FleetIdentity;
  });
}

function readIdentity(state: VaultState, dataKeys: DataKeys): FleetIdentity | null {
  const { meta } = state.rows;
  const vaultId = meta.get(ID_NAME);
  const sealed = meta.get(AUTHORITY_NAME);
  if (vaultId === undefined && sealed === undefined) return null;
  if (vaultId === undefined || sealed === undefined)
    throw new AlterError('vault_unavailable', { reason: 'its database has a part of the identity of a central vault only' });
  return { vaultId, authority: dataKeys.openDocument(AUTHORITY_NAME, sealed) };
}

/** The authority sealed again, where there is one. @throws AlterError vault_unavailable */
export function resealedIdentity(state: VaultState, dataKeys: DataKeys, dataKeyId: string): StoreChange[] {
  const sealed = state.rows.meta.get(AUTHORITY_NAME);
  if (sealed === undefined) return [];
  const plain = dataKeys.openDocument(AUTHORITY_NAME, sealed);
  try {
    return [{ put: 'meta', name: AUTHORITY_NAME, value: dataKeys.sealDocument(AUTHORITY_NAME, plain, dataKeyId) }];
  } finally {
    plain.fill(0);
  }
}
