/**
 * curl, wget and git against the built program, each with nothing but the variables of `alterd env`. git talks to a real
 * repository behind `git http-backend`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, type Ended, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { findClient } from '../helpers/clients.ts';
import { makePki } from '../helpers/pki.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { gitSite, makeRepository } from './support/git-site.ts';
import { answerJson, configFor, type Provider, readBody, type Site, startProvider } from './support/provider.ts';

const TOKEN = 'github_pat_SEKRET-marker-curl-git';
const LITERAL = '2001:db8::42';
const pki = makePki();
const temporary = temporaryDirectory();
const curl = findClient('curl');
const wget = findClient('wget');
const git = findClient('git');
const httpBackend = findClient('git http-backend');
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === '::1'));
let provider: Provider;
let literal: Provider;
let loopback: Provider | null = null;
let alterd: AlterdProcess;
let env: NodeJS.ProcessEnv;
let dir: string;

beforeAll(async () => {
  dir = temporary();
  const repositories = join(dir, 'srv');
  if (git !== null) await makeRepository(join(repositories, 'acme', 'widgets.git'), dir);
  provider = await startProvider(pki, {
    sites: {
      'api.github.com': async (request, response) => {
        const known = request.headers.authorization === `Bearer ${TOKEN}`;
        if (request.url?.startsWith('/slow/') === true) await readSlowly(request);
        const body = await readBody(request);
        const sha256 = createHash('sha256').update(body).digest('hex');
        answerJson(response, known ? 200 : 401, { known, bytes: body.length, sha256 });
      },
      'gitlab.com': gitlab(repositories),
      ...(httpBackend === null ? {} : { 'github.com': gitSite(httpBackend, repositories, `x-access-token:${TOKEN}`) }),
    },
  });
  literal = await startProvider(pki, { withoutName: LITERAL });
  if (hasIpv6) loopback = await startProvider(pki, { withoutName: '::1', listen: '::1' });
  alterd = await startAlterd({
    config: configFor(pki, {
      'api.github.com:443': provider.port,
      'github.com:443': provider.port,
      'gitlab.com:443': provider.port,
      [`[${LITERAL}]:443`]: literal.port,
    }),
  });
  await alterd.ok(['secret', 'add', 'github', '--token-stdin'], { input: TOKEN });
  await alterd.ok(['secret', 'add', 'bearer', '--name', 'six', '--host', `[${LITERAL}]`, '--token-stdin'], {
    input: 'SEKRET-marker-6',
  });
  await alterd.ok(['agent', 'create', 'builder']);
  const grant = (...args: string[]) => alterd.ok(['grant', 'create', ...args, '--agent', 'builder', '--allow-private']);
  await grant('github', '--host', 'api.github.com', '--methods', 'GET,PUT');
  await grant(
    'github',
    '--host',
    'github.com',
    '--methods',
    'GET,POST',
    '--paths',
    '/acme/widgets.git/info/refs,/acme/widgets.git/git-upload-pack',
  );
  for (const access of ['read', 'write']) {
    await alterd.ok(['agent', 'create', `git-${access}`]);
    await alterd.ok(['grant', 'create', 'github', '--agent', `git-${access}`, '--allow-private', '--git', access]);
  }
  await grant('six');
  if (loopback !== null) {
    const host = `[::1]:${loopback.port}`;
    await alterd.ok(['secret', 'add', 'bearer', '--name', 'loop', '--host', host, '--token-stdin'], {
      input: 'SEKRET-marker-loop',
    });
    await grant('loop');
  }
  env = await alterd.clientEnv('builder');
});
afterAll(async () => {
  await alterd?.stop();
  await Promise.all([provider?.close(), literal?.close(), loopback?.close()]);
});

const ACCOUNT_TOKEN = 'SEKRET-marker-gitlab-access';
/** One host for tokens, the API and repositories, as GitLab is: the API takes the token of an account as Bearer alone, git in Basic alone. */
function gitlab(repositories: string): Site {
  const repository = gitSite(httpBackend ?? '', repositories, `oauth2:${ACCOUNT_TOKEN}`);
  return async (request, response) => {
    if (request.url === '/oauth/token') {
      const asked = new URLSearchParams((await readBody(request)).toString());
      const isKnown = asked.get('refresh_token') === 'SEKRET-marker-gitlab-refresh' && asked.get('client_secret') !== null;
      const tokens = {
        access_token: ACCOUNT_TOKEN,
        refresh_token: 'SEKRET-marker-gitlab-next',
        token_type: 'Bearer',
        expires_in: 7200,
      };
      answerJson(response, isKnown ? 200 : 401, isKnown ? tokens : { error: 'invalid_grant' });
    } else if (request.url?.startsWith('/api/') === true) {
      const isKnown = request.headers.authorization === `Bearer ${ACCOUNT_TOKEN}`;
      answerJson(response, isKnown ? 200 : 401, isKnown ? { id: 7, username: 'mona' } : { message: '401 Unauthorized' });
    } else await repository(request, response);
  };
}

/** Lets the sockets before it fill up: takes a piece only every other turn of the timers. */
async function readSlowly(request: IncomingMessage): Promise<void> {
  let taken = 0;
  while (taken < 1_500_000) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    taken += (request.read() as Buffer | null)?.length ?? 0;
  }
}

const run = (command: string, ...args: string[]): Promise<Ended> => runProgram(command, args, { env, cwd: dir });
const url = 'https://api.github.com/user';

if (curl !== null)
  describe('curl', () => {
    const sent = async (...args: string[]): Promise<Record<string, unknown>> => {
      const end = await run(curl, '-sS', ...args);
      expect(end.status, end.stderr).toBe(0);
      expect(end.stdout + end.stderr).not.toContain('SEKRET');
      return JSON.parse(end.stdout) as Record<string, unknown>;
    };

    it('speaks HTTP/1.1', async () => {
      expect(await sent('--http1.1', url)).toMatchObject({ known: true });
    });

    if (findClient('curl with HTTP/2') !== null)
      it('speaks HTTP/2 by itself', async () => {
        const end = await run(curl, '-sS', '-o', '/dev/null', '-w', '%{http_version} %{http_code} %{num_connects}', url);
        expect(end).toMatchObject({ status: 0, stdout: '2 200 1' });
      });

    it('reuses one tunnel for several requests', async () => {
      const format = '%{http_code} %{num_connects}\n';
      const end = await run(curl, '-sS', '-o', '/dev/null', '-o', '/dev/null', '-w', format, url, `${url}?again`);
      expect(end.stdout).toBe('200 1\n200 0\n');
    });

    it.each(['--http1.1', '--http2'])('uploads 8 MiB over %s', async (protocol) => {
      const body = randomBytes(8 * 1024 * 1024);
      const file = join(dir, `upload${protocol}`);
      writeFileSync(file, body);
      const answer = await sent(protocol, '-T', file, 'https://api.github.com/upload');
      expect(answer).toEqual({ known: true, bytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
    });

    it('uploads twice over the same sockets to an origin that reads slowly', async () => {
      const names = ['first', 'second'];
      for (const name of names) writeFileSync(join(dir, name), randomBytes(2 * 1024 * 1024));
      const format = '%{http_code} %{num_connects}\n';
      const targets = ['-o', '/dev/null', '-o', '/dev/null', '-T', `{${names.join(',')}}`, 'https://api.github.com/slow/'];
      const end = await run(curl, '-sS', '--http1.1', '-w', format, ...targets);
      expect(end).toMatchObject({ status: 0, stdout: '200 1\n200 0\n' });
    });

    it.each(['--http1.1', '--http2'])('reads the whole refusal of a 4 MiB body over %s', async (protocol) => {
      const file = join(dir, `refused${protocol}`);
      writeFileSync(file, Buffer.alloc(4 * 1024 * 1024));
      const end = await run(curl, '-sS', protocol, '--data-binary', `@${file}`, url);
      expect(JSON.parse(end.stdout)).toMatchObject({ error: 'policy_violation', policy_error: 'method_not_allowed' });
    });

    it('may not reach a private address that no grant names', async () => {
      const end = await run(curl, '-sS', '--noproxy', '', `https://127.0.0.1:${provider.port}/`);
      expect(end.status).toBe(56);
      expect(end.stderr).toContain('response 403');
    });

    it('uploads what it reads from a pipe, in chunks, with Expect: 100-continue', async () => {
      const end = await run(
        'sh',
        '-c',
        `head -c 3000000 /dev/zero | curl -sS --http1.1 -H 'Expect: 100-continue' -T - https://api.github.com/pipe`,
      );
      expect(JSON.parse(end.stdout)).toMatchObject({ known: true, bytes: 3_000_000 });
    });

    it('is refused inside the tunnel when it sends plain http there: no grant lets the token out in clear text', async () => {
      const end = await run(curl, '-sS', '-i', '--proxytunnel', 'http://api.github.com/user');
      const [established = '', head = '', body = ''] = end.stdout.split('\r\n\r\n');
      expect(established).toContain('200 Connection Established');
      expect(head).toMatch(/^HTTP\/1\.1 403 /);
      expect(JSON.parse(body)).toMatchObject({ request_id: expect.stringMatching(/^req_/) });
    });

    it('tunnels https with --proxytunnel and the proxy named on its command line', async () => {
      const proxy = env.HTTPS_PROXY ?? '';
      const end = await runProgram(curl, ['-sS', '--proxytunnel', '--proxy', proxy, '--cacert', alterd.caFile, url], {
        env: { PATH: env.PATH },
      });
      expect(JSON.parse(end.stdout)).toMatchObject({ known: true });
    });

    it('reaches an IPv6 literal, whose certificate names the address', async () => {
      expect(await sent(`https://[${LITERAL}]/v6`)).toMatchObject({ ok: true });
      expect(literal.arrivals[0]).toMatchObject({
        url: '/v6',
        headers: { host: `[${LITERAL}]`, authorization: 'Bearer SEKRET-marker-6' },
      });
    });

    if (hasIpv6)
      it('reaches an origin on ::1', async () => {
        expect(await sent('--noproxy', '', `https://[::1]:${loopback?.port}/loop`)).toMatchObject({ ok: true });
        expect(loopback?.arrivals[0]).toMatchObject({ url: '/loop', headers: { authorization: 'Bearer SEKRET-marker-loop' } });
      });
  });

if (wget !== null)
  describe('wget', () => {
    it('downloads through the proxy and trusts the local CA by WGETRC', async () => {
      const end = await run(wget, '-q', '-O', '-', url);
      expect(end.status, end.stderr).toBe(0);
      expect(JSON.parse(end.stdout)).toMatchObject({ known: true });
      expect(end.stdout + end.stderr).not.toContain('SEKRET');
    });

    it('shows the refusal of a method', async () => {
      const end = await run(wget, '-S', '-O', '-', '--content-on-error', '--post-data=x', url);
      expect(end.status).toBe(8);
      expect(end.stderr).toContain('403 Forbidden');
      expect(end.stdout).toContain('method_not_allowed');
    });
  });

if (git !== null && httpBackend !== null)
  describe('git', () => {
    const remote = 'https://github.com/acme/widgets.git';

    it('clones and fetches over HTTPS with the token as Basic password', async () => {
      const end = await run(git, 'clone', '--quiet', remote, 'clone');
      expect(end.status, end.stderr).toBe(0);
      expect(readFileSync(join(dir, 'clone', 'README'), 'utf8')).toBe('widgets\n');
      expect(end.stdout + end.stderr).not.toContain('SEKRET');
      expect((await run(git, '-C', 'clone', 'fetch', '--quiet')).status).toBe(0);
      const basic = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString('base64')}`;
      expect(new Set(provider.at('github.com').map((arrival) => arrival.headers.authorization))).toEqual(new Set([basic]));
      const config = readFileSync(join(dir, 'clone', '.git', 'config'), 'utf8');
      expect(config).not.toContain('SEKRET');
    });

    it('lists the refs of the remote', async () => {
      expect((await run(git, 'ls-remote', remote)).stdout).toMatch(/^[0-9a-f]{40}\tHEAD$/m);
    });

    it('is refused a push before anything of it is sent', async () => {
      const before = provider.at('github.com').length;
      const clone = join(dir, 'clone');
      const who = ['-c', 'user.name=a', '-c', 'user.email=a@example.test'];
      expect((await run(git, '-C', clone, ...who, 'commit', '--quiet', '--allow-empty', '-m', 'more')).status).toBe(0);
      const end = await run(git, '-C', clone, 'push', 'origin', 'HEAD');
      expect(end.status).not.toBe(0);
      expect(end.stderr).toContain('403');
      expect(provider.at('github.com').length).toBe(before);
      const entries = await alterd.json<{ policy_error: string }[]>([
        'audit',
        'list',
        '--decision',
        'deny',
        '--host',
        'github.com',
      ]);
      expect(entries[0]?.policy_error).toBe('git_push_not_allowed');
    });

    it('is refused another repository', async () => {
      mkdirSync(join(dir, 'other'), { recursive: true });
      const end = await run(git, 'clone', 'https://github.com/acme/secrets.git', 'other');
      expect(end.stderr).toContain('403');
    });
  });

if (git !== null && httpBackend !== null)
  describe.each(['read', 'write'] as const)('git under a grant to %s', (access) => {
    const agent = `git-${access}`;
    const remote = 'https://github.com/acme/widgets.git';
    const as = async (...args: string[]): Promise<Ended> =>
      runProgram(git, args, { env: await alterd.clientEnv(agent), cwd: dir });
    const branches = async (): Promise<string> => (await as('ls-remote', '--heads', remote)).stdout;

    it('is narrowed to the host of the repositories', async () => {
      const grants = await alterd.json<Record<string, unknown>[]>(['grant', 'list', '--agent', agent]);
      expect(grants).toMatchObject([{ git: access, hosts: ['github.com'] }]);
    });

    it('clones and fetches', async () => {
      expect(await as('clone', '--quiet', remote, agent)).toMatchObject({ status: 0 });
      expect(await as('-C', agent, 'fetch', '--quiet')).toMatchObject({ status: 0 });
      expect(readFileSync(join(dir, agent, 'README'), 'utf8')).toBe('widgets\n');
    });

    it(access === 'write' ? 'pushes' : 'is refused a push and told which grant would allow it', async () => {
      const commit = ['-c', 'user.name=a', '-c', 'user.email=a@example.test', 'commit', '--quiet', '--allow-empty', '-m', 'more'];
      expect(await as('-C', agent, ...commit)).toMatchObject({ status: 0 });
      const before = provider.at('github.com').length;
      const end = await as('-C', agent, 'push', 'origin', `HEAD:${agent}`);
      expect(end.stdout + end.stderr).not.toContain('SEKRET');
      if (access === 'write') {
        expect(end.status, end.stderr).toBe(0);
        expect(await branches()).toContain(`refs/heads/${agent}`);
        return;
      }
      expect(end.status).not.toBe(0);
      expect(provider.at('github.com').length).toBe(before);
      expect(end.stderr).toContain('remote: alterd: ');
      expect(end.stderr).toContain('alterd grant create github --agent NAME --git write');
      expect(await branches()).not.toContain(agent);
      const id = /alterd explain (req_\w+)/.exec(end.stderr)?.[1] ?? '';
      expect(await alterd.ok(['explain', id])).toContain('--git write');
    });

    it('gets no page of the same host', async () => {
      const end = await runProgram(curl ?? 'curl', ['-sS', 'https://github.com/acme/widgets'], {
        env: await alterd.clientEnv(agent),
      });
      expect(JSON.parse(end.stdout)).toMatchObject({ policy_error: 'not_git' });
    });
  });

if (git !== null && httpBackend !== null && curl !== null)
  describe('git and curl with a connected account of GitLab', () => {
    const remote = 'https://gitlab.com/acme/widgets.git';
    const as = async (command: string, ...args: string[]): Promise<Ended> =>
      runProgram(command, args, { env: await alterd.clientEnv('lab'), cwd: dir });

    it('the API gets the token as Bearer, clone and push get it in Basic, on one host and by one grant', async () => {
      await alterd.ok(['agent', 'create', 'lab']);
      await alterd.ok(['provider', 'client', 'set', 'gitlab', '--client-id', 'app', '--client-secret-stdin'], {
        input: 'SEKRET-marker-gitlab-client',
      });
      const connected = await alterd.ok(['connect', 'gitlab', '--agent', 'lab', '--import-refresh-token', '--allow-private'], {
        input: 'SEKRET-marker-gitlab-refresh',
      });
      expect(connected).toContain('mona');
      const api = await as(curl, '-sS', 'https://gitlab.com/api/v4/projects');
      expect(api.stdout).toContain('mona');
      expect(await as(git, 'clone', '--quiet', remote, 'lab')).toMatchObject({ status: 0 });
      expect(readFileSync(join(dir, 'lab', 'README'), 'utf8')).toBe('widgets\n');
      const commit = ['-c', 'user.name=a', '-c', 'user.email=a@example.test', 'commit', '--quiet', '--allow-empty', '-m', 'lab'];
      expect(await as(git, '-C', 'lab', ...commit)).toMatchObject({ status: 0 });
      const pushed = await as(git, '-C', 'lab', 'push', 'origin', 'HEAD:lab');
      expect(pushed.status, pushed.stderr).toBe(0);
      expect((await as(git, 'ls-remote', '--heads', remote)).stdout).toContain('refs/heads/lab');
      expect(api.stdout + pushed.stdout + pushed.stderr).not.toContain('SEKRET');
      const [grant] = await alterd.json<{ id: string }[]>(['grant', 'list', '--agent', 'lab']);
      expect(await alterd.ok(['grant', 'show', grant?.id as string])).toContain(
        'header Authorization for all but git, header Authorization (Basic) for git',
      );
    });
  });
