/** What an operator sees of the daemon from outside: metrics, the state of sinks, events, and the audit commands of the CLI. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { runInside } from './cli-process.ts';

let daemon: TestDaemon;
let dir: string;
let sinkFile: string;
let metricsPort: number;
const HOST = 'nobody.example.test';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const cli = (...args: string[]) => runInside(daemon.home, args);

/** One request through the proxy that the egress rule refuses. */
async function ask(key: string, path: string, headers = ''): Promise<void> {
  const user = Buffer.from(`bot:${key}`).toString('base64');
  const socket = connect(daemon.port, '127.0.0.1');
  socket.write(
    `GET http://${HOST}${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nProxy-Authorization: Basic ${user}\r\n${headers}\r\n`,
  );
  for await (const _chunk of socket);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'alterd-observation-'));
  sinkFile = join(dir, 'sink.jsonl');
  daemon = await startTestDaemon({
    config: `egress = "refuse"\n[metrics]\nlisten = "127.0.0.1:0"\n[[audit.sink]]\nname = "local"\nkind = "file"\nfile = "${sinkFile}"\nfrom = "start"\n[[audit.sink]]\nname = "dead"\nkind = "syslog"\naddress = "tcp://127.0.0.1:9"\nallow_private = true\nfrom = "start"\n`,
  });
  const { key } = await daemon.agent('bot');
  await ask(key, '/one', `Alter-Run-Id: run-9\r\nAlter-Tool: search\r\ntraceparent: 00-${TRACE}-00f067aa0ba902b7-01\r\n`);
  await ask(key, '/two', 'Alter-Run-Id: run-9\r\nAlter-Tool: fetch\r\n');
  const { metrics } = await daemon.api<{ metrics: string }>('GET', '/v1/status');
  metricsPort = Number(metrics.split(':')[1]);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(dir, { recursive: true, force: true });
});

function getMetrics(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: metricsPort, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('the metrics listener', () => {
  test.each<[string, string, Record<string, string>, string, number]>([
    ['a foreign Host, as after DNS rebinding', '/metrics', { host: 'evil.test' }, 'GET', 421],
    ['the right name with another port', '/metrics', { host: 'localhost:1' }, 'GET', 421],
    ['a page', '/metrics', { origin: 'http://evil.test' }, 'GET', 403],
    ['a page without Origin', '/metrics', { 'sec-fetch-site': 'cross-site' }, 'GET', 403],
    ['the API', '/v1/status', {}, 'GET', 404],
    ['another method', '/metrics', {}, 'POST', 405],
  ])('refuses %s', async (_name, path, headers, method, status) => {
    const answer = await getMetrics(path, headers, method);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('alterd_');
  });

  test('counts what was refused, and says the same as the API', async () => {
    const { status, text } = await getMetrics('/metrics');
    expect(status).toBe(200);
    expect(text).toContain('alterd_requests_total{provider="none",decision="deny",status="4xx"} 2\n');
    expect(text).toContain('alterd_refusals_total{code="destination_refused"} 2\n');
    expect(text).toContain('alterd_audit_healthy 1\n');
    expect(text).toMatch(/\nprocess_open_fds [1-9]\d+\n/);
    expect(text).not.toContain(HOST);
    const names = (all: string): string[] => all.split('\n').filter((line) => line.startsWith('# TYPE'));
    const { stdout } = await new Promise<{ stdout: string }>((resolve) => {
      const sent = request({ socketPath: daemon.paths.apiSocket, path: '/v1/metrics', agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (part: string) => (body += part));
        response.on('end', () => resolve({ stdout: body }));
      });
      sent.end();
    });
    expect(names(stdout)).toEqual(names(text));
  });
});

test('a dead sink is in status and metrics, and the other one goes on', async () => {
  let sinks: { name: string; failures: number; lag: number; error: string | null }[] = [];
  do ({ sinks } = await daemon.api('GET', '/v1/status'));
  while (sinks[1]?.failures === 0 || (sinks[0]?.lag ?? 1) > 0);
  expect(sinks).toMatchObject([
    { name: 'local', failures: 0, error: null },
    { name: 'dead', error: expect.stringContaining('ECONNREFUSED') },
  ]);
  expect((await cli('status')).stdout).toMatch(/audit sink dead +syslog, NOT DELIVERING/);
  expect((await getMetrics('/metrics')).text).toMatch(/alterd_audit_sink_failures\{sink="dead"\} [1-9]/);
  const kinds = readFileSync(sinkFile, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { action?: string }).action);
  expect(kinds).toEqual(expect.arrayContaining(['audit.key_created', 'daemon.started', 'agent.created', 'api.call']));
  expect(statSync(sinkFile).mode & 0o777).toBe(0o600);
});

test('a configuration that is refused leaves a row, as does a provider file', async () => {
  const right = readFileSync(daemon.paths.configFile, 'utf8');
  writeFileSync(daemon.paths.configFile, 'nonsense = 1\n');
  await expect(daemon.api('POST', '/v1/reload')).rejects.toMatchObject({ problem: { error: 'invalid_input' } });
  writeFileSync(daemon.paths.configFile, right);
  await daemon.api('POST', '/v1/reload');
  const toml = readFileSync(new URL('../../../config/providers/groq.toml', import.meta.url), 'utf8').replaceAll('groq', 'groqx');
  const { entries: before } = await daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?kind=event');
  expect(before.slice(0, 2).map(({ action }) => action)).toEqual(['config.reloaded', 'config.refused']);
  await daemon.api('POST', '/v1/providers', { toml, replace: false });
  const { entries } = await daemon.api<{ entries: { action: string; provider_id: string }[] }>(
    'GET',
    '/v1/audit?action=provider.added',
  );
  expect(entries).toMatchObject([{ provider_id: 'groqx' }]);
});

describe('alterd audit', () => {
  test('verify works on an export without the daemon, names the first bad row, and ends with 1', async () => {
    const [file, key, kept] = ['audit.jsonl', 'audit.pub', 'kept.jsonl'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    expect((await cli('audit', 'export', '--file', file)).code).toBe(0);
    writeFileSync(key, (await cli('audit', 'key')).stdout);
    expect((await cli('audit', 'checkpoints', '--file', kept)).code).toBe(0);
    // Another home, where no daemon is.
    const offline = (...args: string[]) => runInside(join(dir, 'no-home'), ['audit', 'verify', ...args]);
    const whole = await offline('--export', file, '--public-key', key);
    expect(whole).toMatchObject({ code: 0, stdout: expect.stringMatching(/chain +whole/) });
    const lines = readFileSync(file, 'latin1').split('\n');
    const row = lines.findIndex((line) => line.includes('"/two"')) + 1;
    writeFileSync(file, lines.map((line) => line.replace('"/two"', '"/xxx"')).join('\n'));
    const changed = await offline('--export', file, '--public-key', key, '--output', 'json');
    expect(changed.code).toBe(1);
    expect(JSON.parse(changed.stdout)).toMatchObject({ ok: false, first_bad: row });
    // A tail that was cut together with the checkpoints in the file.
    writeFileSync(file, `${lines.slice(0, 2).join('\n')}\n`);
    expect(await offline('--export', file, '--public-key', key)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no checkpoint'),
    });
    expect(await offline('--export', file, '--public-key', key, '--checkpoints', kept)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/first bad +3/),
    });
    expect(await offline('--export', file)).toMatchObject({ code: 0, stderr: expect.stringContaining('can not be told') });
    expect(await offline('--export', file, '--public-key', file)).toMatchObject({ code: 2 });
    expect((await cli('audit', 'verify')).code).toBe(0);
  });

  test('list finds by fields, texts and traces', async () => {
    const paths = async (...args: string[]): Promise<string[]> => {
      const { stdout } = await cli('audit', 'list', '--kind', 'exchange', '--output', 'json', ...args);
      return (JSON.parse(stdout) as { path: string | null; host: string }[]).map(({ path, host }) => path ?? host);
    };
    expect(await paths('--run', 'run-9', '--tool', 'fetch', '--denied', '--since', '2h')).toHaveLength(1);
    expect(await paths('--run', 'run-8')).toEqual([]);
    expect(await paths('--text', 'NOBODY.example')).toHaveLength(2);
    expect(await paths('--method', 'get', '--host', HOST, '--limit', '1')).toHaveLength(1);
    expect((await cli('audit', 'list', '--denied', '--decision', 'allow')).code).toBe(2);
  });

  test('trace shows a run as a tree with its tools', async () => {
    const { stdout } = await cli('audit', 'trace', 'run-9');
    expect(stdout).toMatch(/^run-9: 2 calls in \d+ ms, 2 denied/);
    expect(stdout).toMatch(/\nrun run-9\n(?:.*\n)*.*tool search\n.*GET nobody\.example\.test/);
    expect(stdout).toMatch(/tool fetch\n.*\| *=+ *\|/);
    expect((await cli('audit', 'trace', TRACE)).stdout).toMatch(/: 1 calls/);
    expect((await cli('audit', 'trace', 'none')).code).toBe(4);
  });

  test('stats counts, in charts of plain characters where there is no terminal', async () => {
    const { stdout } = await cli('audit', 'stats', '--kind', 'exchange');
    expect(stdout).toMatch(/^2 requests since 24h, 2 denied \(100 %\), 0 events\n/);
    expect(stdout).toMatch(/\n {2}deny +2 +100 % +#{30}\n/);
    expect(stdout).toMatch(/destination_refused \(egress_refused\) +2/);
    expect(stdout).not.toMatch(/[^\x00-\x7e]/);
    const json = JSON.parse((await cli('audit', 'stats', '--output', 'json')).stdout) as {
      requests: number;
      by: { status: object[] };
    };
    expect(json).toMatchObject({ requests: 2, by: { status: [{ name: '4xx', requests: 2 }] } });
  });
});
