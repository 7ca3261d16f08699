/**
 * Python, Node, Go and Java programs as agents have them, with nothing but the variables of `alterd env`: each gets an answer that
 * only the injected secret opens, and can read why its POST is refused.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, type Ended, PROJECT, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { type ClientName, findClient } from '../helpers/clients.ts';
import { makePki } from '../helpers/pki.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { configFor, type Provider, startProvider } from './support/provider.ts';
import { bearerSite } from './support/tally.ts';

const PROGRAMS = join(PROJECT, 'test', 'e2e', 'programs');
const HOST = 'api.example.test';
const pki = makePki();
const temporary = temporaryDirectory();
let provider: Provider;
let alterd: AlterdProcess;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  provider = await startProvider(pki, { sites: { [HOST]: bearerSite({ languages: 'SEKRET-marker-languages' }) } });
  alterd = await startAlterd({ config: configFor(pki, { [`${HOST}:443`]: provider.port }) });
  const input = 'SEKRET-marker-languages';
  await alterd.ok(['secret', 'add', 'bearer', '--name', 'languages', '--host', HOST, '--token-stdin'], { input });
  await alterd.ok(['agent', 'create', 'polyglot']);
  await alterd.ok(['grant', 'create', 'languages', '--agent', 'polyglot', '--methods', 'GET', '--allow-private']);
  env = await alterd.clientEnv('polyglot');
});
afterAll(async () => {
  await alterd?.stop();
  await provider?.close();
});

const url = (client: string): string => `https://${HOST}/${encodeURIComponent(client)}`;

function expectServed(client: string, end: Ended): void {
  expect(end.status, end.stderr).toBe(0);
  expect(end.stdout + end.stderr).not.toContain('SEKRET');
  const [first, second] = JSON.parse(end.stdout) as { status: number; error: string; body: Record<string, unknown> }[];
  expect(first).toMatchObject({ status: 200, body: { secret: 'languages', method: 'GET' } });
  expect(second).toMatchObject({ status: 403, error: 'policy_violation', body: { policy_error: 'method_not_allowed' } });
  expect(provider.arrivals.filter((arrival) => url(client).endsWith(arrival.url)).map((arrival) => arrival.method)).toEqual([
    'GET',
  ]);
}

describe('Python', () => {
  for (const library of ['urllib', 'requests', 'httpx', 'aiohttp'] as const) {
    const python = findClient(`python ${library}` satisfies ClientName);
    if (python === null) continue;
    it.concurrent(`${library}`, async () => {
      expectServed(library, await runProgram(python, [join(PROGRAMS, 'client.py'), library, url(library)], { env }));
    });
  }
});

describe('Node', () => {
  const run = (library: string, name: string, more: NodeJS.ProcessEnv = {}): Promise<Ended> =>
    runProgram(process.execPath, [join(PROGRAMS, 'client.mjs'), library, url(name)], { env: { ...env, ...more } });
  const withPreload = { fetch: 'node', https: 'node', axios: 'axios', got: 'got' } as const satisfies Record<string, ClientName>;
  for (const [library, client] of Object.entries(withPreload)) {
    if (findClient(client) === null) continue;
    it.concurrent(`${library}`, async () => {
      expectServed(library, await run(library, library));
    });
  }

  if (findClient('undici') !== null)
    it.concurrent('undici with its EnvHttpProxyAgent, without the preload', async () => {
      expectServed('undici', await run('undici', 'undici', { NODE_OPTIONS: '' }));
    });

  if (findClient('axios') !== null)
    it.concurrent('axios by itself, without the preload', async () => {
      expectServed('axios-alone', await run('axios', 'axios-alone', { NODE_OPTIONS: '' }));
    });
});

const go = findClient('go');
if (go !== null)
  describe('Go', () => {
    it('net/http, over HTTP/2', async () => {
      const dir = temporary();
      const build = {
        PATH: env.PATH,
        HOME: dir,
        GOCACHE: join(dir, 'cache'),
        GO111MODULE: 'off',
      };
      const built = await runProgram(go, ['build', '-o', join(dir, 'client'), join(PROGRAMS, 'main.go')], {
        env: build,
        timeoutMs: 120_000,
      });
      expect(built.status, built.stderr).toBe(0);
      const end = await runProgram(join(dir, 'client'), [url('go')], { env });
      expectServed('go', end);
      expect(end.stdout).toContain('"protocol":"HTTP/2.0"');
    }, 150_000);
  });

const java = findClient('java');
if (java !== null)
  describe('Java', () => {
    it('HttpClient and HttpsURLConnection, with an Authenticator for the proxy', async () => {
      const end = await runProgram(java, ['-Xshare:auto', join(PROGRAMS, 'Client.java'), url('java')], {
        env,
        timeoutMs: 90_000,
      });
      expect(end.status, end.stderr).toBe(0);
      expect(end.stdout + end.stderr).not.toContain('SEKRET');
      const [first, second, third] = end.stdout.trim().split('\n');
      expect(first).toMatch(/^200 HTTP_2 .*"secret":"languages"/);
      expect(second).toMatch(/^403 HTTP_2 .*"policy_error":"method_not_allowed"/);
      expect(third).toMatch(/^200 HTTP_1_1 .*"secret":"languages"/);
    }, 120_000);
  });
