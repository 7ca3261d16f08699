/**
 * Which client programs exist on this machine. A test of a client that is absent is not defined; `present.test.ts` names every
 * absent one, so that none is missing silently. Probes run once per test file and only for the clients that it asks for.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

type Probe = () => string | null;

const output = (command: string, args: readonly string[]): string | null => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? `${stdout}${stderr}` : null;
};

const program =
  (command: string, args: readonly string[] = ['--version']): Probe =>
  () =>
    output(command, args) === null ? null : command;

/** A Python that has the module: the one on the path, or the system's own. Version managers hide behind scripts that need HOME. */
const python =
  (module: string): Probe =>
  () => {
    for (const command of ['python3', '/usr/bin/python3']) {
      const found = output(command, ['-c', `import sys, ${module}; print(sys.executable)`]);
      if (found !== null) return found.trim();
    }
    return null;
  };

const require = createRequire(import.meta.url);
const nodePackage =
  (name: string): Probe =>
  () => {
    try {
      require.resolve(name);
      return process.execPath;
    } catch {
      return null;
    }
  };

const curlWith =
  (feature: string): Probe =>
  () =>
    output('curl', ['--version'])?.includes(feature) === true ? 'curl' : null;

const PROBES = {
  curl: program('curl'),
  'curl with HTTP/2': curlWith('HTTP2'),
  wget: program('wget'),
  git: program('git'),
  'git http-backend': () => (output('git', ['--exec-path']) === null ? null : backend()),
  'python urllib': python('urllib.request'),
  'python requests': python('requests'),
  'python httpx': python('httpx'),
  'python aiohttp': python('aiohttp'),
  'python boto3': python('boto3'),
  node: () => process.execPath,
  undici: nodePackage('undici'),
  axios: nodePackage('axios'),
  got: () => process.execPath,
  openai: nodePackage('openai'),
  '@anthropic-ai/sdk': nodePackage('@anthropic-ai/sdk'),
  '@octokit/rest': () => process.execPath,
  '@aws-sdk/client-s3': nodePackage('@aws-sdk/client-s3'),
  ws: nodePackage('ws'),
  '@grpc/grpc-js': nodePackage('@grpc/grpc-js'),
  go: program('go', ['version']),
  chromium: () => ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((path) => existsSync(path)) ?? null,
  java: () => (output('javac', ['-version']) === null ? null : program('java', ['-version'])()),
} as const satisfies Record<string, Probe>;

export type ClientName = keyof typeof PROBES;
export const CLIENT_NAMES = Object.keys(PROBES) as readonly ClientName[];

function backend(): string | null {
  const dir = output('git', ['--exec-path'])?.trim();
  // Without a request it answers 404 or an error, but it starts.
  const probe = spawnSync(`${dir}/git-http-backend`, { encoding: 'utf8' });
  return probe.error === undefined ? `${dir}/git-http-backend` : null;
}

const known = new Map<ClientName, string | null>();

/** The command that starts it; null when it is not here. */
export function findClient(name: ClientName): string | null {
  let found = known.get(name);
  if (found === undefined) {
    found = PROBES[name]();
    known.set(name, found);
  }
  return found;
}
