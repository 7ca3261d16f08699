/** Debian's PostgreSQL on a Unix socket in a private directory, as an unprivileged user; null where it is not installed. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const BIN = '/usr/lib/postgresql/15/bin';

export const isPostgresHere = existsSync(join(BIN, 'postgres'));

export interface PostgresServer {
  readonly directory: string;
  /** Makes an empty database and answers its URL. */
  readonly createDatabase: (name: string) => string;
  /** As `pg_dump` and `pg_restore` do it, into a file of this server's directory. */
  readonly dump: (name: string) => void;
  readonly restore: (name: string) => void;
  readonly start: () => void;
  readonly stop: (mode?: 'fast' | 'immediate') => void;
  /** The same for who has to go on meanwhile: an end without a shutdown, and a start that waits until it answers. */
  readonly crash: () => Promise<void>;
  readonly begin: () => Promise<void>;
  /** A streaming standby of this one, started. */
  readonly makeStandby: () => PostgresServer;
  readonly promote: () => void;
  /** Another program of PostgreSQL, as the same user; answers what it printed. */
  readonly tool: (program: string, args: readonly string[]) => string;
  /** Stops it and removes its files. */
  readonly remove: () => void;
}

/** PostgreSQL refuses to run as root. */
function ids(): { readonly uid: number; readonly gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const numbers = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' })));
  return { uid: numbers[0]!, gid: numbers[1]! };
}

export interface PostgresOptions {
  /** Further settings, as on the command line of the server: `ssl=on`. */
  readonly settings?: readonly string[];
  /** Runs between initdb and the first start. */
  readonly prepare?: (place: {
    readonly data: string;
    readonly who: { readonly uid: number; readonly gid: number } | null;
  }) => void;
  /** Files of a cluster that is there already, in place of a new one: `data` under this directory. */
  readonly directory?: string;
}

export function startPostgres(options: PostgresOptions = {}): PostgresServer {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'alterd-pg-'));
  const who = ids();
  chmodSync(directory, 0o700);
  if ('uid' in who) chownSync(directory, who.uid as number, who.gid as number);
  const data = join(directory, 'data');
  const spawning = { ...who, cwd: directory, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' } };
  const run = (program: string, args: string[]): void =>
    void execFileSync(join(BIN, program), args, { ...spawning, stdio: 'ignore' });
  if (options.directory === undefined)
    run('initdb', ['-D', data, '-U', 'alterd', '--auth=trust', '-E', 'UTF8', '--no-sync', '--no-instructions']);
  options.prepare?.({ data, who: 'uid' in who ? (who as { uid: number; gid: number }) : null });
  const further = (options.settings ?? []).map((setting) => ` -c ${setting}`).join('');
  const settings = `-k ${directory} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=60${further}`;
  const starting = ['-D', data, '-w', '-l', join(directory, 'log'), '-o', settings, 'start'];
  const start = (): void => run('pg_ctl', starting);
  const stop = (mode: 'fast' | 'immediate' = 'fast'): void => run('pg_ctl', ['-D', data, '-w', '-m', mode, 'stop']);
  start();
  return {
    directory,
    createDatabase: (name) => {
      run('createdb', ['-h', directory, '-U', 'alterd', name]);
      return `postgresql://alterd@localhost/${name}?host=${encodeURIComponent(directory)}`;
    },
    dump: (name) =>
      run('pg_dump', ['-h', directory, '-U', 'alterd', '--format=custom', '-f', join(directory, `${name}.dump`), name]),
    restore: (name) => {
      const how = ['--clean', '--if-exists', '--single-transaction'];
      run('pg_restore', ['-h', directory, '-U', 'alterd', ...how, '-d', name, join(directory, `${name}.dump`)]);
    },
    start,
    stop,
    crash: async () =>
      void (await promisify(execFile)(join(BIN, 'pg_ctl'), ['-D', data, '-w', '-m', 'immediate', 'stop'], spawning)),
    // Its output is a file: a server that holds a pipe of ours open would never let this end.
    begin: () =>
      new Promise((resolve, reject) => {
        const child = spawn(join(BIN, 'pg_ctl'), starting, { ...spawning, stdio: 'ignore' });
        child.once('error', reject);
        child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`pg_ctl start ended with ${code}`))));
      }),
    makeStandby: () => {
      const place = mkdtempSync(join(tmpdir(), 'alterd-pg-'));
      if ('uid' in who) chownSync(place, who.uid as number, who.gid as number);
      run('pg_basebackup', ['-h', directory, '-U', 'alterd', '-D', join(place, 'data'), '-R', '-c', 'fast', '--no-sync']);
      return startPostgres({ ...options, directory: place });
    },
    promote: () => run('pg_ctl', ['-D', data, '-w', 'promote']),
    tool: (program, args) => execFileSync(join(BIN, program), args, { ...spawning, encoding: 'utf8' }),
    remove: () => {
      try {
        stop('immediate');
      } catch {
        // Stopped by the test.
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
