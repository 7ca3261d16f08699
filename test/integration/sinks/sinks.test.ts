import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FileSinkConfig, HttpSinkConfig, SyslogSinkConfig } from '../../../src/config/sink.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { verifyExport } from '../../../src/journal/offline-verify.ts';
import { makePki } from '../../helpers/pki.ts';
import { closing, opening } from '../journal/samples.ts';
import { httpReceiver, parseSyslog, pathOf, type Rig, startRig, syslogReceiver, until } from './rig.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'alterd-sink-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const base = { from: 'start', allowPrivate: true } as const;
const fileSink = (file: string, changes: Partial<FileSinkConfig> = {}): FileSinkConfig => ({
  ...base,
  name: 'file',
  kind: 'file',
  file,
  maxBytes: 1024 * 1024,
  keep: 3,
  ...changes,
});
const syslog = (transport: 'udp' | 'tcp' | 'tls', where: string, changes: Partial<SyslogSinkConfig> = {}): SyslogSinkConfig => ({
  ...base,
  name: transport,
  kind: 'syslog',
  transport,
  destination: parseAuthority(where, transport === 'tls' ? 'https' : 'http'),
  path: '',
  ...changes,
});
const unix = (path: string): SyslogSinkConfig => ({
  ...base,
  name: 'unix',
  kind: 'syslog',
  transport: 'unix',
  destination: null,
  path,
});
const http = (
  kind: 'otlp' | 'webhook',
  scheme: 'http' | 'https',
  where: string,
  changes: Partial<HttpSinkConfig> = {},
): HttpSinkConfig => ({
  ...base,
  name: kind,
  kind,
  destination: parseAuthority(where, scheme),
  target: '/v1/logs',
  secretFile: null,
  headersFile: null,
  ...changes,
});
const privateFile = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text, { mode: 0o600 });
  return join(dir, name);
};
const linesOf = (file: string): string[] => readFileSync(file, 'latin1').split('\n').slice(0, -1);
const numbered = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `/n/${from + i}`);
const statusOf = (rig: Rig, name: string) => rig.sinks.status.find((sink) => sink.name === name);

describe('a file', () => {
  test('holds the rows as an export does, is private, and goes on after a restart without what a crash left half done', async () => {
    const file = join(dir, 'rows.jsonl');
    const home = join(dir, 'file-home');
    const first = await startRig([fileSink(file)], { dir: home });
    await first.write(...numbered(30));
    await first.stop();
    expect(linesOf(file).map(pathOf)).toEqual(numbered(30));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    appendFileSync(file, '{"n":31,"prev":"00');
    const second = await startRig([fileSink(file)], { dir: home });
    await second.write(...numbered(5, 30));
    await second.stop();
    expect(linesOf(file).map(pathOf)).toEqual(numbered(35));
    const lines = async function* () {
      yield* linesOf(file);
    };
    expect(await verifyExport(lines(), [], { publicKey: null, partial: false })).toMatchObject({ ok: true, rows: 35 });
  });

  test('that is full goes aside, and only as many are kept as asked for', async () => {
    const file = join(dir, 'turn', 'rows.jsonl');
    const turn = join(dir, 'turn');
    const rig = await startRig([fileSink(file, { maxBytes: 4096, keep: 2 })]);
    expect(existsSync(turn)).toBe(false);
    await rig.write('/before');
    await until(() => (statusOf(rig, 'file')?.failures ?? 0) > 0);
    expect(statusOf(rig, 'file')?.error).toContain('ENOENT');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(turn);
    await until(() => statusOf(rig, 'file')?.failures === 0);
    for (let i = 0; i < 30; i += 1) await rig.write(`/turn/${i}`);
    await rig.stop();
    expect(readdirSync(turn).sort()).toEqual(['rows.jsonl', 'rows.jsonl.1', 'rows.jsonl.2']);
    for (const name of readdirSync(turn)) expect(statSync(join(turn, name)).size).toBeLessThanOrEqual(4096);
    const kept = ['rows.jsonl.2', 'rows.jsonl.1', 'rows.jsonl'].flatMap((name) => linesOf(join(turn, name)).map(pathOf));
    expect(kept).toEqual(Array.from({ length: 30 }, (_, i) => `/turn/${i}`).slice(-kept.length));
    expect(rig.troubles.map((text) => text.replace(/ \{.*/, ''))).toEqual([
      'an audit sink can not deliver; its rows wait',
      'an audit sink delivers again',
    ]);
  });

  test('that is a planted link is not written through', async () => {
    const target = privateFile('target', 'untouched\n');
    symlinkSync(target, join(dir, 'link.jsonl'));
    const rig = await startRig([fileSink(join(dir, 'link.jsonl'))]);
    await rig.write('/secret');
    await until(() => (statusOf(rig, 'file')?.failures ?? 0) > 0);
    await rig.stop();
    expect(readFileSync(target, 'utf8')).toBe('untouched\n');
  });
});

describe('syslog', () => {
  test('over TCP: RFC 5424 in octet-counted frames; a receiver that breaks off gets again what was on its way', async () => {
    const receiver = await syslogReceiver();
    const rig = await startRig([syslog('tcp', `127.0.0.1:${receiver.port}`)]);
    await rig.write('/a', '/b');
    await rig.journal.record(
      opening({ path: '/no', decision: 'deny', error: 'policy_violation' }),
      closing({ outcome: 'refused', status: 403 }),
    );
    await until(() => receiver.messages.length >= 3);
    expect(receiver.messages.map(({ json }) => pathOf(json))).toEqual(['/a', '/b', '/no']);
    // Facility 13; informational, and warning for what was denied.
    expect(receiver.messages.map(({ priority }) => priority)).toEqual([13 * 8 + 6, 13 * 8 + 6, 13 * 8 + 4]);
    expect(receiver.messages[0]?.msgid).toBe('exchange');
    receiver.reset();
    await until(() => receiver.messages.length >= 6);
    expect(receiver.messages.slice(3).map(({ json }) => pathOf(json))).toEqual(['/a', '/b', '/no']);
    await rig.stop();
    await receiver.close();
  });

  test('over TLS the receiver is verified, and one that can not be is given nothing', async () => {
    const pki = makePki();
    const secure = (on: (socket: Socket) => void) =>
      createTlsServer({ SNICallback: (host, done) => done(null, pki.contextFor(host)) }, on);
    const receiver = await syslogReceiver(secure);
    const stranger = await syslogReceiver((on) =>
      createTlsServer({ SNICallback: (_host, done) => done(null, pki.contextFor('other.test')) }, on),
    );
    const overrides = new Map([
      ['logs.example.test:6514', { host: '127.0.0.1', port: receiver.port }],
      ['wrong.example.test:6514', { host: '127.0.0.1', port: stranger.port }],
    ]);
    const rig = await startRig(
      [syslog('tls', 'logs.example.test:6514'), syslog('tls', 'wrong.example.test:6514', { name: 'wrong' })],
      { overrides, extraCa: readFileSync(pki.caFile, 'utf8') },
    );
    await rig.write('/over-tls');
    await until(() => receiver.messages.length >= 1 && (statusOf(rig, 'wrong')?.failures ?? 0) > 0);
    expect(pathOf(receiver.messages[0]?.json as string)).toBe('/over-tls');
    expect(statusOf(rig, 'wrong')).toMatchObject({ lag: 1, delivered: 0, error: expect.stringContaining('certificate') });
    expect(stranger.messages).toEqual([]);
    await rig.stop();
    await Promise.all([receiver.close(), stranger.close()]);
  });

  test('over UDP: one message in each datagram; a row that is too long is told by its place and hash', async () => {
    const socket = createSocket('udp4');
    const received: string[] = [];
    socket.on('message', (bytes) => received.push(bytes.toString('latin1')));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const rig = await startRig([syslog('udp', `127.0.0.1:${socket.address().port}`)]);
    await rig.write('/datagram');
    await until(() => received.length >= 1);
    expect(pathOf(parseSyslog(received[0] as string).json)).toBe('/datagram');
    const long = 'x'.repeat(8000);
    const details = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`d${i}`, long]));
    const id = await rig.journal.record(opening({ details }), closing());
    await until(() => received.length >= 2);
    expect(received[1]).toMatch(new RegExp(`"request_id":"${id}","cut":true,"hash":"[0-9a-f]{64}"}$`));
    await rig.stop();
    socket.close();
  });

  test('on a stream socket of journald: seven lines of introduction, then a line for each row', async () => {
    const path = join(dir, 'journal.sock');
    let text = '';
    const server = createServer((socket) => socket.on('data', (chunk) => (text += chunk.toString('latin1')))).listen(path);
    await once(server, 'listening');
    const rig = await startRig([{ ...base, name: 'journal', kind: 'journald', path }]);
    await rig.write('/one', '/two');
    await until(() => text.split('\n').length >= 10);
    const lines = text.split('\n');
    expect(lines.slice(0, 7)).toEqual(['alterd', '', '6', '1', '0', '0', '0']);
    expect(lines.slice(7, 9).map((line) => [line.slice(0, 3), pathOf(line.slice(3))])).toEqual([
      ['<6>', '/one'],
      ['<6>', '/two'],
    ]);
    await rig.stop();
    server.close();
  });

  test('to a datagram socket that nobody has is told, with the rows kept', async () => {
    const rig = await startRig([unix(join(dir, 'nobody.sock'))]);
    await rig.write('/kept');
    await until(() => (statusOf(rig, 'unix')?.failures ?? 0) > 0);
    expect(statusOf(rig, 'unix')).toMatchObject({ lag: 1, error: expect.stringContaining('ENOENT') });
    await rig.stop();
  });
});

describe('HTTP', () => {
  test('a webhook gets signed batches over verified TLS, again after each failure, and no redirect is followed', async () => {
    const pki = makePki();
    const receiver = await httpReceiver({ SNICallback: (host, done) => done(null, pki.contextFor(host)) });
    const secret = 'SEKRET-marker-webhook-0123456789';
    const config = http('webhook', 'https', 'hooks.example.test:443', {
      target: '/in?x=1',
      secretFile: privateFile('hook.secret', `${secret}\n`),
      headersFile: privateFile('hook.headers', '# for the gateway\nX-Api-Key: SEKRET-marker-api-key\n'),
    });
    receiver.answer = { status: 302, body: '', headers: { location: 'https://hooks.example.test/elsewhere' } };
    const rig = await startRig([config], {
      overrides: new Map([['hooks.example.test:443', { host: '127.0.0.1', port: receiver.port }]]),
      extraCa: readFileSync(pki.caFile, 'utf8'),
    });
    await rig.write('/hook');
    await until(() => (statusOf(rig, 'webhook')?.failures ?? 0) >= 1);
    expect(statusOf(rig, 'webhook')).toMatchObject({ lag: 1, error: 'the receiver answered 302' });
    expect(receiver.posts.every(({ url }) => url === '/in?x=1')).toBe(true);
    receiver.answer = { status: 204, body: '' };
    await until(() => statusOf(rig, 'webhook')?.n === 1);
    const { headers, body } = receiver.posts.at(-1) as (typeof receiver.posts)[0];
    const [, seconds = '', hex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['alter-signature'])) ?? [];
    expect(hex).toBe(createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex'));
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(60);
    expect(headers).toMatchObject({
      host: 'hooks.example.test',
      'x-api-key': 'SEKRET-marker-api-key',
      'alter-delivery': 'webhook-1-1',
    });
    const { rows } = JSON.parse(body) as { rows: { path: string; n: number; hash: string }[] };
    expect(rows).toMatchObject([{ n: 1, path: '/hook' }]);
    expect(JSON.stringify([rig.troubles, rig.sinks.status])).not.toContain('SEKRET');
    await rig.stop();
    await receiver.close();
  });

  test('a collector gets log records in the shape of OTLP, in halves where it takes less, and what it rejects is told', async () => {
    const receiver = await httpReceiver();
    const rig = await startRig([http('otlp', 'http', `127.0.0.1:${receiver.port}`)]);
    receiver.answer = { status: 413, body: '' };
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    await rig.journal.record(opening({ path: '/traced', trace_id: trace, parent_span_id: '00f067aa0ba902b7' }), closing());
    await rig.write(...numbered(20));
    await until(() => receiver.posts.length >= 2);
    receiver.answer = {
      status: 200,
      body: '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"SEKRET-marker-answer"}}',
    };
    await until(() => statusOf(rig, 'otlp')?.lag === 0 && statusOf(rig, 'otlp')?.n === 21);
    expect(statusOf(rig, 'otlp')).toMatchObject({ failures: 0, error: 'the collector rejected some of the records' });
    const records = receiver.posts.slice(2).flatMap(({ url, body }) => {
      expect(url).toBe('/v1/logs');
      return otlpRecords(JSON.parse(body));
    });
    const first = records.find(({ body }) => pathOf(body) === '/traced');
    expect(first).toMatchObject({ traceId: trace, spanId: '00f067aa0ba902b7', severity: 9 });
    expect(first?.attributes).toMatchObject({ 'http.request.method': 'GET', 'http.response.status_code': '200', 'alter.n': '1' });
    expect(new Set(records.map(({ body }) => pathOf(body)))).toEqual(new Set(['/traced', ...numbered(20)]));
    await rig.stop();
    await receiver.close();
  });
});

interface OtlpRecord {
  readonly body: string;
  readonly severity: number;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly attributes: Readonly<Record<string, string | number>>;
}

/** Reads ExportLogsServiceRequest as its protobuf definition has it in JSON: an unknown or misshapen member throws. */
function otlpRecords(request: unknown): OtlpRecord[] {
  const members = (value: unknown, required: readonly string[], optional: readonly string[] = []): Record<string, unknown> => {
    const found = value as Record<string, unknown>;
    expect(Object.keys(found).filter((key) => !required.includes(key) && !optional.includes(key))).toEqual([]);
    expect(required.filter((key) => !(key in found))).toEqual([]);
    return found;
  };
  const list = (value: unknown): unknown[] => {
    expect(Array.isArray(value)).toBe(true);
    return value as unknown[];
  };
  const anyValue = (value: unknown): string | number => {
    const entries = Object.entries(value as object);
    expect(entries).toHaveLength(1);
    const [kind, inner] = entries[0] as [string, unknown];
    if (kind === 'stringValue') expect(typeof inner).toBe('string');
    else if (kind === 'intValue') expect(inner).toMatch(/^-?\d+$/);
    else expect([kind, typeof inner]).toEqual(['doubleValue', 'number']);
    return inner as string | number;
  };
  const attributes = (value: unknown): Record<string, string | number> =>
    Object.fromEntries(
      list(value).map((each) => {
        const { key, value: inner } = members(each, ['key', 'value']);
        return [key as string, anyValue(inner)];
      }),
    );
  return list(members(request, ['resourceLogs']).resourceLogs).flatMap((resourceLog) => {
    const { resource, scopeLogs } = members(resourceLog, ['resource', 'scopeLogs']);
    expect(attributes(members(resource, ['attributes']).attributes)['service.name']).toBe('alterd');
    return list(scopeLogs).flatMap((scopeLog) => {
      const { scope, logRecords } = members(scopeLog, ['scope', 'logRecords']);
      members(scope, ['name']);
      return list(logRecords).map((record) => {
        const required = ['timeUnixNano', 'observedTimeUnixNano', 'severityNumber', 'severityText', 'body', 'attributes'];
        const found = members(record, required, ['traceId', 'spanId']);
        for (const time of [found.timeUnixNano, found.observedTimeUnixNano]) expect(time).toMatch(/^\d{19}$/);
        return {
          body: anyValue(found.body) as string,
          severity: found.severityNumber as number,
          attributes: attributes(found.attributes),
          ...(found.traceId === undefined ? {} : { traceId: found.traceId as string }),
          ...(found.spanId === undefined ? {} : { spanId: found.spanId as string }),
        };
      });
    });
  });
}

test('no sink reaches a private address unasked, nor a metadata service at all', async () => {
  const receiver = await syslogReceiver();
  const rig = await startRig([
    syslog('tcp', `127.0.0.1:${receiver.port}`, { name: 'unasked', allowPrivate: false }),
    http('otlp', 'http', '169.254.169.254:80', { name: 'metadata' }),
    syslog('udp', `127.0.0.1:${receiver.port}`, { name: 'udp-unasked', allowPrivate: false }),
  ]);
  await rig.write('/nowhere');
  await until(() => rig.sinks.status.every(({ failures }) => failures > 0));
  for (const { error, lag } of rig.sinks.status)
    expect([error, lag]).toEqual([expect.stringContaining('address_not_allowed'), 1]);
  expect(receiver.sockets.size + receiver.messages.length).toBe(0);
  await rig.stop();
  await receiver.close();
});

test('a slow receiver holds up neither rows nor another sink', async () => {
  const stuck = createServer(() => {}).listen(0, '127.0.0.1');
  await once(stuck, 'listening');
  const file = join(dir, 'beside.jsonl');
  const { port } = stuck.address() as { port: number };
  const rig = await startRig([http('otlp', 'http', `127.0.0.1:${port}`), fileSink(file)]);
  await rig.write(...numbered(200));
  await until(() => statusOf(rig, 'file')?.lag === 0 && (statusOf(rig, 'file')?.n ?? 0) >= 200);
  expect(linesOf(file)).toHaveLength(200);
  expect(await rig.journal.stats()).toMatchObject({ healthy: true, rows: 200 });
  await rig.sinks.close(0);
  await rig.journal.close();
  stuck.close();
});
