/**
 * The keys of one vault: what the database records of its master key, the check that the right one was given, and rotation.
 * A wrong key, another source or rows that the MAC does not cover stop the start; there is no fallback and no second try.
 */
import type { KeyObject } from 'node:crypto';
import type { KeySource, MasterKey } from '../crypto/master-key.ts';
import { AlterError } from '../domain/errors.ts';
import { StaleEpoch } from '../store/conflicts.ts';
import type { StoreChange, StoreSnapshot } from '../store/rows.ts';
import { changeSnapshot } from '../store/snapshot.ts';
import type { Store } from '../store/store.ts';
import { DataKeys, mintDataKey, rewrapDataKeys } from './data-keys.ts';
import { resealedIdentity } from './fleet-identity.ts';
import { isMacRight, MAC_NAME, macOf } from './integrity.ts';
import type { VaultState } from './state.ts';

const SOURCE_NAME = 'key_source';
const CHECK_NAME = 'key_check';

/** What the database says of its master key. */
export interface RecordedKey {
  readonly source: KeySource;
  readonly checkValue: string;
}

/** Undefined for a database that was never unlocked. */
export function recordedKeyOf(snapshot: Pick<StoreSnapshot, 'meta'>): RecordedKey | undefined {
  const source = snapshot.meta.get(SOURCE_NAME);
  const checkValue = snapshot.meta.get(CHECK_NAME);
  return source === undefined || checkValue === undefined ? undefined : { source: source as KeySource, checkValue };
}

const macKeyOf = (masterKey: MasterKey): KeyObject => masterKey.derive('authority mac');

const recordOf = (masterKey: MasterKey): StoreChange[] => [
  { put: 'meta', name: SOURCE_NAME, value: masterKey.source },
  { put: 'meta', name: CHECK_NAME, value: masterKey.checkValue },
];

export interface UnlockedVault {
  readonly snapshot: StoreSnapshot;
  readonly macKey: KeyObject;
  readonly keys: VaultKeys;
}

export class VaultKeys {
  readonly dataKeys: DataKeys;
  #masterKey: MasterKey;

  private constructor(masterKey: MasterKey, dataKeys: DataKeys) {
    this.#masterKey = masterKey;
    this.dataKeys = dataKeys;
  }

  /** Checks the key against the database, or records it in a new one. @throws AlterError vault_unavailable */
  static async unlock(store: Store, found: StoreSnapshot, masterKey: MasterKey, now: number): Promise<UnlockedVault> {
    const macKey = macKeyOf(masterKey);
    const snapshot = isUnused(found) ? await initialise(store, found, masterKey, now) : found;
    requireRightKey(recordedKeyOf(snapshot), masterKey);
    if (!isMacRight(macKey, snapshot)) {
      throw new AlterError(
        'vault_unavailable',
        { reason: 'its database was changed by something other than alterd' },
        { hint: 'Restore the database from a backup; what was changed can not be trusted.' },
      );
    }
    return { snapshot, macKey, keys: new VaultKeys(masterKey, new DataKeys(masterKey, snapshot.dataKeys)) };
  }

  get source(): KeySource {
    return this.#masterKey.source;
  }

  /** Learns the data keys that another replica made. @throws AlterError vault_unavailable */
  follow(rows: StoreSnapshot): void {
    for (const row of rows.dataKeys) this.dataKeys.add(this.#masterKey, row);
    const newest = rows.dataKeys.at(-1);
    if (newest !== undefined) this.dataKeys.use(newest.id);
  }

  rotateMasterKey(state: VaultState, to: MasterKey): Promise<void> {
    return state.exclusive(async () => {
      const rewrapped = rewrapDataKeys(state.rows.dataKeys, this.#masterKey, to);
      const changes: StoreChange[] = [...rewrapped.map((row) => ({ put: 'data_key', row }) as const), ...recordOf(to)];
      const event = { action: 'vault.master_key_rotated', details: { from: this.#masterKey.source, to: to.source } } as const;
      await state.commit(event, changes, {
        macKey: macKeyOf(to),
        beforePublishing: () => {
          this.#masterKey = to;
        },
      });
    });
  }

  rotateDataKey(state: VaultState): Promise<void> {
    return state.exclusive(async () => {
      const row = mintDataKey(this.#masterKey, state.now());
      // Known before it is stored: a request may read a row that is sealed with it as soon as the transaction ends.
      this.dataKeys.add(this.#masterKey, row);
      const sealed = await state.store.listSealed();
      const changes: StoreChange[] = [
        { put: 'data_key', row },
        ...sealed.map(
          (old) =>
            ({ put: 'sealed', row: this.dataKeys.seal(old.credentialId, old.version, this.dataKeys.open(old), row.id) }) as const,
        ),
        ...state.rows.providerClients.map(
          (old) =>
            ({
              put: 'provider_client',
              row: { ...old, ...this.dataKeys.sealClient(old.id, old.version, this.dataKeys.openClient(old), row.id) },
            }) as const,
        ),
        ...resealedIdentity(state, this.dataKeys, row.id),
        ...state.rows.dataKeys.map((old) => ({ remove: 'data_key', id: old.id }) as const),
      ];
      await state.commit({ action: 'vault.data_key_rotated', details: { secrets: sealed.length } }, changes, {
        beforePublishing: () => this.dataKeys.use(row.id),
      });
    });
  }
}

// SECURITY: only a database without any row may get a new key and MAC; or somebody could plant rows, take the record away and have them vouched for.
const isUnused = ({ epoch, meta, ...tables }: StoreSnapshot): boolean =>
  epoch === 0 && meta.size === 0 && Object.values(tables).every((rows) => rows.length === 0);

async function initialise(store: Store, empty: StoreSnapshot, masterKey: MasterKey, now: number): Promise<StoreSnapshot> {
  const changes: StoreChange[] = [{ put: 'data_key', row: mintDataKey(masterKey, now) }, ...recordOf(masterKey)];
  const mac = macOf(macKeyOf(masterKey), changeSnapshot(empty, changes));
  try {
    await store.apply([...changes, { put: 'meta', name: MAC_NAME, value: mac }], empty.epoch);
  } catch (thrown) {
    // Another replica began it just now: its record says whether the key is the same.
    if (!(thrown instanceof StaleEpoch)) throw thrown;
  }
  return store.load();
}

function requireRightKey(recorded: RecordedKey | undefined, masterKey: MasterKey): void {
  if (recorded?.source === masterKey.source && recorded.checkValue === masterKey.checkValue) return;
  const reason =
    recorded === undefined
      ? 'the database does not say which key it belongs to'
      : recorded.source === masterKey.source
        ? 'the master key is not the one that this database was made with'
        : `its key is kept in the source "${recorded.source}", but "${masterKey.source}" was given`;
  throw new AlterError(
    'vault_unavailable',
    { reason },
    {
      hint: 'Bring back the master key that belongs to this database, or restore both from the same backup. Nothing was changed.',
    },
  );
}
