/**
 * The keys of one vault: what the database records of its master key, the check that the right one was given, and rotation.
 * A wrong key, another source or rows that the MAC does not cover stop the start; there is no fallback and no second try.
 */
import type { KeyObject } from 'node:crypto';
import type { KeySource, MasterKey } from '../crypto/master-key.ts';
import { AlterError } from '../domain/errors.ts';
import { StaleEpoch } from '../store/conflicts.ts';
import type { DataKeyRow, StoreChange, StoreSnapshot } from '../store/rows.ts';
import { changeSnapshot } from '../store/snapshot.ts';
import type { Store } from '../store/store.ts';
import { DataKeys, mintDataKey, rewrapDataKeys } from './data-keys.ts';
import { resealedIdentity } from './fleet-identity.ts';
import { inTurn } from './in-turn.ts';
import { isMacRight, MAC_NAME, macOf, RowDigests } from './integrity.ts';
import { notVouchedFor } from './rows-refused.ts';
import type { VaultState } from './state.ts';

const SOURCE_NAME = 'key_source';
const CHECK_NAME = 'key_check';
/** When the key was put in force by a rotation, as epoch milliseconds. */
const SINCE_NAME = 'key_since';
/** Check values of the keys that were in force before, newest first. */
const RETIRED_NAME = 'keys_retired';
/** Nobody restores an older one by mistake. */
const RETIRED_KEPT = 32;
/** A replica that has not followed for five seconds answers nothing. */
const LEARNT_MS = 6_000;

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

const retiredIn = ({ meta }: StoreSnapshot): string[] => meta.get(RETIRED_NAME)?.split(' ') ?? [];

/** When the key in force was put in force; null for the first one. */
function sinceIn({ meta }: StoreSnapshot): number | null {
  const since = meta.get(SINCE_NAME);
  return since === undefined ? null : Number(since);
}

/** Where another key is looked for once another replica has put one in force, and who is told of a key in force. */
export interface KeyWatch {
  /** A key on hand with this check value. */
  find(checkValue: string): Promise<MasterKey | undefined>;
  /** For the operator, when there is none. */
  readonly hint: string;
  /** Told as soon as what is stored opens with this key; `byOther`: another replica has seen to that. Must not throw. */
  inForce(key: MasterKey, byOther: boolean): void;
}

export interface UnlockedVault {
  readonly snapshot: StoreSnapshot;
  readonly macKey: KeyObject;
  readonly digests: RowDigests;
  readonly keys: VaultKeys;
}

export class VaultKeys {
  readonly dataKeys: DataKeys;
  #masterKey: MasterKey;

  readonly #watch: KeyWatch | undefined;
  /** Found, and not yet in force here. */
  #found: MasterKey | undefined;
  /** Check values of keys that were in force, by rows that were checked. */
  #retired: ReadonlySet<string>;

  private constructor(masterKey: MasterKey, dataKeys: DataKeys, watch: KeyWatch | undefined, rows: StoreSnapshot) {
    this.#masterKey = masterKey;
    this.#retired = new Set(retiredIn(rows));
    this.dataKeys = dataKeys;
    this.#watch = watch;
  }

  /** Checks the key against the database, or records it in a new one. @throws AlterError vault_unavailable */
  static async unlock(
    store: Store,
    found: StoreSnapshot,
    masterKey: MasterKey,
    { now, watch }: { readonly now: number; readonly watch?: KeyWatch | undefined },
  ): Promise<UnlockedVault> {
    const macKey = macKeyOf(masterKey);
    const snapshot = isUnused(found) ? await initialise(store, found, masterKey, now) : found;
    requireRightKey(snapshot, masterKey, watch);
    const digests = new RowDigests();
    if (!isMacRight(macKey, snapshot, digests)) throw await notVouchedFor(store);
    const keys = new VaultKeys(masterKey, new DataKeys(masterKey, snapshot.dataKeys), watch, snapshot);
    return { snapshot, macKey, digests, keys };
  }

  get source(): KeySource {
    return this.#masterKey.source;
  }

  /** Whether a key was in force before the one that is. */
  isRetired(rows: StoreSnapshot, key: MasterKey): boolean {
    return retiredIn(rows).includes(key.checkValue);
  }

  /** When the key in force was put in force; null for the first one of the vault. */
  since(rows: StoreSnapshot): number | null {
    return sinceIn(rows);
  }

  /**
   * The key of the MAC over rows that another replica wrote: of the key in force, or of the one that they say was put in force.
   * @throws AlterError vault_unavailable when that one is not on hand
   */
  async macKeyFor(rows: StoreSnapshot): Promise<KeyObject> {
    const recorded = recordedKeyOf(rows);
    // SECURITY: by the rows that were checked already: who has the key of before and the database would put it in force again.
    if (recorded !== undefined && this.#retired.has(recorded.checkValue))
      throw new AlterError(
        'vault_unavailable',
        { reason: 'its database names a master key that was replaced' },
        { hint: 'Restore the database from a backup; what was changed can not be trusted.' },
      );
    const known = [this.#masterKey, this.#found].find((key) => key?.checkValue === recorded?.checkValue);
    if (known !== undefined) return macKeyOf(known);
    this.#found = recorded && (await this.#watch?.find(recorded.checkValue));
    if (this.#found !== undefined) return macKeyOf(this.#found);
    throw new AlterError(
      'vault_unavailable',
      { reason: `its master key was replaced by another replica${whenOf(rows)}, and the new one is not here` },
      { hint: this.#watch?.hint ?? KEY_HINT },
    );
  }

  /** Learns the keys that another replica made or put in force. @throws AlterError vault_unavailable */
  follow(rows: StoreSnapshot): void {
    this.#retired = new Set(retiredIn(rows));
    const found = this.#found?.checkValue === recordedKeyOf(rows)?.checkValue ? this.#found : undefined;
    const masterKey = found ?? this.#masterKey;
    for (const row of rows.dataKeys) this.dataKeys.add(masterKey, row);
    const newest = rows.dataKeys.at(-1);
    if (newest !== undefined) this.dataKeys.use(newest.id);
    if (found !== undefined) this.#adopt(found, true);
  }

  #adopt(key: MasterKey, byOther: boolean): void {
    this.#masterKey = key;
    this.#found = undefined;
    this.#watch?.inForce(key, byOther);
  }

  /** @throws AlterError conflict for a key that was in force before; audit_unavailable, vault_unavailable */
  rotateMasterKey(state: VaultState, to: MasterKey): Promise<void> {
    return inTurn(state, () => this.#rotateOnce(state, to));
  }

  async #rotateOnce(state: VaultState, to: MasterKey): Promise<void> {
    const from = this.#masterKey;
    const { rows } = state;
    // Another replica was quicker.
    if (from.checkValue === to.checkValue) return;
    const retired = retiredIn(rows);
    // SECURITY: what was sealed by it, and whoever has it, must stay shut out.
    if (retired.includes(to.checkValue))
      throw new AlterError('conflict', { reason: 'That key was in force before', hint: 'Remove it, and let a new one be made.' });
    const changes: StoreChange[] = [
      ...rewrapDataKeys(rows.dataKeys, from, to).map((row) => ({ put: 'data_key', row }) as const),
      ...recordOf(to),
      { put: 'meta', name: SINCE_NAME, value: String(state.now()) },
      { put: 'meta', name: RETIRED_NAME, value: [from.checkValue, ...retired].slice(0, RETIRED_KEPT).join(' ') },
    ];
    const event = { action: 'vault.master_key_rotated', details: { from: from.source, to: to.source } } as const;
    await state.commit(event, changes, {
      macKey: macKeyOf(to),
      beforePublishing: () => {
        this.#retired = new Set([from.checkValue, ...retired]);
        this.#adopt(to, false);
      },
    });
  }

  /**
   * Seals everything anew under a new data key. Where there are other replicas the key is stored before, and used once each of them that
   * still serves has learnt it: a request there would else find a secret that it can't open.
   */
  async rotateDataKey(state: VaultState, learntMs = LEARNT_MS): Promise<void> {
    let stored: DataKeyRow | undefined;
    if (state.isShared) {
      stored = await inTurn(state, () => this.#storeDataKey(state));
      await new Promise((resolve) => setTimeout(resolve, learntMs));
    }
    await inTurn(state, () => this.#resealOnce(state, stored));
  }

  async #storeDataKey(state: VaultState): Promise<DataKeyRow> {
    const row = mintDataKey(this.#masterKey, state.now());
    this.dataKeys.add(this.#masterKey, row);
    await state.commit({ action: 'vault.data_key_created' }, [{ put: 'data_key', row }]);
    return row;
  }

  async #resealOnce(state: VaultState, stored: DataKeyRow | undefined): Promise<void> {
    if (stored !== undefined && !state.rows.dataKeys.some(({ id }) => id === stored.id))
      throw new AlterError('conflict', {
        reason: 'Another replica sealed everything anew meanwhile',
        hint: 'There is nothing to do.',
      });
    const row = stored ?? mintDataKey(this.#masterKey, state.now());
    // Known before it is stored: a request may read a row that is sealed with it as soon as the transaction ends.
    if (stored === undefined) this.dataKeys.add(this.#masterKey, row);
    const sealed = await state.store.listSealed();
    const changes: StoreChange[] = [
      ...(stored === undefined ? [{ put: 'data_key', row } as const] : []),
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
      ...state.rows.dataKeys.flatMap(({ id }) => (id === row.id ? [] : [{ remove: 'data_key', id } as const])),
    ];
    await state.commit({ action: 'vault.data_key_rotated', details: { secrets: sealed.length } }, changes, {
      beforePublishing: () => this.dataKeys.use(row.id),
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

function requireRightKey(snapshot: StoreSnapshot, masterKey: MasterKey, watch: KeyWatch | undefined): void {
  const recorded = recordedKeyOf(snapshot);
  if (recorded?.source === masterKey.source && recorded.checkValue === masterKey.checkValue) return;
  const isRetired = retiredIn(snapshot).includes(masterKey.checkValue);
  const reason =
    recorded === undefined
      ? 'the database does not say which key it belongs to'
      : recorded.source !== masterKey.source
        ? `its key is kept in the source "${recorded.source}", but "${masterKey.source}" was given`
        : isRetired
          ? `its master key was replaced${whenOf(snapshot)}, and this is one of before`
          : 'the master key is not the one that this database was made with';
  // The MAC over what is said here can't be checked without the key; nothing is done by it but to say it.
  const hint = isRetired ? `${watch?.hint ?? KEY_HINT} Nothing was changed.` : KEY_HINT;
  throw new AlterError('vault_unavailable', { reason }, { hint });
}

function whenOf(rows: StoreSnapshot): string {
  const since = sinceIn(rows);
  return since === null || !Number.isSafeInteger(since) ? '' : ` at ${new Date(since).toISOString()}`;
}

const KEY_HINT =
  'Bring back the master key that belongs to this database, or restore both from the same backup. Nothing was changed.';
