/**
 * The database of a central vault's replicas, as the configuration names it. The password comes from a file or from where PostgreSQL's own
 * clients look (PGPASSFILE, ~/.pgpass); it is never part of the configuration and shown nowhere.
 */
import { readOwnFile } from '../ca/own-file.ts';
import type { Config } from '../config/schema.ts';
import { withPassword } from '../domain/database-url.ts';
import { AlterError } from '../domain/errors.ts';
import type { Store } from '../store/store.ts';

/** How it is opened; undefined for the file in the state directory. */
export function centralStore(config: Pick<Config, 'vaultServer'>): (() => Promise<Store>) | undefined {
  if (config.vaultServer.database === null) return undefined;
  return async () => {
    const url = centralUrl(config) as string;
    // Loaded only here: nothing else needs the driver.
    const { openPostgresStore } = await import('../store/postgres/postgres-store.ts');
    return openPostgresStore({ url });
  };
}

/** With its password; undefined for the file in the state directory. @throws AlterError invalid_input, forbidden */
export function centralUrl({ vaultServer }: Pick<Config, 'vaultServer'>): string | undefined {
  const { database, databasePasswordFile } = vaultServer;
  if (database === null) return undefined;
  return databasePasswordFile === null ? database : withPassword(database, passwordOf(databasePasswordFile));
}

/** @throws AlterError invalid_input, forbidden when others can read it */
function passwordOf(file: string): string {
  const text =
    readOwnFile(file, { secret: true })
      ?.toString('utf8')
      .replace(/\r?\n$/, '') ?? '';
  if (text !== '') return text;
  throw new AlterError('invalid_input', { problems: [`vault_server.database_password_file: ${file} is missing or empty`] });
}
