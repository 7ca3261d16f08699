/**
 * `alterd export`: everything of a vault in one sealed file. The file is new, whole and durable, or not there; with --retire nothing is
 * given up here before it is.
 */
import { accessSync, constants, existsSync, unlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { ExportView } from '../../api/transfer.ts';
import { createPrivateFile } from '../../crypto/private-file.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Secret } from '../../domain/secret.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { type PassphraseFlags, readPassphrase, withPassphrase } from '../passphrase.ts';
import { type Transfer, withTransfer } from '../transfer.ts';

interface ExportFlags extends PassphraseFlags {
  readonly out: string;
  readonly retire?: boolean;
}

/** An account may be renewed between its export and its end here; the next export has the newer token. */
const MOST_TRIES = 3;

export function defineExport(command: Command, cli: Cli): void {
  command
    .requiredOption('--out <file>', 'the file to write; it must not be there yet')
    .option('--retire', 'mark the connected accounts here as moved, so that nothing here renews their tokens again');
  withPassphrase(command);
  example(command, 'alterd export --out vault.sealed --retire').action(async (flags: ExportFlags) => {
    const file = resolve(flags.out);
    requireFree(file);
    if (flags.retire === true) await cli.confirm('Give up the connected accounts here, once the file is written?');
    const passphrase = await readPassphrase(flags, true);
    const { made, retired } = await withTransfer(cli, false, (transfer) =>
      writeExport(transfer, file, passphrase, flags.retire === true),
    ).catch((error: unknown) => {
      if (existsSync(file)) cli.output.warn(`keep ${file}: the accounts may have been given up here, and their tokens are in it`);
      throw error;
    });
    report(cli, made, file, retired);
  });
}

/** Writes the file, and with `isRetiring` gives the accounts up then. @throws AlterError; after any but a conflict the file stays */
export async function writeExport(
  transfer: Transfer,
  file: string,
  passphrase: Secret,
  isRetiring: boolean,
): Promise<{ readonly made: ExportView; readonly retired: number | null }> {
  for (let tries = 1; ; tries++) {
    const made = await transfer.export(passphrase);
    writeNew(file, Buffer.from(made.file, 'base64'));
    if (!isRetiring) return { made, retired: null };
    try {
      // Only now: a token that is in no file would be lost.
      return { made, retired: await transfer.retire(made) };
    } catch (error) {
      // SECURITY: whatever else went wrong, they may have been given up: then the newest tokens are in this file alone.
      if (!(error instanceof AlterError) || error.code !== 'conflict') throw error;
      unlinkSync(file);
      if (tries === MOST_TRIES) throw error;
    }
  }
}

/** Before anything is asked: a passphrase that was typed for nothing annoys. */
function requireFree(file: string): void {
  if (existsSync(file))
    throw new AlterError('conflict', { reason: `${file} is there already`, hint: 'Name another file; nothing is overwritten.' });
  try {
    accessSync(dirname(file), constants.W_OK);
  } catch (cause) {
    throw unwritable(file, cause);
  }
}

function unwritable(file: string, cause: unknown): AlterError {
  const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
  return new AlterError('invalid_input', { problems: [`${file} can't be written (${code})`] }, { cause });
}

function writeNew(file: string, bytes: Buffer): void {
  let isNew: boolean;
  try {
    isNew = createPrivateFile(file, bytes);
  } catch (cause) {
    throw unwritable(file, (cause as Error).cause ?? cause);
  }
  if (!isNew) requireFree(file);
}

function report(cli: Cli, made: ExportView, file: string, retired: number | null): void {
  const { counts, accounts } = made;
  const { file: _sealed, ...rest } = made;
  cli.output.record({ ...rest, file, retired }, [
    ['file', file],
    ['export', made.id],
    ['agents', `${counts.agents}, with ${counts.keys} keys`],
    ['secrets', counts.credentials],
    ['grants', counts.grants],
    ['users', `${counts.users}, with ${counts.delegations} delegations`],
    ['policies', counts.policies + made.policy_files.length],
    ['permits', counts.permits],
    ['OAuth clients', counts.clients],
    ['accounts given up here', retired],
  ]);
  if (retired === null && accounts.length > 0)
    cli.output.warn(
      `${accounts.length} connected accounts (${accounts.map(({ name }) => name).join(', ')}) are in two places now. Where a refresh token is ` +
        'good once, whoever renews first locks the other out: import the file soon and stop this vault, or export with --retire.',
    );
  for (const { name } of accounts.filter((account) => account.refresh_begun))
    cli.output.warn(`a refresh of ${name} was cut off before; its token may be used up already`);
  if (made.provider_files.length > 0)
    cli.output.hint(
      `Provider files do not travel; add them first: ${made.provider_files.join(', ')} (\`alterd provider add FILE\`).`,
    );
  cli.output.hint(`At the other vault: \`alterd import ${file} --dry-run\`. Sessions, hosts and the audit stay here.`);
}
