/**
 * Where alterd keeps its files. One home directory, systemd's directories, or the XDG ones, in this order.
 * The master key lives beside the configuration and never in the directory of the databases: a copied state
 * directory alone must open nothing.
 */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { AlterError } from '../domain/errors.ts';

/** Every file and directory of one installation; all absolute. */
export interface Paths {
  readonly stateDir: string;
  readonly configDir: string;
  readonly configFile: string;
  readonly masterKeyFile: string;
  /** Provider files of the operator; they win over the built-in ones. */
  readonly providersDir: string;
  /** Policy files of the operator. */
  readonly policiesDir: string;
  readonly vaultDb: string;
  readonly auditDir: string;
  readonly caDir: string;
  /** The local CA's certificate alone. */
  readonly caFile: string;
  /** System roots and the local CA in one file, for clients that take a single bundle. */
  readonly bundleFile: string;
  readonly apiSocket: string;
  readonly proxySocket: string;
  readonly lockFile: string;
}

export interface PathOptions {
  /** The value of `--home`; wins over ALTERD_HOME. */
  readonly home?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** sun_path of Linux is 108 bytes with its closing zero. */
const SOCKET_PATH_MAX_BYTES = 107;

/**
 * The paths in force for this environment. Reads nothing and creates nothing.
 * @throws AlterError invalid_input
 */
export function resolvePaths(options: PathOptions): Paths {
  const { stateDir, configDir } = baseDirs(options);
  const caDir = join(stateDir, 'ca');
  const paths: Paths = {
    stateDir,
    configDir,
    configFile: join(configDir, 'alterd.toml'),
    masterKeyFile: join(configDir, 'master.key'),
    providersDir: join(configDir, 'providers'),
    policiesDir: join(configDir, 'policies'),
    vaultDb: join(stateDir, 'vault.db'),
    auditDir: join(stateDir, 'audit'),
    caDir,
    caFile: join(caDir, 'ca.crt'),
    bundleFile: join(caDir, 'bundle.pem'),
    apiSocket: join(stateDir, 'api.sock'),
    proxySocket: join(stateDir, 'proxy.sock'),
    lockFile: join(stateDir, 'alterd.lock'),
  };
  const problems = [paths.apiSocket, paths.proxySocket].flatMap(socketPathProblem);
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return paths;
}

function baseDirs({ home, env }: PathOptions): { stateDir: string; configDir: string } {
  const root = home || env.ALTERD_HOME;
  if (root) {
    const dir = resolve(root);
    return { stateDir: join(dir, 'state'), configDir: join(dir, 'config') };
  }
  const userHome = env.HOME || homedir();
  return {
    stateDir: firstOf(env.STATE_DIRECTORY) ?? join(xdg(env.XDG_STATE_HOME) ?? join(userHome, '.local', 'state'), 'alterd'),
    configDir: firstOf(env.CONFIGURATION_DIRECTORY) ?? join(xdg(env.XDG_CONFIG_HOME) ?? join(userHome, '.config'), 'alterd'),
  };
}

/** systemd joins several directories of one unit with colons. */
function firstOf(list: string | undefined): string | undefined {
  return list?.split(':')[0] || undefined;
}

/** The XDG specification: a relative path is invalid and ignored. */
function xdg(dir: string | undefined): string | undefined {
  return dir !== undefined && isAbsolute(dir) ? dir : undefined;
}

function socketPathProblem(path: string): string[] {
  const bytes = Buffer.byteLength(path);
  return bytes <= SOCKET_PATH_MAX_BYTES
    ? []
    : [`the path of a Unix socket has at most ${SOCKET_PATH_MAX_BYTES} bytes, ${path} has ${bytes}: choose a shorter --home`];
}
