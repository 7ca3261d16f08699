/**
 * From a database URL to a pool of connections. What the URL leaves out is strict: TLS is verified but for a local database.
 * It must never show a password, nor go on without TLS because a server has none.
 */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { AlterError } from '../../domain/errors.ts';

export const STATEMENT_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 5_000;
const POOL_SIZE = 8;
const INT8 = 20;

const refuse = (reason: string): AlterError =>
  new AlterError(
    'vault_unavailable',
    { reason },
    { hint: 'Write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=/path/ca.pem.' },
  );

const isLocal = (host: string): boolean => host.startsWith('/') || ['localhost', '127.0.0.1', '::1', '[::1]'].includes(host);

function parse(text: string): URL {
  try {
    const url = new URL(text);
    if (['postgres:', 'postgresql:'].includes(url.protocol)) return url;
  } catch {
    // Told below, without the text: it may hold a password.
  }
  throw refuse('the database URL is none of PostgreSQL');
}

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
  readonly pool: pg.Pool;
  /** Host and port, to be named in errors. */
  readonly place: string;
}

/** Connects with the first query. @throws AlterError vault_unavailable */
export function connectionOf(text: string): Connection {
  const url = parse(text);
  const host = url.searchParams.get('host') ?? decodeURIComponent(url.hostname);
  if (host === '') throw refuse('the database URL names no host');
  const port = Number(url.port || url.searchParams.get('port') || 5432);
  const pool = new pg.Pool({
    host: host.replace(/^\[|\]$/g, ''),
    port,
    database: decodeURIComponent(url.pathname.slice(1)) || 'alterd',
    user: decodeURIComponent(url.username) || 'alterd',
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ssl: tlsOf(url, host),
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
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
  // A connection that breaks while nobody uses it is replaced by the pool; without a listener the process would end.
  pool.on('error', () => {});
  return { pool, place: host.startsWith('/') ? host : `${host}:${port}` };
}
