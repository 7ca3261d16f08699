/**
 * The vault of an installation whose daemon does not run, for commands that work on all of it. Part of the composition root: the same
 * vault with the same journal, held against each other as at a start, and closed again whatever comes of it. It serves nobody.
 */
import { existsSync } from 'node:fs';
import { builtinProvidersDir } from './config/catalogue.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import { openProviderLibrary, type ProviderLibrary } from './config/provider-library.ts';
import { centralStore } from './daemon/central-database.ts';
import { type EmbeddedSource, openEmbeddedSource } from './daemon/embedded-source.ts';
import { AlterError } from './domain/errors.ts';
import type { HttpsCall } from './domain/https-call.ts';
import { prepareFiles } from './installation.ts';
import type { DaemonLog } from './log.ts';
import { RequestMeter } from './metrics/request-meter.ts';

export interface OfflineOptions {
  readonly paths: Paths;
  readonly loaded: LoadedConfig;
  /** Told what is wrong with files. */
  readonly warn: (message: string) => void;
  /** Whether an installation is made where there is none. */
  readonly mayCreate: boolean;
  /** After a restore that was checked: the vault may be older than its journal. */
  readonly acceptRestore?: boolean;
}

const noNetwork: HttpsCall = async ({ url }) => {
  throw new AlterError('upstream_unreachable', { host: new URL(url).hostname, reason: 'the daemon does not run' });
};

/** @throws AlterError conflict on a host of a central vault, not_found when there is no installation, vault_unavailable, audit_unavailable */
export async function withOfflineVault<T>(
  options: OfflineOptions,
  use: (opened: EmbeddedSource, providers: ProviderLibrary) => Promise<T>,
): Promise<T> {
  const { paths, loaded, warn, mayCreate } = options;
  if (loaded.config.vault.url !== null)
    throw new AlterError('conflict', {
      reason: `This host borrows what it may use from the vault at ${loaded.config.vault.url}`,
      hint: 'Run this on the machine of the vault.',
    });
  const openStore = centralStore(loaded.config);
  if (!mayCreate && openStore === undefined && !existsSync(paths.vaultDb))
    throw new AlterError(
      'not_found',
      { what: 'vault', name: paths.vaultDb },
      { hint: 'Name its directory with --home, or make one there: `alterd init`.' },
    );
  await prepareFiles(paths);
  const catalogue = openProviderLibrary({ builtinDir: builtinProvidersDir(), userDir: paths.providersDir });
  const log: DaemonLog = {
    ...{ debug: () => {}, info: () => {}, setLevel: () => {} },
    warn: (_fields, message) => warn(message),
    error: (_fields, message) => warn(message),
  };
  const opened = await openEmbeddedSource({
    ...{ paths, loaded, log, catalogue, openStore },
    ...{ https: noNetwork, meter: new RequestMeter(), acceptRestore: options.acceptRestore === true },
  });
  try {
    return await use(opened, catalogue);
  } finally {
    await opened.vault.close();
    await opened.journal.close();
  }
}
