/**
 * The master key: the one key that wraps the data keys, and where it is kept.
 * Once a database has recorded its source there is no other source and no new key: a missing or different key is an error,
 * never a fallback, or secrets would silently become unreadable. Key bytes never leave this room.
 */
import { createHmac, hkdfSync, type KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { readCredentialFile, systemdCredentialPath } from './credential-source.ts';
import { readOrCreateKeyFile } from './key-file-source.ts';
import { type KeyringOptions, readOrCreateKeyringKey } from './keyring-source.ts';
import { isWithin } from './private-file.ts';
import { keyFromBytes, openBytes, type SealContext, sealBytes, unwrapKey, wrapKey } from './seal.ts';

export type KeySource = 'systemd' | 'file' | 'keyring';

export class MasterKey {
  readonly source: KeySource;
  /** Tells two keys apart without saying anything of either; recorded in the database. */
  readonly checkValue: string;
  readonly #key: KeyObject;

  /** @param bytes 32 bytes; zeroed. */
  constructor(source: KeySource, bytes: Buffer) {
    this.source = source;
    this.#key = keyFromBytes(bytes);
    this.checkValue = createHmac('sha256', this.#key)
      .update('alterd master key check value 1')
      .digest()
      .subarray(0, 16)
      .toString('base64url');
  }

  /** Seals bytes under a key derived for sealing. */
  seal(plaintext: Uint8Array, context: SealContext): Buffer {
    return sealBytes(this.derive('seal'), plaintext, context);
  }

  /** @throws AlterError vault_unavailable */
  open(sealed: Uint8Array, context: SealContext): Buffer {
    return openBytes(this.derive('seal'), sealed, context);
  }

  wrap(id: string, key: KeyObject): Buffer {
    return wrapKey(this.derive('wrap'), id, key);
  }

  /** @throws AlterError vault_unavailable */
  unwrap(id: string, wrapped: Uint8Array): KeyObject {
    return unwrapKey(this.derive('wrap'), id, wrapped);
  }

  /** A key for one purpose, so that no key is ever used for two algorithms. */
  derive(purpose: string): KeyObject {
    return keyFromBytes(Buffer.from(hkdfSync('sha256', this.#key, Buffer.alloc(0), `alterd ${purpose} 1`, 32)));
  }
}

export interface MasterKeyOptions {
  /** What the configuration says; absent for the default. */
  readonly source?: KeySource | undefined;
  /** Where the key file is, or will be. */
  readonly keyFile: string;
  /** The source that the database has recorded; absent on a fresh install. */
  readonly recordedSource?: KeySource | undefined;
  /** A fresh install: a key may be made. Ignored once a source is recorded. */
  readonly create: boolean;
  /** Keeps a new key file out of the directory of the database. */
  readonly dbFile?: string | undefined;
  readonly keyring?: KeyringOptions | undefined;
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/**
 * Loads the master key from the source that is recorded, configured or default, in this order; on a fresh install it may be created.
 * @throws AlterError vault_unavailable
 */
export async function loadMasterKey(options: MasterKeyOptions): Promise<MasterKey> {
  const environment = options.environment ?? process.env;
  const { recordedSource } = options;
  if (recordedSource !== undefined && options.source !== undefined && options.source !== recordedSource) {
    throw new AlterError(
      'vault_unavailable',
      { reason: `its key is kept in ${named(recordedSource)}, but the configuration says ${named(options.source)}` },
      { hint: `Set keys.source back to "${recordedSource}" (or "auto") in the configuration.` },
    );
  }
  const source = recordedSource ?? options.source ?? (systemdCredentialPath(environment) === undefined ? 'file' : 'systemd');
  const mayCreate = options.create && recordedSource === undefined;
  if (source === 'systemd') return new MasterKey(source, readCredentialFile(environment));
  if (source === 'keyring') return new MasterKey(source, await readOrCreateKeyringKey(mayCreate, options.keyring));
  // SECURITY: a key beside the database travels with every copy and backup of it, and then it protects nothing.
  if (options.dbFile !== undefined && isWithin(dirname(options.dbFile), options.keyFile)) {
    throw new AlterError(
      'vault_unavailable',
      { reason: 'the key file lies in the directory of the database' },
      { hint: 'Name a key file in another directory (the configuration directory is the default).' },
    );
  }
  return new MasterKey(source, readOrCreateKeyFile(options.keyFile, mayCreate));
}

const named = (source: KeySource): string =>
  ({ systemd: 'a systemd credential', file: 'a key file', keyring: 'the OS keyring' })[source];
