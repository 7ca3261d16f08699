/**
 * `npm run demo`: the whole of alterd on loopback with throw-away parts: an HTTPS API, a secret, an agent, an unmodified client.
 * Shows the request as the client sent it beside what the API received, a refusal, and the audit rows. Leaves nothing behind.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openClient } from './api/client.ts';
import { initAuthority } from './ca/authority.ts';
import { clientEnvironment } from './ca/client-environment.ts';
import { LeafIssuer } from './ca/leaf.ts';
import { loadConfig } from './config/load.ts';
import { resolvePaths } from './config/paths.ts';
import { startDaemon } from './daemon.ts';
import { Secret } from './domain/secret.ts';
import { createLog } from './log.ts';

const HOST = 'api.demo.test';

export interface DemoOutput {
  note(text: string): void;
  raw(text: string): void;
}

interface Seen {
  readonly line: string;
  readonly headers: string[];
}

/** @throws AlterError of whatever could not be started */
export async function runDemo({ output }: { readonly output: DemoOutput }): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'alterd-demo-'));
  const say = (text = ''): void => output.raw(`${text}\n`);
  const undo: (() => unknown)[] = [() => rmSync(home, { recursive: true, force: true })];
  try {
    const api = await startApi(home);
    undo.push(() => api.server.close());
    const paths = resolvePaths({ home, env: {} });
    mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
    writeFileSync(
      paths.configFile,
      `[upstream]\nca_file = "${api.caFile}"\nresolve = { "${HOST}:443" = "127.0.0.1:${api.port}" }\n`,
      { mode: 0o600 },
    );
    const load = () => loadConfig({ file: paths.configFile, env: {}, flags: { 'listen.tcp': '127.0.0.1:0' } });
    const daemon = await startDaemon({ paths, loaded: load(), reloadConfig: load, log: createLog('silent') });
    undo.push(() => daemon.stop());
    const secret = `demo-secret-${randomBytes(6).toString('hex')}`;
    const client = openClient(paths.apiSocket);
    await client.send('/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: secret }, hosts: [HOST] });
    const { key } = (await client.send('/v1/agents', { name: 'demo-agent' })) as { key: string };
    await client.send('/v1/grants', {
      credential: 'demo',
      agent: 'demo-agent',
      methods: ['GET'],
      paths: ['/user', '/repos/**'],
      allow_private: true,
    });

    say('1. A secret is in the vault, sealed. The agent has a key for the proxy and a grant: GET on /user and /repos/**.');
    say(`   An unmodified client (curl, or Node where there is none) calls https://${HOST}/user:`);
    say();
    const tcp = daemon.facts().proxy.tcp as string;
    const environment = clientEnvironment({
      host: '127.0.0.1',
      port: Number(tcp.slice(tcp.lastIndexOf(':') + 1)),
      user: 'demo',
      key: new Secret(key),
      caFile: paths.caFile,
      bundleFile: paths.bundleFile,
      preloadFile: join(paths.caDir, 'node-preload.cjs'),
      inherited: {},
    });
    const env = { PATH: process.env.PATH, ...environment.set };
    const first = await call(env, `https://${HOST}/user`);
    const received = api.seen[0];
    beside(
      say,
      'the client sent',
      first.sent,
      'the API received',
      received === undefined ? [] : [received.line, ...received.headers],
    );
    say();
    say(`   The client got: ${first.status} ${first.body.trim()}`);
    say();
    say(
      `2. The same agent tries DELETE /repos/a/b, which the grant does not allow. The API sees nothing of it (${api.seen.length} request so far):`,
    );
    const second = await call(env, `https://${HOST}/repos/a/b`, 'DELETE');
    say(`   ${second.status} ${second.body.trim()}`);
    say(`   Requests that the API saw: ${api.seen.length}`);
    say();
    say('3. Both are in the audit journal:');
    const { entries } = (await client.read('/v1/audit', { limit: 2 })) as { entries: Record<string, unknown>[] };
    for (const e of entries.reverse())
      say(
        `   ${e.at}  ${e.agent}  ${e.method} ${e.host}${e.path}  ${e.decision}  ${e.status}  ${e.error ?? e.rule}  ${e.request_id}`,
      );
    const verified = (await client.send('/v1/audit/verify', {})) as { ok: boolean; rows: number };
    say(`   chain of ${verified.rows} rows: ${verified.ok ? 'intact' : 'BROKEN'}`);
    const leaked = [first, second].some((c) => `${c.body}${c.sent.join()}`.includes(secret));
    say();
    say(leaked ? '   THE CLIENT SAW THE SECRET: this is a bug.' : '   The client never saw the secret.');
    say();
    say('Everything was on loopback and is gone now. Start for real with `npm start`.');
    if (leaked || first.status !== 200 || second.status !== 403 || api.seen.length !== 1 || !verified.ok) process.exitCode = 1;
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function startApi(home: string): Promise<{ server: Server; port: number; caFile: string; seen: Seen[] }> {
  const plain = { seal: (bytes: Uint8Array) => Buffer.from(bytes), open: (bytes: Uint8Array) => Buffer.from(bytes) };
  const ca = initAuthority(join(home, 'api-ca'), { sealKey: plain });
  const issuer = new LeafIssuer(ca);
  const seen: Seen[] = [];
  const server = createServer({ SNICallback: (name, done) => done(null, issuer.contextFor(name, 0)) }, (request, response) => {
    const headers: string[] = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    seen.push({ line: `${request.method} ${request.url}`, headers });
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ login: 'octocat', authorized: request.headers.authorization !== undefined }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port, caFile: ca.caFile, seen };
}

interface Call {
  readonly sent: string[];
  readonly status: number;
  readonly body: string;
}

const NODE_CLIENT = `
const [url, method] = process.argv.slice(1);
fetch(url, { method }).then(async (r) => console.log(JSON.stringify({ sent: [method + ' ' + new URL(url).pathname, 'host: ' + new URL(url).host], status: r.status, body: await r.text() })));
`;

async function call(env: NodeJS.ProcessEnv, url: string, method = 'GET'): Promise<Call> {
  const run = promisify(execFile);
  try {
    const { stdout, stderr } = await run('curl', ['-sv', '--http1.1', '-X', method, '-w', '\n%{http_code}', url], {
      env,
      timeout: 20_000,
    });
    const end = stdout.lastIndexOf('\n');
    // The last request in curl's log: the ones before it are CONNECT and its answer to 407.
    const lines = stderr.split('\n').filter((l) => l.startsWith('> '));
    const start = lines.findLastIndex((l) => l.startsWith(`> ${method} /`));
    const sent = lines.slice(start).map((l) => l.slice(2).trim());
    return {
      sent: sent.filter((l) => l !== '').map((l) => l.replace(/ HTTP\/1\.1$/, '')),
      status: Number(stdout.slice(end + 1)),
      body: stdout.slice(0, end),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const { stdout } = await run(process.execPath, ['-e', NODE_CLIENT, url, method], { env, timeout: 20_000 });
    return JSON.parse(stdout) as Call;
  }
}

function beside(
  say: (text: string) => void,
  leftTitle: string,
  left: readonly string[],
  rightTitle: string,
  right: readonly string[],
): void {
  const width = Math.max(leftTitle.length, ...left.map((l) => l.length)) + 3;
  say(`   ${leftTitle.padEnd(width)}${rightTitle}`);
  say(`   ${'-'.repeat(leftTitle.length).padEnd(width)}${'-'.repeat(rightTitle.length)}`);
  for (let i = 0; i < Math.max(left.length, right.length); i++)
    say(`   ${(left[i] ?? '').padEnd(width)}${right[i] ?? ''}`.trimEnd());
}
