/**
 * `alterd secret add PROVIDER --refresh-token-stdin`: for who looks for it among the secrets. The token is taken over as
 * `alterd connect PROVIDER --import-refresh-token` does it, and so makes a grant at once. SECURITY: never from the command line.
 */
import type { Command } from 'commander';
import type { ProviderView } from '../api/provider-view.ts';
import { AlterError } from '../domain/errors.ts';
import type { Cli } from './cli.ts';
import { connectAccount } from './commands/connect.ts';

export interface RefreshTokenFlags {
  readonly refreshTokenStdin?: boolean;
  readonly agent?: string;
  readonly system?: boolean;
  readonly label?: string;
  readonly field?: readonly string[];
  readonly allowPrivate?: boolean;
}

const FIELD = 'refresh_token';
const USED: ReadonlySet<string> = new Set(['refreshTokenStdin', 'agent', 'system', 'label', 'field', 'allowPrivate']);

export function withRefreshTokenOptions(command: Command): Command {
  return command
    .option('--refresh-token-stdin', 'take over a refresh token of an OAuth provider, with a grant for --agent or --system')
    .option('--agent <name>', 'with --refresh-token-stdin: who may use the account')
    .option('--system', 'with --refresh-token-stdin: every active agent may use it')
    .option('--label <text>', 'with --refresh-token-stdin: label of the grant')
    .option('--allow-private', 'with --refresh-token-stdin: the provider may have private or loopback addresses');
}

/** @throws AlterError invalid_input when options of the grant stand without a refresh token */
export function takesRefreshToken(provider: ProviderView | null, flags: RefreshTokenFlags): boolean {
  const isField = provider?.fields.some((field) => field.name === FIELD) === true;
  if (flags.refreshTokenStdin === true && provider !== null && provider.oauth !== null && !isField) return true;
  const { agent, system, label, allowPrivate } = flags;
  const stray = Object.entries({ agent, system, label, 'allow-private': allowPrivate }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} goes with the refresh token of an OAuth provider`],
  );
  if (stray.length > 0)
    throw new AlterError(
      'invalid_input',
      { problems: stray },
      { hint: 'Store the secret first, then say who may use it: `alterd grant create SECRET --agent NAME`.' },
    );
  return false;
}

/** A provider of the operator's own may have a field of that name. */
export const withRefreshTokenField = (flags: RefreshTokenFlags, rest: readonly string[]): readonly string[] =>
  flags.refreshTokenStdin === true ? ['--refresh-token-stdin', ...rest] : rest;

export async function importRefreshToken(
  cli: Cli,
  provider: string,
  flags: RefreshTokenFlags,
  rest: readonly string[],
): Promise<void> {
  const unused = Object.keys(flags).filter((name) => !USED.has(name));
  // SECURITY: what is left over may be a secret: it is counted, never shown.
  const problems = [
    ...unused.map(
      (name) => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is not used with --refresh-token-stdin`,
    ),
    ...(rest.length > 0 ? ['too many arguments; a secret is never taken from the command line'] : []),
  ];
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  const { agent, system, label, field, allowPrivate } = flags;
  await connectAccount(cli, provider, {
    importRefreshToken: true,
    browser: false,
    ...(agent === undefined ? {} : { agent }),
    ...(system === undefined ? {} : { system }),
    ...(label === undefined ? {} : { label }),
    ...(field === undefined ? {} : { field }),
    ...(allowPrivate === undefined ? {} : { allowPrivate }),
  });
}
