/**
 * What `alterd vault doctor` has to know of a vault beside what its server says: the database as it is, and whether the master key that
 * lies there now is the one of the database. Part of the composition root; it opens nothing that is sealed and changes nothing.
 */
import type { Paths } from './config/paths.ts';
import type { Config } from './config/schema.ts';
import { findMasterKey } from './crypto/next-key.ts';
import { centralUrl } from './daemon/central-database.ts';
import { AlterError, toAlterError } from './domain/errors.ts';
import { masterKeyPlace } from './installation.ts';
import type { StoreGlance } from './store/glance.ts';
import { type RecordedKey, recordedKeyOf } from './vault/vault-keys.ts';

export interface KeyExamination {
  readonly source: RecordedKey['source'];
  /** null: right; undefined: can't be looked at from here. */
  readonly fault: AlterError | null | undefined;
}

export interface VaultExamination {
  readonly database: StoreGlance | AlterError;
  /** null where the database could not be asked, or was never used. */
  readonly key: KeyExamination | null;
}

/** Never throws for what is wrong with either. */
export async function examineVault(paths: Paths, config: Config, env: NodeJS.ProcessEnv): Promise<VaultExamination> {
  const database = await glance(paths, config).catch(toAlterError);
  if (database instanceof AlterError) return { database, key: null };
  const recorded = recordedKeyOf(database);
  return { database, key: recorded === undefined ? null : await examineKey(paths, config, recorded, env) };
}

async function glance(paths: Paths, config: Config): Promise<StoreGlance> {
  const url = centralUrl(config);
  if (url !== undefined) return (await import('./store/postgres/glance.ts')).glanceAtServer(url);
  return (await import('./store/sqlite/glance.ts')).glanceAtFile(paths.vaultDb);
}

async function examineKey(paths: Paths, config: Config, recorded: RecordedKey, env: NodeJS.ProcessEnv): Promise<KeyExamination> {
  const { source } = recorded;
  // Only the unit itself is shown its credentials.
  if (source === 'systemd' && env.CREDENTIALS_DIRECTORY === undefined) return { source, fault: undefined };
  try {
    const options = { ...masterKeyPlace(paths, config), recordedSource: source, create: false, environment: env };
    // In its own place, or in that of the next one, while a rotation is not complete.
    if ((await findMasterKey(options, recorded.checkValue)) !== undefined) return { source, fault: null };
    const reason = 'the master key is not the one that this database was made with';
    return { source, fault: new AlterError('vault_unavailable', { reason }) };
  } catch (thrown) {
    return { source, fault: toAlterError(thrown) };
  }
}
