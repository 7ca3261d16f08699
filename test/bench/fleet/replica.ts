/**
 * A replica of a central vault as people run it, `bin/alterd vault start`, over SQLite or PostgreSQL; and a daemon with a vault of its
 * own. The database outlives its processes, so that it can be filled between two of them, and a later start is one with an existing vault.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ApiClient, openClient } from '../../../src/api/client.ts';
import { type Paths, resolvePaths } from '../../../src/config/paths.ts';
import { readOrCreateKeyFile } from '../../../src/crypto/key-file-source.ts';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { waitMs } from '../load/window.ts';
import { VAULT_NAME } from '../names.ts';
import { LOAD_CPU, moveTree, PROXY_CPU, threadMicros, treeOf } from '../process-tree.ts';
import { freePort, launch } from '../targets/target.ts';

/** A start with very many grants is measured, not refused. */
const LONG_WAIT_MS = 180_000;
export const ALTERD = fileURLToPath(new URL('../../../bin/alterd', import.meta.url));

export interface RunningReplica {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  readonly caFile: string;
  readonly startMs: number;
  /** Of all its threads, until then. */
  readonly startCpuMs: number;
  readonly api: ApiClient;
  stop(): Promise<void>;
}

export interface Replica {
  readonly paths: Paths;
  /** Of the database's server; none for SQLite. */
  readonly databasePids: () => number[];
  start(): Promise<RunningReplica>;
  /** The database itself, while no process has it. */
  openStore(): Promise<Store>;
  masterKey(): MasterKey;
}

/** @param database a PostgreSQL database; null for the file of the home. @param cpu where it runs */
export function replicaAt(home: string, database: Database | null, cpu = PROXY_CPU): Replica {
  return installationAt(home, database, async (port, paths) => {
    const names = `public_names = ["127.0.0.1:${port}", "${VAULT_NAME}"]`;
    const where = database === null ? '' : `database = "${database.url}"\n`;
    writeFileSync(paths.configFile, `[log]\nlevel = "warn"\n[vault_server]\n${names}\n${where}`, { mode: 0o600 });
    return launchAlterd(home, ['vault', 'start', '--listen', `127.0.0.1:${port}`], port, cpu);
  });
}

/** A daemon whose vault is its own. */
export const daemonAt = (home: string): Replica =>
  installationAt(home, null, (port) => launchAlterd(home, ['start', '--listen', `127.0.0.1:${port}`], port, PROXY_CPU));

const launchAlterd = (home: string, args: readonly string[], port: number, cpu: number) => {
  const program = [process.execPath, ...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []), ALTERD];
  return launch([...program, '--home', home, ...args], port, home, {}, { cpu, waitMs: LONG_WAIT_MS });
};

function installationAt(
  home: string,
  database: Database | null,
  begin: (port: number, paths: Paths) => ReturnType<typeof launch>,
): Replica {
  const paths = resolvePaths({ home, env: {} });
  mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
  return {
    paths,
    databasePids: () => database?.pids() ?? [],
    openStore: () => (database === null ? openSqliteStore({ dbFile: paths.vaultDb }) : openPostgresStore({ url: database.url })),
    masterKey: () => new MasterKey('file', readOrCreateKeyFile(paths.masterKeyFile, false)),
    start: async () => {
      const port = await freePort();
      const { pid, startMs, stop } = await begin(port, paths);
      const startCpuMs = threadMicros(treeOf(pid)) / 1000;
      const api = openClient(paths.apiSocket);
      await answering(api);
      return {
        ...{ pid, port, url: `https://127.0.0.1:${port}`, startMs, startCpuMs, stop },
        ...{ caFile: join(paths.caDir, 'vault-ca.crt'), api },
      };
    },
  };
}

/** A daemon takes connections a moment before it is managed. */
async function answering(api: ApiClient): Promise<void> {
  for (let left = 200; ; left--)
    try {
      return void (await api.read('/v1/status'));
    } catch (error) {
      if (left === 0) throw error;
      await waitMs(20);
    }
}

export interface Database {
  readonly url: string;
  pids(): number[];
}

let server: PostgresServer | undefined;
let databases = 0;

/** Why there is no PostgreSQL; null when there is. */
export const postgresAbsent = (): string | null => (isPostgresHere ? null : 'PostgreSQL 15 is not installed');

/** An empty database of one server for the whole run, which writes through to its disk, beside the load: it is another machine's. */
export function newDatabase(): Database {
  if (server === undefined) {
    const settings = ['fsync=on', 'shared_buffers=256MB', 'max_wal_size=2GB'];
    const started = startPostgres({ settings });
    process.once('exit', () => started.remove());
    server = started;
    moveTree(postmasterOf(started), LOAD_CPU);
  }
  const running = server;
  return { url: running.createDatabase(`bench${++databases}`), pids: () => [postmasterOf(running)] };
}

const postmasterOf = ({ directory }: PostgresServer): number =>
  Number(readFileSync(join(directory, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
