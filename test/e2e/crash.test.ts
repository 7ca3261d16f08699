/**
 * kill -9 of the daemon at every step of the line, with curl as the agent. What reached the origin has exactly one row
 * afterwards; what had not ended is `unknown`; the chain is whole; the next life works at once.
 */
import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type AlterdProcess, type Ended, makeHome, plainEnv, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { makePki } from '../helpers/pki.ts';
import { configFor, type Provider, startProvider } from './support/provider.ts';

const HOST = 'api.example.test';
const SECRET = 'SEKRET-marker-crash';
const pki = makePki();
const home = { path: '' };
let provider: Provider;
let alterd: AlterdProcess;
let key = '';
/** Called for each request that arrives, before anything is answered. */
let onArrival = (_url: string): void => {};

interface Row {
  readonly request_id: string;
  readonly path: string;
  readonly outcome: string;
  readonly status: number | null;
}

const HALF = 'x'.repeat(50_000);

function answer(url: string, response: ServerResponse): void {
  const step = url.split('/')[1];
  if (step === 'held' || step === 'upload') return;
  response.writeHead(200, { 'content-length': HALF.length * (step === 'half' ? 2 : 1) });
  if (step === 'half') response.write(HALF);
  else response.end(HALF);
}

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      [HOST]: (request, response) => {
        request.resume();
        onArrival(request.url ?? '');
        answer(request.url ?? '', response);
      },
    },
  });
  home.path = makeHome(configFor(pki, { [`${HOST}:443`]: provider.port }));
  alterd = await startAlterd({ home: home.path });
  await alterd.ok(['secret', 'add', 'bearer', '--host', HOST, '--token-stdin'], { input: SECRET });
  ({ key } = await alterd.json<{ key: string }>(['agent', 'create', 'ada']));
  await alterd.ok(['grant', 'create', 'bearer', '--agent', 'ada', '--allow-private']);
});
afterEach(() => {
  onArrival = () => {};
});
afterAll(async () => {
  await alterd?.stop({ keep: true });
  await provider?.close();
  if (home.path !== '') rmSync(home.path, { recursive: true, force: true });
});

/** curl as the agent. Its proxy may die under it. */
function curl(url: string, ...args: string[]): Promise<Ended> {
  const proxy = `http://ada:${key}@127.0.0.1:${alterd.port}`;
  return runProgram('curl', ['-sS', '--proxy', proxy, '--cacert', alterd.caFile, ...args, `https://${HOST}${url}`], {
    env: plainEnv('/nonexistent'),
  });
}

const arrivalOf = (count: number, isIt: (url: string) => boolean): Promise<void> =>
  new Promise((resolve) => {
    let left = count;
    onArrival = (url) => {
      if (isIt(url) && --left === 0) resolve();
    };
  });

async function killAndRestart(): Promise<void> {
  alterd.signal('SIGKILL');
  expect((await alterd.ended).status).toBe(137);
  alterd = await startAlterd({ home: home.path });
}

async function rowsUnder(prefix: string): Promise<Row[]> {
  expect(await alterd.json(['audit', 'verify'])).toMatchObject({ ok: true });
  const lines = (await alterd.ok(['audit', 'export', '--kind', 'exchange'])).trim().split('\n');
  const rows = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row);
  expect(new Set(rows.map((row) => row.request_id)).size, 'no request id twice').toBe(rows.length);
  expect(await alterd.json(['audit', 'list', '--open'])).toEqual([]);
  return rows.filter((row) => row.path?.startsWith(prefix));
}

/** Every arrival below this path has exactly one row. */
function expectOneRowEach(prefix: string, rows: readonly Row[]): void {
  const count = new Map<string, number>();
  for (const row of rows) count.set(row.path, (count.get(row.path) ?? 0) + 1);
  const urls = provider.arrivals.map((arrival) => arrival.url).filter((url) => url.startsWith(prefix));
  expect(new Set(urls).size, 'nothing arrived twice').toBe(urls.length);
  expect(urls.filter((url) => count.get(url) !== 1)).toEqual([]);
  expect([...count.values()].filter((n) => n !== 1)).toEqual([]);
}

it('before the line begins: a socket, a half head, an accepted CONNECT leave no row and no trace', async () => {
  const open = async (text: string, until: string): Promise<Socket> => {
    const socket = connect(alterd.port, '127.0.0.1');
    socket.on('error', () => {});
    await new Promise<void>((resolve) => {
      if (until === '') socket.write(text, () => resolve());
      else socket.on('data', (part) => void (part.toString().includes(until) && resolve())).write(text);
    });
    return socket;
  };
  const basic = Buffer.from(`ada:${key}`).toString('base64');
  const sockets = await Promise.all([
    open('GET http', ''),
    open(`CONNECT ${HOST}:443 HTTP/1.1\r\nProxy-Auth`, ''),
    open(`CONNECT ${HOST}:443 HTTP/1.1\r\nProxy-Authorization: Basic ${basic}\r\n\r\n`, ' 200 '),
  ]);
  await killAndRestart();
  for (const socket of sockets) socket.destroy();
  expect(await rowsUnder('/')).toEqual([]);
  expect(provider.arrivals).toEqual([]);
});

it.each([
  { step: 'the origin has the request and has not answered', path: '/held/1', args: [] },
  { step: 'the agent is in the middle of an upload', path: '/upload/1', args: ['-T', '-'] },
])('$step: the row is closed as unknown', async ({ path, args }) => {
  const arrived = arrivalOf(1, (url) => url === path);
  // The upload's input never ends by itself: the daemon's death ends curl.
  const upload = args.length === 0 ? '' : 'cat /dev/zero | ';
  const proxy = `http://ada:${key}@127.0.0.1:${alterd.port}`;
  const command = `${upload}exec curl -sS --proxy ${proxy} --cacert ${alterd.caFile} ${args.join(' ')} https://${HOST}${path}`;
  const ended = runProgram('sh', ['-c', command], { env: plainEnv('/nonexistent') });
  await arrived;
  await killAndRestart();
  expect((await ended).status).not.toBe(0);
  const rows = await rowsUnder(path);
  expect(rows).toMatchObject([{ path, outcome: 'unknown' }]);
  expect(rows[0]?.status ?? null).toBeNull();
  expectOneRowEach(path, rows);
});

it('the answer is half way: the agent sees it cut, the row is unknown', async () => {
  const path = '/half/1';
  const arrived = arrivalOf(1, (url) => url === path);
  let halfSeen = (): void => {};
  const seen = new Promise<void>((resolve) => {
    halfSeen = resolve;
  });
  // curl writes what it has; the reader says so once and goes on.
  const proxy = `http://ada:${key}@127.0.0.1:${alterd.port}`;
  const script = `curl -sS -N --proxy ${proxy} --cacert ${alterd.caFile} https://${HOST}${path}; echo "curl ended with $?"`;
  const ended = runProgram('sh', ['-c', script], { env: plainEnv('/nonexistent'), onStdout: halfSeen });
  await Promise.all([arrived, seen]);
  await killAndRestart();
  const { stdout } = await ended;
  expect(stdout).toMatch(/x+\s*curl ended with (18|56|92)/);
  expect(await rowsUnder(path)).toMatchObject([{ path, outcome: 'unknown' }]);
});

it('the answer is complete and recorded: the row stays as it was', async () => {
  expect((await curl('/done/1')).stdout.length).toBe(HALF.length);
  const before = await rowsUnder('/done/1');
  expect(before).toMatchObject([{ outcome: 'success', status: 200 }]);
  await killAndRestart();
  expect(await rowsUnder('/done/1')).toEqual(before);
});

it('the answer has just been read: there is one row, and it tells no lie', async () => {
  expect((await curl('/done/2')).status).toBe(0);
  await killAndRestart();
  const rows = await rowsUnder('/done/2');
  expectOneRowEach('/done/2', rows);
  expect(['success', 'unknown']).toContain(rows[0]?.outcome);
});

it.each([1, 2, 3, 4])('at a random moment under load, round %i', async (round) => {
  const prefix = `/load/${round}/`;
  const after = randomInt(1, 500);
  const arrived = arrivalOf(after, (url) => url.startsWith(prefix));
  const protocol = round % 2 === 0 ? '--http2' : '--http1.1';
  const load = curl(`${prefix}[1-3000]`, '--parallel', '--parallel-max', '24', protocol, '-o', '/dev/null');
  await arrived;
  await killAndRestart();
  await load;
  const rows = await rowsUnder(prefix);
  expectOneRowEach(prefix, rows);
  const outcomes = new Set(rows.map((row) => row.outcome));
  expect(rows.length, `killed after ${after} arrivals`).toBeGreaterThanOrEqual(after);
  expect([...outcomes].filter((outcome) => outcome !== 'success' && outcome !== 'unknown')).toEqual([]);
  expect((await curl(`/done/load${round}`)).status, 'the next life works').toBe(0);
});
