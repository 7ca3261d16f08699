/**
 * A whole scenario at log level trace, in which every secret carries a marker; afterwards everything that alterd printed, wrote
 * or runs with is searched for every form of each. The only place that may hold one is the origin.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, makeHome, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { makePki } from '../helpers/pki.ts';
import { filesBelow, findLeaks, formsOf, type Haystack, processFacts } from './support/leaks.ts';
import { answerJson, configFor, type Provider, startProvider } from './support/provider.ts';

const pki = makePki();
const strangers = makePki();
const secretOf = (name: string): string => `SEKRET/marker+${name}~%41=end`;
const KINDS: Readonly<Record<string, readonly string[]>> = {
  bearer: [],
  header: ['--field', 'header=X-Api-Key'],
  basic: ['--field', 'username=robot'],
  query: ['--field', 'parameter=key'],
  cookie: ['--field', 'cookie=session'],
};
const hostOf = (kind: string): string => `${kind}.example.test`;
const FAILING = ['reset.example.test', 'untrusted.example.test', 'closed.example.test'] as const;
const secrets = new Set<string>();
const keys: string[] = [];
const lives: AlterdProcess[] = [];
const printedByClients: string[] = [];
const running: Haystack[] = [];
let provider: Provider;
let untrusted: Provider;
let home = '';

async function startLife(): Promise<AlterdProcess> {
  const alterd = await startAlterd({ home, env: { TMPDIR: join(home, 'tmp') } });
  lives.push(alterd);
  return alterd;
}

/** Both what ended and what failed counts: an error message is as good a leak as any. */
async function tell(alterd: AlterdProcess, args: readonly string[], input?: string): Promise<void> {
  await alterd.cli(args, input === undefined ? {} : { input });
}

async function store(alterd: AlterdProcess): Promise<void> {
  for (const [kind, fields] of Object.entries(KINDS)) {
    const secret = secretOf(kind);
    secrets.add(secret);
    await alterd.ok(['secret', 'add', kind, '--host', hostOf(kind), ...fields, '--token-stdin'], { input: secret });
    await alterd.ok(['grant', 'create', kind, '--agent', 'ada', '--methods', 'GET', '--paths', '/allowed/**', '--allow-private']);
  }
  const failing = secretOf('failing');
  secrets.add(failing);
  const hosts = FAILING.flatMap((host) => ['--host', host]);
  await alterd.ok(['secret', 'add', 'bearer', '--name', 'failing', ...hosts, '--token-stdin'], { input: failing });
  await alterd.ok(['grant', 'create', 'failing', '--agent', 'ada', '--allow-private']);
  const refused = secretOf('refused by the pattern');
  secrets.add(refused);
  await tell(alterd, ['secret', 'add', 'github', '--token-stdin'], refused);
  await tell(alterd, ['secret', 'add', 'bearer', '--host', 'not a host', '--token-stdin'], refused);
  await tell(alterd, ['secret', 'add', 'bearer', '--name', 'failing', '--host', 'x.example.test', '--token-stdin'], refused);
}

async function callEverything(alterd: AlterdProcess): Promise<void> {
  const urls = [
    ...Object.keys(KINDS).map((kind) => `https://${hostOf(kind)}/allowed/x?q=1`),
    ...FAILING.map((host) => `https://${host}/allowed/x`),
    'https://bearer.example.test/elsewhere',
    'https://bearer.example.test/allowed/../x',
    'https://bearer.example.test/allowed/redirect',
    'https://bearer.example.test/allowed/unauthorized',
    'http://bearer.example.test/allowed/plain',
  ];
  const script = [
    'cat /proc/$PPID/environ /proc/$PPID/cmdline /proc/self/environ | tr "\\0" "\\n"',
    ...urls.flatMap((url) => [`curl -sv --path-as-is ${url}`, `curl -sv --path-as-is --http1.1 -d x=1 ${url}`]),
    'curl -sv --http1.1 -H "Connection: Upgrade" -H "Upgrade: websocket" -H "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" -H "Sec-WebSocket-Version: 13" https://bearer.example.test/allowed/socket',
    'curl -sv -H "Authorization: Bearer alter_ph_unknownunknownunknownunknown1234" https://bearer.example.test/allowed/x',
    'curl -sv -H "Host: other.example.test" https://bearer.example.test/allowed/x',
  ].join('\n');
  await tell(alterd, ['run', '--agent', 'ada', '--label', 'sweep', '--', 'sh', '-c', script]);
}

async function lookEverywhere(alterd: AlterdProcess): Promise<void> {
  const { entries } = await readEntries(alterd);
  const views = [
    ['audit', 'tail', '--lines', '500'],
    ['audit', 'export', '--format', 'csv'],
    ['audit', 'export'],
    ['secret', 'list'],
    ['secret', 'show', 'bearer'],
    ['grant', 'list'],
    ['agent', 'show', 'ada'],
    ['config', 'show'],
    ['provider', 'list'],
    ['session', 'list'],
    ['ca', 'show'],
    ['--output', 'json', 'status'],
    ...entries.slice(-8).map((id) => ['explain', id]),
    ...entries.slice(0, 2).map((id) => ['--output', 'json', 'audit', 'show', id]),
  ];
  for (const view of views) await tell(alterd, view);
}

async function readEntries(alterd: AlterdProcess): Promise<{ entries: string[] }> {
  const rows = await alterd.json<{ request_id: string }[]>(['audit', 'list', '--limit', '300']);
  return { entries: rows.map((row) => row.request_id) };
}

/** Requests that are none, and a key that is unknown. */
async function sendNonsense(alterd: AlterdProcess): Promise<void> {
  const wrong = Buffer.from('ada:alter_key_agent_wrong').toString('base64');
  for (const text of [
    'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    '\u0000\u0001\u0002\r\n\r\n',
    `CONNECT bearer.example.test:443 HTTP/1.1\r\nProxy-Authorization: Basic ${wrong}\r\n\r\n`,
  ]) {
    await new Promise<void>((resolve) => {
      const socket = connect(alterd.port, '127.0.0.1', () => socket.end(text));
      socket.on('data', (part) => printedByClients.push(part.toString()));
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
  }
}

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      // An origin that echoed what it was sent would be the leak itself.
      ...Object.fromEntries(
        Object.keys(KINDS).map((kind) => [hostOf(kind), (_: unknown, response: ServerResponse) => answerJson(response, 200, {})]),
      ),
      'bearer.example.test': (request, response) => {
        if (request.url === '/allowed/redirect') response.writeHead(302, { location: 'https://elsewhere.example.test/' }).end();
        else answerJson(response, request.url === '/allowed/unauthorized' ? 401 : 200, {});
      },
      'reset.example.test': (_request, response) => {
        response.writeHead(200, { 'content-length': 1000 });
        response.write('half', () => response.destroy());
      },
    },
  });
  untrusted = await startProvider(strangers);
  home = makeHome(
    configFor(pki, {
      ...Object.fromEntries(Object.keys(KINDS).map((kind) => [`${hostOf(kind)}:443`, provider.port])),
      'reset.example.test:443': provider.port,
      'untrusted.example.test:443': untrusted.port,
      'closed.example.test:443': 9,
    }),
  );
  mkdirSync(join(home, 'tmp'));
  let alterd = await startLife();
  const created = await alterd.json<{ key: string }>(['agent', 'create', 'ada']);
  keys.push(created.key);
  await store(alterd);
  await callEverything(alterd);
  await sendNonsense(alterd);

  const rotated = secretOf('rotated');
  secrets.add(rotated);
  await alterd.ok(['secret', 'rotate', 'bearer', '--token-stdin'], { input: rotated });
  alterd.signal('SIGHUP');
  await callEverything(alterd);
  await alterd.ok(['secret', 'remove', 'query', '--cascade', '--yes']);
  const environment = await alterd.clientEnv('ada');
  keys.push(new URL(environment.HTTPS_PROXY ?? '').password);
  const curl = await runProgram('curl', ['-sv', `https://${hostOf('cookie')}/allowed/x`], { env: environment });
  printedByClients.push(curl.stdout, curl.stderr);
  await lookEverywhere(alterd);
  running.push(...processFacts(alterd.pid, 'the daemon'));
  alterd.signal('SIGKILL');
  await alterd.ended;
  running.push(...filesBelow(home));

  alterd = await startLife();
  await callEverything(alterd);
  await lookEverywhere(alterd);
  running.push(...filesBelow(home), ...processFacts(alterd.pid, 'the second daemon'));
  await alterd.stop({ keep: true });
}, 120_000);
afterAll(async () => {
  await Promise.all([provider?.close(), untrusted?.close()]);
  if (home !== '') rmSync(home, { recursive: true, force: true });
});

const everything = (): Haystack[] => [
  ...lives.map((life, i) => ({ where: `output of life ${i + 1}`, bytes: Buffer.from(life.printed()) })),
  { where: 'output of clients', bytes: Buffer.from(printedByClients.join('\n')) },
  ...running,
  ...filesBelow(home),
];

describe('the scenario', () => {
  it('really brought each stored secret to the origin', () => {
    const arrived = provider.arrivals.map(({ url, rawHeaders }) => ({
      where: 'the origin',
      bytes: Buffer.from(`${url}\n${rawHeaders.join('\n')}`),
    }));
    const injected = [...Object.keys(KINDS), 'failing', 'rotated'].map(secretOf);
    expect(injected.filter((secret) => findLeaks([secret], arrived).length === 0)).toEqual([]);
  });

  it('met every kind of end', () => {
    const printed = lives.map((life) => life.printed()).join('\n');
    for (const word of [
      'method_not_allowed',
      'path_not_allowed',
      'upstream_untrusted',
      'upstream_unreachable',
      'provider_unauthorized',
      'plaintext_injection',
      'unknown_placeholder',
      'configuration reloaded',
      '"level":"debug"',
    ]) {
      expect(printed, word).toContain(word);
    }
  });
});

describe('the search', () => {
  it('finds each form of a secret where it was planted', () => {
    const planted = secretOf('planted');
    for (const [i, { name, bytes }] of formsOf(planted).entries()) {
      const file = join(home, 'state', `planted-${i}`);
      writeFileSync(file, Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')]));
      expect(findLeaks([planted], filesBelow(home)).join('\n'), name).toContain(`planted-${i}`);
      rmSync(file);
    }
  });

  it.each([0, 1, 2])('finds Base64 of a longer text with the secret %i bytes behind a boundary', (shift) => {
    const planted = secretOf('planted');
    const text = Buffer.from(`${'u'.repeat(shift)}${planted}:x`).toString('base64');
    expect(findLeaks([planted], [{ where: 'here', bytes: Buffer.from(text) }])).not.toEqual([]);
  });

  it('finds no form of any secret in any output, file, environment or argument', () => {
    const haystacks = everything();
    expect(haystacks.some(({ where }) => where.endsWith('vault.db-wal') || where.endsWith('vault.db'))).toBe(true);
    expect(haystacks.some(({ where }) => where.includes('/audit/'))).toBe(true);
    expect(haystacks.some(({ where }) => where.endsWith('environ'))).toBe(true);
    expect(findLeaks(secrets, haystacks)).toEqual([]);
  });

  it('finds no agent key in the log or in any file: only hashes are kept', () => {
    const haystacks = [
      ...lives.map((life, i) => ({ where: `log of life ${i + 1}`, bytes: Buffer.from(life.log()) })),
      ...running,
      ...filesBelow(home),
    ];
    expect(keys.length).toBe(2);
    expect(findLeaks(keys, haystacks)).toEqual([]);
  });
});
