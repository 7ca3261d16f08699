/**
 * The sign-in that this user of the machine has: a handle in a file of mode 0600. It names a person to the daemon and opens nothing by
 * itself. Must never be printed or put into an argument.
 */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createPrivateFile, ensurePrivateDirectory, readPrivateFile } from '../crypto/private-file.ts';
import { AlterError } from '../domain/errors.ts';
import type { Cli } from './cli.ts';

const fileOf = (cli: Cli): string => join(cli.paths().stateDir, 'user-session');

export function keepUserSession(cli: Cli, handle: string): void {
  const file = fileOf(cli);
  ensurePrivateDirectory(dirname(file));
  rmSync(file, { force: true });
  createPrivateFile(file, Buffer.from(`${handle}\n`));
}

/** Undefined when nobody signed in. @throws AlterError vault_unavailable when others could have written it */
export const findUserSession = (cli: Cli): string | undefined => readPrivateFile(fileOf(cli))?.toString('utf8').trim();

/** @throws AlterError re_auth_required, vault_unavailable */
export function readUserSession(cli: Cli): string {
  const handle = findUserSession(cli);
  if (handle !== undefined) return handle;
  throw new AlterError('re_auth_required', { reason: 'nobody is signed in here' }, { hint: 'Sign in: `alterd login`.' });
}

export const dropUserSession = (cli: Cli): void => rmSync(fileOf(cli), { force: true });
