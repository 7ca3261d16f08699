/**
 * From a database URL to a pool of connections. What the URL leaves out is strict: TLS is verified but for a local database, each host by its name.
 * It must never show a password, nor go on without TLS because a server has none.
 */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { parseDatabaseUrl } from '../../domain/database-url.ts';
import { AlterError } from '../../domain/errors.ts';
import { HostPools, type Pool, requireWriter } from './host-pools.ts';

export const STATEMENT_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 5_000;
const LEAST_CONNECT_MS = 1_000;
const POOL_SIZE = 8;
const INT8 = 20;

const refuse = (reason: string): AlterError =>
  new AlterError(
    'vault_unavailable',
    { reason },
    { hint: 'Write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=/path/ca.pem.' },
  );

const isLocal = (host: string): boolean => host.startsWith('/') || ['localhost', '127.0.0.1', '::1'].includes(host);

function tlsOf(url: URL, host: string): false | pg.PoolConfig['ssl'] {
  const mode = url.searchParams.get('sslmode') ?? (isLocal(host) ? 'disable' : 'verify-full');
  if (mode === 'disable') return false;
  // SECURITY: "prefer" and "allow" go on in clear when somebody in between says that there is no TLS.
  if (!['require', 'verify-ca', 'verify-full'].includes(mode)) throw refuse('sslmode of the database URL is not known here');
  const read = (name: string): { readonly file?: string } => {
    const path = url.searchParams.get(name);
    if (path === null) return {};
    try {
      return { file: readFileSync(path, 'utf8') };
    } catch (cause) {
      throw new AlterError('vault_unavailable', { reason: `${name} of the database URL can't be read` }, { cause });
    }
  };
  const [ca, cert, key] = [read('sslrootcert').file, read('sslcert').file, read('sslkey').file];
  return { rejectUnauthorized: true, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

export interface Connection {
  readonly pool: Pool;
  /** Hosts and ports, to be named in errors. */
  readonly place: string;
}

/** Connects with the first query. @throws AlterError vault_unavailable */
export function connectionOf(text: string): Connection {
  const parsed = parseDatabaseUrl(text);
  // Without the text: it may hold a password.
  if (parsed === null) throw refuse('the database URL is none of PostgreSQL, or names no host');
  const { url, hosts } = parsed;
  const isWriter = asksForWriter(url, hosts.length);
  const pools = hosts.map(({ host, port }) => (): pg.Pool => {
    const pool = new pg.Pool({
      ...common(url),
      ...{ host, port, ssl: tlsOf(url, host) },
      // All of them together take no longer than one.
      connectionTimeoutMillis: Math.max(LEAST_CONNECT_MS, CONNECT_TIMEOUT_MS / hosts.length),
      ...(isWriter ? { verify: requireWriter } : {}),
    });
    // A connection that breaks while nobody uses it is replaced by the pool; without a listener the process would end.
    pool.on('error', () => {});
    return pool;
  });
  const [first, ...others] = pools as [() => pg.Pool, ...(() => pg.Pool)[]];
  return {
    pool: others.length === 0 ? first() : new HostPools([first, ...others]),
    place: hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host}:${port}`)).join(','),
  };
}

/**
 * Whether each new connection has to prove that it can be written by.
 * SECURITY: of several hosts always: a standby may not have heard yet of what was revoked.
 */
function asksForWriter(url: URL, hosts: number): boolean {
  const asked = url.searchParams.get('target_session_attrs');
  if (asked === 'read-write' || asked === 'primary' || (asked === null && hosts > 1)) return true;
  if (asked === null || (asked === 'any' && hosts === 1)) return false;
  throw new AlterError(
    'vault_unavailable',
    { reason: 'target_session_attrs of the database URL would let a vault read from a standby, or is not known here' },
    { hint: 'Leave it out, or write target_session_attrs=read-write: of several hosts, the one that can be written to is used.' },
  );
}

const common = (url: URL): pg.PoolConfig => ({
  database: decodeURIComponent(url.pathname.slice(1)) || 'alterd',
  user: decodeURIComponent(url.username) || 'alterd',
  ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  max: POOL_SIZE,
  statement_timeout: STATEMENT_TIMEOUT_MS,
  // The server's own time-out can't help when the way to it is gone.
  query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
  idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
  keepAlive: true,
  application_name: 'alterd',
  types: {
    // Milliseconds and counters are far below 2^53.
    getTypeParser: ((oid: number, format?: 'text') =>
      oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
  },
});
