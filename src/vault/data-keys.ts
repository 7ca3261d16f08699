/**
 * Data keys: they seal the material of credentials and are themselves sealed by the master key, so that a new master key
 * wraps one small row again instead of every secret.
 */
import { type KeyObject, randomUUID } from 'node:crypto';
import type { MasterKey } from '../crypto/master-key.ts';
import { mintKey, openBytes, type SealContext, sealBytes } from '../crypto/seal.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import type { DataKeyRow, ProviderClientRow, SealedRow } from '../store/rows.ts';

/** A new data key as a row; use it through a DataKeys that was loaded with it. */
export function mintDataKey(masterKey: MasterKey, now: number): DataKeyRow {
  const id = randomUUID();
  return { id, wrapped: masterKey.wrap(id, mintKey()), createdAt: now };
}

/** The same data keys, wrapped by another master key. @throws AlterError vault_unavailable */
export const rewrapDataKeys = (rows: readonly DataKeyRow[], from: MasterKey, to: MasterKey): DataKeyRow[] =>
  rows.map((row) => ({ ...row, wrapped: to.wrap(row.id, from.unwrap(row.id, row.wrapped)) }));

const clientContextOf = (id: string, version: number): SealContext => ({ table: 'provider_clients', rowId: id, version });

const documentContextOf = (name: string): SealContext => ({ table: 'documents', rowId: name, version: 1 });

const contextOf = (credentialId: string, version: number): SealContext => ({
  table: 'credentials',
  rowId: credentialId,
  version,
});

export class DataKeys {
  readonly #keys = new Map<string, KeyObject>();
  #current: string;

  /** @throws AlterError vault_unavailable */
  constructor(masterKey: MasterKey, rows: readonly DataKeyRow[]) {
    for (const row of rows) this.add(masterKey, row);
    const newest = rows.at(-1);
    if (newest === undefined) throw new AlterError('vault_unavailable', { reason: 'the database has no data key' });
    this.#current = newest.id;
  }

  /** Makes a key known for opening. @throws AlterError vault_unavailable */
  add(masterKey: MasterKey, row: DataKeyRow): void {
    this.#keys.set(row.id, masterKey.unwrap(row.id, row.wrapped));
  }

  /** Seals with this key from now on. */
  use(id: string): void {
    this.#current = id;
  }

  seal(credentialId: string, version: number, fields: ReadonlyMap<string, Secret>, dataKeyId = this.#current): SealedRow {
    const plaintext = Buffer.from(JSON.stringify([...fields].map(([name, secret]) => [name, secret.reveal()])), 'utf8');
    try {
      return {
        credentialId,
        version,
        dataKeyId,
        sealed: sealBytes(this.#key(dataKeyId), plaintext, contextOf(credentialId, version)),
      };
    } finally {
      plaintext.fill(0);
    }
  }

  /** @throws AlterError vault_unavailable */
  open(row: SealedRow): ReadonlyMap<string, Secret> {
    const plaintext = openBytes(this.#key(row.dataKeyId), row.sealed, contextOf(row.credentialId, row.version));
    try {
      const entries = JSON.parse(plaintext.toString('utf8')) as [string, string][];
      return new Map(entries.map(([name, value]) => [name, new Secret(value)]));
    } finally {
      plaintext.fill(0);
    }
  }

  /** The secret of a provider's client; '' for a client without one. */
  sealClient(
    id: string,
    version: number,
    secret: Secret,
    dataKeyId = this.#current,
  ): Pick<ProviderClientRow, 'dataKeyId' | 'sealed'> {
    const plaintext = Buffer.from(secret.reveal(), 'utf8');
    try {
      return { dataKeyId, sealed: sealBytes(this.#key(dataKeyId), plaintext, clientContextOf(id, version)) };
    } finally {
      plaintext.fill(0);
    }
  }

  /** @throws AlterError vault_unavailable */
  openClient(row: ProviderClientRow): Secret {
    const plaintext = openBytes(this.#key(row.dataKeyId), row.sealed, clientContextOf(row.id, row.version));
    try {
      return new Secret(plaintext.toString('utf8'));
    } finally {
      plaintext.fill(0);
    }
  }

  /** A document of the vault's own, as text that names its data key. */
  sealDocument(name: string, plaintext: Uint8Array, dataKeyId = this.#current): string {
    const sealed = sealBytes(this.#key(dataKeyId), plaintext, documentContextOf(name));
    return `${dataKeyId}.${sealed.toString('base64url')}`;
  }

  /** The caller zeroes the answer. @throws AlterError vault_unavailable */
  openDocument(name: string, text: string): Buffer {
    const [dataKeyId = '', sealed = ''] = text.split('.');
    return openBytes(this.#key(dataKeyId), Buffer.from(sealed, 'base64url'), documentContextOf(name));
  }

  #key(id: string): KeyObject {
    const key = this.#keys.get(id);
    if (key === undefined) throw new AlterError('vault_unavailable', { reason: 'a secret is sealed by a data key that is gone' });
    return key;
  }
}
