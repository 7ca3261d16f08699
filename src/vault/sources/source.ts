/**
 * Where the value of a field comes from when it is not stored: a reference, as text and read. The text is shown to operators, so it must
 * never hold a secret itself.
 *
 *   file:/run/secrets/token                      read again when it changes
 *   env:NAME                                     a variable of the daemon
 *   command:["/usr/bin/pass","show","token"]     what it prints; no shell
 *   vault:https://HOST:8200/MOUNT/PATH?token_file=/run/vault-token#FIELD     KV version 2 of HashiCorp Vault or OpenBao;
 *                                                also mount=a/b and namespace=n
 */
import type { FieldSources } from '../../domain/credential.ts';

export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'command'; readonly argv: readonly string[] }
  | {
      readonly kind: 'vault';
      /** `https://host:port` */
      readonly origin: string;
      readonly mount: string;
      readonly path: string;
      readonly field: string;
      readonly tokenFile: string;
      readonly namespace: string | null;
    };

export const DEFAULT_LIFETIME_MS = 300_000;
export const MIN_LIFETIME_MS = 1_000;
export const MAX_LIFETIME_MS = 86_400_000;

const SEGMENTS = /^[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_. -]+)*$/;

/** The reference, or what is wrong with it, for people. */
export function parseSource(text: string): SecretSource | string {
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  switch (text.slice(0, colon)) {
    case 'file':
      return isAbsolute(rest) ? { kind: 'file', path: rest } : 'file: needs an absolute path, such as file:/run/secrets/token';
    case 'env':
      return /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(rest) ? { kind: 'env', name: rest } : 'env: needs the name of a variable';
    case 'command':
      return parseCommand(rest);
    case 'vault':
      return parseVault(rest);
    default:
      return 'must begin with file:, env:, command: or vault:';
  }
}

const isAbsolute = (path: string): boolean => /^\/[^\0\r\n]{1,4095}$/.test(path);

/** SECURITY: a list, never a line: a shell would read more into it than is written there. */
function parseCommand(text: string): SecretSource | string {
  const problem = 'command: needs a list with an absolute path first, such as command:["/usr/bin/pass","show","token"]';
  let argv: unknown;
  try {
    argv = JSON.parse(text);
  } catch {
    return problem;
  }
  if (!Array.isArray(argv) || argv.length === 0 || argv.length > 64) return problem;
  if (!argv.every((part): part is string => typeof part === 'string' && !part.includes('\0'))) return problem;
  return isAbsolute(argv[0] as string) ? { kind: 'command', argv } : problem;
}

function parseVault(text: string): SecretSource | string {
  const problem = 'vault: needs https://HOST:PORT/MOUNT/PATH?token_file=/PATH#FIELD';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return problem;
  }
  const known = ['token_file', 'mount', 'namespace'];
  if ([...url.searchParams.keys()].some((name) => !known.includes(name))) return `${problem}; also mount= and namespace=`;
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') return problem;
  const tokenFile = url.searchParams.get('token_file') ?? '';
  const namespace = url.searchParams.get('namespace');
  const whole = decodeURIComponent(url.pathname.slice(1));
  const mount = url.searchParams.get('mount') ?? whole.split('/')[0] ?? '';
  const path = whole.startsWith(`${mount}/`) ? whole.slice(mount.length + 1) : '';
  const field = decodeURIComponent(url.hash.slice(1));
  const isRight = SEGMENTS.test(mount) && SEGMENTS.test(path) && /^[\w.-]{1,128}$/.test(field) && isAbsolute(tokenFile);
  if (!isRight || whole.split('/').some((segment) => /^\.*$/.test(segment))) return problem;
  if (namespace !== null && !SEGMENTS.test(namespace)) return problem;
  return { kind: 'vault', origin: url.origin, mount, path, field, tokenFile, namespace };
}

/** What is wrong with the sources of a credential, for people. */
export function sourceProblems(sources: FieldSources, fieldNames: readonly string[]): string[] {
  const { lifetimeMs } = sources;
  const problems = Object.entries(sources.fields).flatMap(([name, text]) => {
    const source = parseSource(text);
    if (!fieldNames.includes(name)) return [`sources.${name}: is not a field of it; the fields are ${fieldNames.join(', ')}`];
    return typeof source === 'string' ? [`sources.${name}: ${source}`] : [];
  });
  if (Object.keys(sources.fields).length === 0) problems.push('sources: name at least one field');
  if (!Number.isInteger(lifetimeMs) || lifetimeMs < MIN_LIFETIME_MS || lifetimeMs > MAX_LIFETIME_MS)
    problems.push(`sources: the lifetime must be ${MIN_LIFETIME_MS / 1000} seconds to ${MAX_LIFETIME_MS / 3_600_000} hours`);
  return problems;
}
