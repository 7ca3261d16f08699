/**
 * How commands that move a vault reach it: through the daemon when one answers, else by opening the installation's files themselves.
 * Both ways answer alike. It must never open the files of a daemon that runs.
 */
import { apiPath } from '../api/client.ts';
import { type ExportView, exportView, type ImportView, importView, ownProviderFiles } from '../api/transfer.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import type { ImportOptions } from '../vault/transfer/transfer.ts';
import type { Cli } from './cli.ts';
import { loadSettings } from './settings.ts';

export interface Transfer {
  export(passphrase: Secret): Promise<ExportView>;
  retire(made: ExportView): Promise<number>;
  import(file: Buffer, passphrase: Secret, options: ImportOptions): Promise<ImportView>;
}

/** Runs `use` with the vault of this installation. @throws AlterError of what failed */
export async function withTransfer<T>(cli: Cli, mayCreate: boolean, use: (transfer: Transfer) => Promise<T>): Promise<T> {
  if (await isAnswered(cli)) return use(online(cli));
  const paths = cli.paths();
  // Loaded only here: it is the daemon's half of the program.
  const { withOfflineVault } = await import('../offline-vault.ts');
  const loaded = loadSettings(cli, paths, {});
  cli.output.note('No daemon answers; working on its files.');
  return withOfflineVault(
    { paths, loaded, mayCreate, warn: (message) => cli.output.warn(message) },
    ({ vault: { transfer } }, providers) => {
      return use({
        export: async (passphrase) =>
          exportView(await transfer.exportAll({ passphrase, providerFiles: ownProviderFiles(providers) })),
        retire: ({ id, accounts }) => transfer.retire(id, accounts),
        import: async (file, passphrase, options) => importView(await transfer.importAll(file, passphrase, options)),
      });
    },
  );
}

function online(cli: Cli): Transfer {
  const client = cli.client();
  return {
    export: async (passphrase) =>
      (await client.send<{ export: ExportView }>(apiPath('export'), { passphrase: passphrase.reveal() })).export,
    retire: async ({ id, accounts }) => {
      const body = { export_id: id, accounts: accounts.map(({ id: account, version }) => ({ id: account, version })) };
      return (await client.send<{ retired: number }>(apiPath('export', 'retire'), body)).retired;
    },
    import: async (file, passphrase, { dryRun, allowReferences }) => {
      const text = { passphrase: passphrase.reveal(), file: file.toString('base64') };
      const body = { ...text, dry_run: dryRun, allow_references: allowReferences };
      return (await client.send<{ import: ImportView }>(apiPath('import'), body)).import;
    },
  };
}

/** Whether a daemon is there; one that refuses this user is. */
export async function isAnswered(cli: Cli): Promise<boolean> {
  try {
    await cli.client().read(apiPath('status'));
    return true;
  } catch (error) {
    if (!(error instanceof AlterError) || error.code !== 'vault_unavailable') throw error;
    const { code } = (error.cause ?? {}) as { code?: string };
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return false;
    throw error;
  }
}
