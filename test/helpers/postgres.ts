/** Debian's PostgreSQL on a Unix socket in a private directory, as an unprivileged user; null where it is not installed. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BIN = '/usr/lib/postgresql/15/bin';

export const isPostgresHere = existsSync(join(BIN, 'postgres'));

export interface PostgresServer {
  readonly directory: string;
  /** Makes an empty database and answers its URL. */
  readonly createDatabase: (name: string) => string;
  readonly start: () => void;
  readonly stop: (mode?: 'fast' | 'immediate') => void;
  /** Stops it and removes its files. */
  readonly remove: () => void;
}

/** PostgreSQL refuses to run as root. */
function ids(): { readonly uid: number; readonly gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const numbers = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' })));
  return { uid: numbers[0]!, gid: numbers[1]! };
}

export function startPostgres(): PostgresServer {
  const directory = mkdtempSync(join(tmpdir(), 'alterd-pg-'));
  const who = ids();
  chmodSync(directory, 0o700);
  if ('uid' in who) chownSync(directory, who.uid as number, who.gid as number);
  const data = join(directory, 'data');
  const run = (program: string, args: string[]): void =>
    void execFileSync(join(BIN, program), args, {
      ...who,
      cwd: directory,
      stdio: 'ignore',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    });
  run('initdb', ['-D', data, '-U', 'alterd', '--auth=trust', '-E', 'UTF8', '--no-sync', '--no-instructions']);
  const settings = `-k ${directory} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=60`;
  const start = (): void => run('pg_ctl', ['-D', data, '-w', '-l', join(directory, 'log'), '-o', settings, 'start']);
  const stop = (mode: 'fast' | 'immediate' = 'fast'): void => run('pg_ctl', ['-D', data, '-w', '-m', mode, 'stop']);
  start();
  return {
    directory,
    createDatabase: (name) => {
      run('createdb', ['-h', directory, '-U', 'alterd', name]);
      return `postgresql://alterd@localhost/${name}?host=${encodeURIComponent(directory)}`;
    },
    start,
    stop,
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
